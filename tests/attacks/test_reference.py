"""Scores against figures that independent code computed from the papers' formulas."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from make_reference import POPULATION, text

from raymia.attack.attack import make
from raymia.attacks.rmia import Rmia
from raymia.point.space import Part
from raymia.records.split import AUDITED, assemble
from raymia.records.split import POPULATION as ROLE
from raymia.signals.view import Signals, View
from raymia.streams import stream

FILE = Path(__file__).with_name("reference.json")
GIVEN: dict[str, Any] = json.loads(FILE.read_text())
EXPECTED = GIVEN["expected"]


@pytest.fixture(scope="module")
def view() -> View:
    member = np.array(GIVEN["member"], bool)
    models, records = member.shape
    role = np.full(records, AUDITED, np.int8)
    role[-POPULATION:] = ROLE
    everywhere = np.broadcast_to(role == AUDITED, member.shape).copy()
    shadows = np.arange(models)[None] >= 2
    split = assemble(
        member,
        everywhere,
        everywhere[:1],
        role,
        np.array([0]),
        shadows,
        0,
        0,
        np.arange(models) ^ 1,
    )
    logits = np.array(GIVEN["logits"], np.float32)
    signals = Signals(split, np.array(GIVEN["labels"]), {"logits": logits})
    return signals.view(0, {"logits"})


def score(view: View, name: str, **knobs: Any) -> Any:
    return make(Part(name, knobs)).score(view, stream("reference"))


def test_the_file_is_what_the_script_makes() -> None:
    assert FILE.read_text() == text() and FILE.stat().st_size < 60_000


def test_log_odds(view: View) -> None:
    np.testing.assert_allclose(view.log_odds[view.asked], EXPECTED["log_odds"], atol=1e-9)


@pytest.mark.parametrize("mode", ["offline", "online"])
@pytest.mark.parametrize("variance", ["fixed", "per_example", "shrunken"])
@pytest.mark.parametrize("centre", ["median", "mean"])
def test_lira(view: View, mode: str, variance: str, centre: str) -> None:
    found = score(view, "lira", mode=mode, variance=variance, centre=centre)
    np.testing.assert_allclose(found, EXPECTED[f"lira {mode} {variance} {centre}"], rtol=1e-9)


@pytest.mark.parametrize(
    ("named", "knobs"),
    [
        *((f"offline {a}", {"a": a}) for a in (0.0, 0.3, 1.0)),
        *((f"online {trim}", {"mode": "online", "trim": trim}) for trim in (0.0, 0.2)),
    ],
)
def test_rmia(view: View, named: str, knobs: dict[str, Any]) -> None:
    """The ratios, and the count of the population; the score is that count and a share of one
    record that breaks its ties.
    """
    expected, attack = EXPECTED[f"rmia {named}"], Rmia(**knobs)
    ratio = np.exp(attack._log_ratio(view)[view.asked])
    np.testing.assert_allclose(ratio, expected["ratio"], rtol=1e-9)
    count = score(view, "rmia", **knobs) * POPULATION
    np.testing.assert_array_equal(np.floor(count), expected["count"])
    order = np.argsort(expected["ratio"])
    assert (np.diff(count[order]) > 0).all()


def test_attack_r(view: View) -> None:
    np.testing.assert_allclose(score(view, "reference"), EXPECTED["reference"], atol=1e-9)


def test_attack_p_stands_between_the_records_that_its_score_outranks(view: View) -> None:
    rank = np.array(EXPECTED["population rank"])
    place = score(view, "population") * (POPULATION + 1)
    assert (place > rank - 1e-9).all() and (place < rank + 1 + 1e-9).all()


@pytest.mark.parametrize("name", ["entropy", "modified_entropy", "instance_vector"])
def test_metrics(view: View, name: str) -> None:
    np.testing.assert_allclose(score(view, name), EXPECTED[name], rtol=1e-7, atol=1e-9)
