"""Records that a defense holds out leak as well, and are attacked beside the members."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raymia.attack import attack as attacks
from raymia.laws import synthetic as worlds
from raymia.point import catalog
from raymia.records.data import load
from raymia.records.split import REFERENCE
from raymia.signals.observe import load as load_signals
from raymia.signals.view import Signals, log_odds
from raymia.signals.world import of
from raymia.study import sweep
from raymia.trial import run as trial
from raymia.trial.judge import verdicts
from raymia.verdict import low_fpr, metrics

Array = np.ndarray[Any, Any]
TEXT = """
name: held
dataset: {{digits: {{records: 300}}}}
network: {{mlp: {{width: 32}}}}
protocol: {{coin: {{models: 4, targets: 2, reserve: 0.2}}}}
defenses: [[{defense}]]
attacks: [baseline, loss, lira]
training: {{epochs: 20, batch_size: 16}}
"""


@pytest.mark.parametrize("defense", ["mmd", "advreg: {share: 0.3}", "dmp"])
def test_the_columns_are_aucs_of_held_out_records_against_non_members(
    defense: str, tmp_path: Path
) -> None:
    file = sweep.parse(TEXT.format(defense=defense))
    data = load(file.dataset, 0)
    point = file.point(0, file.default(0), 0, data)
    row = trial.run(point, data, tmp_path)
    world = of(point, data.units)
    odds = log_odds(load_signals(world, tmp_path, ("logits",)).arrays["logits"], data.y)
    split, found = world.split, []
    for t, m in enumerate(split.targets):
        held = np.flatnonzero(split.held[m] if defense != "mmd" else split.role == REFERENCE)
        assert len(held) and not split.judged[t, held].any()
        others = np.flatnonzero(split.judged[t] & ~split.member[m])
        inside = np.r_[np.ones(len(held), bool), np.zeros(len(others), bool)]
        found.append(metrics.auc(odds[m, np.r_[held, others]], inside))
    assert row.numbers["auc_reference.loss"] == pytest.approx(np.mean(found), abs=1e-9)
    every = [v for k, v in row.numbers.items() if k.startswith("auc_reference.") and v is not None]
    assert len(every) == 3 and row.numbers["max_auc_reference"] == max(every)
    if defense == "dmp":
        assert max(every) > 0.55, "the student was trained on them"


def _tpr_less_fpr(score: Array, inside: Array, cut: float) -> float:
    return float((score[inside] >= cut).mean() - (score[~inside] >= cut).mean())


@pytest.mark.parametrize("defense", ["mmd", "advreg: {share: 0.3}", "dmp"])
def test_advantages_have_their_threshold_from_the_other_half(defense: str, tmp_path: Path) -> None:
    """By hand over all thresholds, from the signals; and of the attacks, the one that is best on
    the half where its threshold comes from.
    """
    file = sweep.parse(TEXT.format(defense=defense))
    data = load(file.dataset, 0)
    point = file.point(0, file.default(0), 0, data)
    row = trial.run(point, data, tmp_path)
    world = of(point, data.units)
    logits = load_signals(world, tmp_path, ("logits",)).arrays["logits"]
    said = {
        "loss": log_odds(logits, data.y),
        "baseline": (logits.argmax(-1) == data.y).astype(float),
    }
    split = world.split
    here: dict[str, list[list[float]]] = {name: [[], []] for name in said}
    there: dict[str, list[list[float]]] = {name: [[], []] for name in said}
    for t, m in enumerate(split.targets):
        held = np.flatnonzero(split.held[m] if defense != "mmd" else split.role == REFERENCE)
        rows = np.r_[held, np.flatnonzero(split.judged[t] & ~split.member[m])]
        inside = np.arange(len(rows)) < len(held)
        for name, every in said.items():
            score = every[m, rows]
            for side, on in enumerate((split.half[rows], ~split.half[rows])):
                fit, count = (score[on], inside[on]), (score[~on], inside[~on])
                best = max(sorted(set(fit[0]), reverse=True), key=lambda c: _tpr_less_fpr(*fit, c))
                here[name][side].append(_tpr_less_fpr(*fit, best))
                there[name][side].append(_tpr_less_fpr(*count, best))
    for name, values in there.items():
        expected = np.mean(values)
        assert row.numbers[f"advantage_reference.{name}"] == pytest.approx(expected, abs=1e-9)
    assert row.numbers["advantage_reference"] is not None
    if defense == "dmp":
        assert row.numbers["advantage_reference"] > 0.05, "the student was trained on them"


def test_the_largest_advantage_is_that_of_the_attack_chosen_on_the_other_half() -> None:
    """`a` is best on the first half and `b` on the second: 0.1 and 0.4 elsewhere, so 0.25; not
    the larger of 0.2 and 0.3.
    """
    found = {
        "b": [low_fpr.Halves((0.2, 0.6), (0.2, 0.3)), low_fpr.Halves((0.1, 0.5), (0.2, 0.5))],
        "a": [low_fpr.Halves((0.5, 0.4), (0.0, 0.3)), low_fpr.Halves((0.4, 0.3), (0.2, 0.3))],
    }
    assert low_fpr.largest_of_halves(found) == pytest.approx((0.1 + 0.4) / 2)
    assert low_fpr.mean_of_halves(found["a"]) == pytest.approx(0.2)
    assert low_fpr.mean_of_halves(found["b"]) == pytest.approx(0.3)


def test_a_half_without_members_has_no_advantage() -> None:
    score, half = np.arange(6.0), np.array([True, True, True, False, False, False])
    assert low_fpr.halves(score, half, half) is None
    member = np.array([True, False, True, False, True, False])
    found = low_fpr.halves(score, member, half)
    # best from 2 on among 0, 1, 2: half the members, no other; above it, all of 3, 4, 5
    assert found is not None and found.here[0] == 0.5 and found.there[0] == 0.0
    # best from 4 on among 3, 4, 5: the member, and half of the others; of 0, 1, 2 nothing
    assert found.here[1] == 0.5 and found.there[1] == 0.0


def test_without_held_out_records_there_are_no_columns() -> None:
    file = sweep.parse(TEXT.format(defense=""))
    data = load(file.dataset, 0)
    row = trial.run(file.point(0, {}, 0, data), data)
    assert not any("reference" in name for name in row.numbers)


DEAR = ("nn_fused", "samia", "nn_sorted", "salem")
CHEAP = [name for name in catalog.names("attacks") if name not in DEAR]


@pytest.mark.parametrize("name", CHEAP)
def test_members_are_judged_as_without(name: str) -> None:
    """To ask for more records changes no score of those that are judged anyway."""
    split = worlds.split(records=200)
    role = split.role.copy()
    role[np.flatnonzero(~split.judged.any(0))[:10]] = REFERENCE
    signals = worlds.world(0.3, split)
    signals = Signals(
        split=type(split)(**{**vars(split), "role": role}),
        labels=signals.labels,
        arrays=signals.arrays,
    )
    attack = attacks.make(attacks.unasked(catalog_part(name)))
    key = (0, 0)
    alone = verdicts(attack, name, signals, [0], key)
    beside = verdicts(attack, name, signals, [0], key, reference=True)
    judged = np.isfinite(alone[0].scores)
    assert (np.isfinite(beside[0].scores) == judged).all()
    assert np.allclose(beside[0].scores[judged], alone[0].scores[judged], atol=1e-5)
    assert alone[0].reference_auc is None


def catalog_part(name: str) -> sweep.Part:
    return sweep.Part(name, {"epochs": 2, "pairs": 200} if name == "nn" else {})
