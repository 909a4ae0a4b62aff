"""What a sweep file means, and that it is the same after it was written out."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from study_fakes import GOOD, edited, message

from raymia.errors import SweepError
from raymia.point import catalog
from raymia.point.space import Choice, Part, Range
from raymia.study import strict_yaml, sweep

# ---- what it means -----------------------------------------------------------------------------


def test_the_three_spellings_of_a_knob_and_what_is_left_out() -> None:
    study = sweep.parse(GOOD)
    none, spelled, left_out, mapped = study.arms
    assert none == ()
    assert spelled[0].knobs["alpha"] == Range(0.1, 10.0, log=True) and spelled[0].knobs[
        "steps"
    ] == Choice((2, 4))
    assert spelled[0].knobs["mode"] == "far"
    # a declared range is searched; choices, booleans and knobs without a domain stay at their
    # default
    expected = {"alpha": Range(0.0, 2.0), "steps": Range(1, 9), "mode": "near", "hard": False}
    assert dict(left_out[0].knobs) == expected | {"plain": 0.5, "label": "1e-3"}
    assert left_out[1] == Part("swap", {"low": 0.25, "high": 1.0})
    assert [part.name for part in mapped] == ["soft", "trade"]
    assert isinstance(left_out[0].knobs["steps"].low, int) and isinstance(
        left_out[0].knobs["alpha"].low, float
    )
    assert study.space(2) == {"soft.alpha": Range(0.0, 2.0), "soft.steps": Range(1, 9)}
    assert study.space(0) == {}


def test_everything_left_out_has_its_default() -> None:
    study = sweep.parse("{name: a, dataset: digits, network: mlp, defenses: [[]]}")
    assert (
        study.protocol.name == "coin"
        and study.attacker == "adaptive"
        and study.keep_signals == "all"
    )
    assert (
        study.search == sweep.Search(24, "tpe", 0, 8, None, (), {})
        and study.training == {}
        and study.lanes == "auto"
    )
    assert (
        study.resources == sweep.Resources(1.0, 0.0, 1, None)
        and study.shape == (8, 4)
        and study.device == "cpu"
    )
    assert study == sweep.parse(
        "{name: a, dataset: digits, network: mlp, defenses: [[]], search: null, training: null}"
    )


def test_a_trial_may_take_gpus_alone_and_whole_ones_or_a_fraction_of_one() -> None:
    for gpu in (0.25, 1, 2, 2.0):
        assert (
            sweep.parse(GOOD, "x", ["resources.cpu=0", f"resources.gpu={gpu}"]).resources.gpu == gpu
        )
    assert sweep.parse(GOOD, "x", ["resources.cpu=1.5"]).resources.cpu == 1.5


def test_a_rule_may_hold_at_one_end_of_a_range() -> None:
    study = sweep.parse(edited("- []", "- [narrow: {wide: {low: 1, high: 9}}]"))
    assert study.space(0) == {"narrow.wide": Range(1, 9)}


def test_defaults_are_clipped_into_the_range_of_the_file() -> None:
    def default(soft: str) -> dict[str, Any]:
        return sweep.parse(edited("- []", f"- [soft: {soft}]")).default(0)

    assert default("{}") == {"soft.alpha": 1.0, "soft.steps": 3}
    assert default("{alpha: {low: 1.5, high: 2}, steps: {low: 1, high: 2}}") == {
        "soft.alpha": 1.5,
        "soft.steps": 2,
    }
    assert default("{alpha: 1, steps: [7, 3]}") == {"soft.steps": 3}
    assert default("{alpha: 1, steps: [7, 8]}") == {"soft.steps": 7}
    assert (
        sweep.parse(edited("strength: 2", "strength: {low: 4, high: 6}")).default(3)[
            "trade.strength"
        ]
        == 4
    )


def test_numbers_and_words_are_those_of_yaml_1_2() -> None:
    pairs = (
        "a: 1e-3|b: on|c: no|d: 0777|e: 12:30:45|f: 1_0|g: +3|h: -0.0|i: .5|j: 5.|k: ~|l: True|m: "
        "'1'|n: 0|1: x"
    )
    values = strict_yaml.parse(pairs.replace("|", "\n"), "x").plain()
    expected = {
        "a": 1e-3,
        "b": "on",
        "c": "no",
        "d": "0777",
        "e": "12:30:45",
        "f": "1_0",
        "g": 3,
        "h": 0.0,
        "i": 0.5,
    }
    assert values == expected | {"j": 5.0, "k": None, "l": True, "m": "1", "n": 0, "1": "x"}
    assert str(values["h"]) == "0.0" and type(values["g"]) is int and values["l"] is True


def test_line_ends_and_byte_order_marks_change_nothing(tmp_path: Path) -> None:
    study = sweep.parse(GOOD)
    for name, raw in {
        "crlf": GOOD.replace("\n", "\r\n").encode(),
        "bom": b"\xef\xbb\xbf" + GOOD.encode(),
    }.items():
        (tmp_path / name).write_bytes(raw)
        assert sweep.load(tmp_path / name) == study
    (tmp_path / "crlf").write_bytes(edited("seed: 0", "seed: x").replace("\n", "\r\n").encode())
    with pytest.raises(SweepError, match="crlf:19: search.seed: got 'x'"):
        sweep.load(tmp_path / "crlf")


def test_overrides_are_as_if_written() -> None:
    sets = [
        "search.trials=50",
        "defenses.1.0.soft.alpha={low: 1, high: 2}",
        "network.mlp.width=8",
        "resources.time_limit=60",
    ]
    study = sweep.parse(
        GOOD,
        "x",
        [*sets, "search.lag=3", "defenses.0=[swap]", "defenses.2.0.soft.steps=4", "search.lag=2"],
    )
    assert study.search.trials == 50 and study.search.lag == 2 and study.network.knobs["width"] == 8
    assert study.arms[1][0].knobs["alpha"] == Range(1.0, 2.0) and study.resources.time_limit == 60.0
    assert study.arms[0][0].name == "swap" and study.arms[2][0].knobs["steps"] == 4


def test_attacks_that_cannot_apply_are_left_out_or_refused() -> None:
    assert [p.name for p in sweep.parse(GOOD).attacks] == ["cheap", "online"]
    assert [p.name for p in sweep.parse(GOOD, "x", ["attacks=all"]).attacks] == [
        "cheap",
        "crowd",
        "flips",
        "online",
    ]
    halves = sweep.parse(GOOD, "x", ["protocol={halves: {reserve: 0}}", "attacks=all"])
    assert [p.name for p in halves.attacks] == ["cheap", "flips"] and set(halves.left_out) == {
        "crowd",
        "online",
    }
    assert "shadows" in halves.left_out["online"] and "reserve" in halves.left_out["crowd"]
    said = message(GOOD, "protocol=halves", "attacks=[cheap, online: {}]")
    assert (
        said.startswith("--set attacks: attacks.1.online: got 'online'; it cannot apply")
        and "shadows" in said
    )
    variants = sweep.parse(GOOD, "x", ["attacks=[cheap, cheap: {mode: b}]"]).attacks
    assert [p.knobs["mode"] for p in variants] == ["a", "b"]


def test_images_are_asked_of_the_data_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog.find("datasets", "table"), "image", False)
    monkeypatch.setattr(catalog.find("datasets", "arrays"), "image", None)
    table = "dataset={table: {path: x.csv, label: y}}"
    assert "flips" not in [p.name for p in sweep.parse(GOOD, "x", [table, "attacks=all"]).attacks]
    assert "images" in message(GOOD, table, "attacks=[flips]")
    assert "no images" in message(GOOD, table, "network=resnet18")
    said = message(GOOD, table, "training.augment=crop_flip")
    assert (
        said.startswith(
            "--set training.augment: training.augment: got 'crop_flip'; none is allowed"
        )
        and "table" in said
    )
    assert sweep.parse(GOOD, "x", [table, "training.augment=none"]).training["augment"] == "none"
    arrays = "dataset={arrays: {path: x.npz}}"  # only the file knows: taken if asked for by name
    assert "flips" in sweep.parse(GOOD, "x", [arrays, "attacks=all"]).left_out
    assert [p.name for p in sweep.parse(GOOD, "x", [arrays, "attacks=[flips]"]).attacks] == [
        "flips"
    ]


def test_a_defense_that_needs_a_reference_needs_a_reserve() -> None:
    sweep.parse(GOOD, "x", ["defenses.0=[kept]"])
    assert "reserve" in message(GOOD, "defenses.0=[kept]", "protocol.coin.reserve=0")


# ---- file -> object -> file --------------------------------------------------------------------

FILES = [
    GOOD,
    "{name: a, dataset: digits, network: mlp, defenses: [[]]}",
    edited("lanes: auto", "milestones: [[0.5, 0.1]]"),
    edited("lanes: auto", "milestones: []"),
]


@pytest.mark.parametrize("text", FILES)
def test_a_resolved_file_is_the_same_sweep(text: str) -> None:
    study = sweep.parse(text)
    written = sweep.dump(study.resolved())
    again = sweep.parse(written)
    assert again == study and sweep.dump(again.resolved()) == written
    assert json.loads(json.dumps(study.resolved())) == study.resolved()


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
NUMBERS = st.integers(-(2**63) + 1, 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | st.dictionaries(
        st.text("ab:-1 ", min_size=1), inner, max_size=3
    )


def settled(value: Any) -> Any:
    """With 0.0 for -0.0."""
    if isinstance(value, dict):
        return {key: settled(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [settled(inner) for inner in value]
    return value + 0.0 if isinstance(value, float) else value


@given(st.recursive(st.none() | st.booleans() | NUMBERS | TEXTS, nested, max_leaves=8))
def test_what_is_dumped_is_read_back(value: Any) -> None:
    read = strict_yaml.parse(strict_yaml.dump({"value": value}), "x").plain()
    assert repr(read) == repr({"value": settled(value)})
