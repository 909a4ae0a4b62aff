"""Column names are built and read in one place, and a value is written in one way."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymia.point import columns
from raymia.point.objectives import ACCURACY, AUC, COLUMNS, OBJECTIVES

ATTACKS = st.from_regex(r"[a-z_]{1,9}(\[[a-z]=[a-z]\])?(@plain)?", fullmatch=True)


@given(
    st.lists(ATTACKS, unique=True),
    st.sampled_from(["auc", "canary_auc.x", "auc_lo.y", "max_attack_auc"]),
)
def test_attacks_are_read_back_from_their_columns(names: list[str], other: str) -> None:
    made = [columns.auc(name) for name in names]
    assert sorted(columns.attacks([*made, other])) == sorted(names)
    assert all(
        columns.full(name, made) == columns.full(columns.auc(name), made) == columns.auc(name)
        for name in names
    )


@given(ATTACKS)
def test_the_interval_of_an_auc_is_named_by_its_attack(attack: str) -> None:
    assert columns.ends(columns.auc(attack)) == (f"auc_lo.{attack}", f"auc_hi.{attack}")
    assert columns.ends("test_accuracy") == ("test_accuracy_lo", "test_accuracy_hi")
    assert columns.interval(columns.auc(attack), 0.6, 0.5, None) == {
        f"auc.{attack}": 0.6,
        f"auc_lo.{attack}": 0.5,
        f"auc_hi.{attack}": None,
    }


def test_names_of_the_contract() -> None:
    assert columns.knob("srcm", "r1") == "srcm.r1"
    assert columns.confirmed("test_accuracy_lo") == "confirmed_test_accuracy_lo"
    assert columns.change("max_attack_auc") == "confirmed_max_attack_auc_change"
    assert columns.canary("auc", "lira") == "canary_auc.lira"
    assert columns.canary(columns.ends("tpr_at_fpr_0.001")[0]) == "canary_tpr_at_fpr_0.001_lo"


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (None, None, "null"),
        (True, None, "true"),
        (False, 3, "false"),
        (2.7319, 3, "2.73"),
        (2.7319, None, "2.7319"),
        (1e-5, None, "1e-05"),
        (1234567, 3, "1234567"),
        ("True", None, "True"),
    ],
)
def test_a_value_as_a_text(value: Any, digits: int | None, text: str) -> None:
    assert columns.word(value, digits) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_is_written_exactly(value: float) -> None:
    assert float(columns.word(value)) == value


@given(st.floats(0, 1), st.floats(0, 1))
def test_an_objective_prefers_what_its_direction_says(a: float, b: float) -> None:
    assert COLUMNS == ("test_accuracy", "max_attack_auc") and [o.direction for o in OBJECTIVES] == [
        "maximize",
        "minimize",
    ]
    assert (ACCURACY.gain(a) > ACCURACY.gain(b)) == (a > b)
    assert (AUC.gain(a) > AUC.gain(b)) == (a < b) and math.isfinite(AUC.gain(a))
