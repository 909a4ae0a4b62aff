"""Scores against figures that independent code, `make_reference.py`, computed from the papers'
formulas.

Where a score is a count with a documented step between equal counts (`rmia`) or an interpolation
beside it (`population`), the count is compared, and that the score ranks as the formula's ratio or
log-odds does.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raymia.attack.attack import make
from raymia.attacks.rmia import Rmia
from raymia.point.space import Part
from raymia.records.split import AUDITED, POPULATION, assemble
from raymia.signals.view import Signals, View
from raymia.streams import stream

FILE = Path(__file__).with_name("reference.json")
GIVEN: dict[str, Any] = json.loads(FILE.read_text())
EXPECTED, AMONG = GIVEN["expected"], len(GIVEN["population"])


@pytest.fixture(scope="module")
def view() -> View:
    member = np.array(GIVEN["member"], bool)
    models, records = member.shape
    role = np.full(records, AUDITED, np.int8)
    role[GIVEN["population"]] = POPULATION
    everywhere = np.broadcast_to(role == AUDITED, member.shape).copy()
    twin, target = np.arange(models) ^ 1, GIVEN["target"]
    shadows = ~np.isin(np.arange(models), (target, twin[target]))[None]
    split = assemble(
        member,
        everywhere,
        everywhere[[target]],
        role,
        np.array([target]),
        shadows,
        0,
        0,
        twin,
    )
    logits = np.array(GIVEN["logits"], np.float32)
    signals = Signals(split, np.array(GIVEN["labels"]), {"logits": logits})
    return signals.view(0, {"logits"})


def score(view: View, name: str, **knobs: Any) -> Any:
    return make(Part(name, knobs)).score(view, stream("reference"))


def test_the_file_is_what_the_script_makes() -> None:
    script = [sys.executable, str(FILE.with_name("make_reference.py"))]
    made = subprocess.run(script, capture_output=True, text=True, check=True).stdout
    assert FILE.read_text() == made and len(made) < 60_000


def test_pairs_are_complementary_and_the_population_is_of_no_model() -> None:
    member = np.array(GIVEN["member"], bool)
    inside = np.isin(np.arange(member.shape[1]), GIVEN["population"], invert=True)
    np.testing.assert_array_equal(member[0::2] ^ member[1::2], inside[None].repeat(4, 0))
    np.testing.assert_array_equal(member[0::2] & member[1::2], False)


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
    count = score(view, "rmia", **knobs) * AMONG
    np.testing.assert_array_equal(np.floor(count), expected["count"])
    order = np.argsort(expected["ratio"])
    assert (np.diff(count[order]) > 0).all()


def test_attack_r(view: View) -> None:
    np.testing.assert_allclose(score(view, "reference"), EXPECTED["reference"], atol=1e-9)


def test_attack_p(view: View) -> None:
    """The count, (A + 1) times the score being between it and the next one; and, since the score
    is linear between the population's log-odds, and bends beyond, the order of the log-odds.
    """
    place = score(view, "population") * (AMONG + 1)
    rank = np.array(EXPECTED["population rank"])
    assert (place > rank).all() and (place < rank + 1).all()
    assert (np.diff(place[np.argsort(EXPECTED["log_odds"])]) > 0).all()


@pytest.mark.parametrize("name", ["entropy", "modified_entropy", "instance_vector"])
def test_metrics(view: View, name: str) -> None:
    np.testing.assert_allclose(score(view, name), EXPECTED[name], rtol=1e-7, atol=1e-9)
