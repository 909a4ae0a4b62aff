"""SELENA's adaptive attacker: the attacker's own sub-models against the target's output."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raymia.attacks.selena_adaptive import SelenaAdaptive
from raymia.errors import SweepError
from raymia.laws.synthetic import world as synthetic
from raymia.point.space import Part
from raymia.records.data import load
from raymia.results.store import unpack
from raymia.signals.view import Signals
from raymia.streams import stream
from raymia.study import preflight, sweep
from raymia.trial import run as trial
from raymia.trial.run import calls
from raymia.verdict import metrics

NEEDS = ("logits", "split_ai")
TEXT = """
name: adaptive
dataset: {{arrays: {{path: {path}}}}}
network: {{mlp: {{width: 128}}}}
protocol: {{coin: {{models: 4, targets: 1, reserve: 0.2}}}}
defenses: [[], [selena: {{sub_models: 4, left_out: 1}}], [stacking: {{trees: 3}}]]
attacks: [loss, lira, grad_x, selena_adaptive, selena_adaptive: {{distance: square}}]
training: {{optimizer: sgd, epochs: {epochs}, batch_size: 64, lr: 0.1, weight_decay: 0.0, lanes: 4}}
"""


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    rng, path = np.random.default_rng(0), tmp_path / "noise.npz"
    np.savez(path, x=rng.random((300, 1, 28, 28), np.float32), y=rng.integers(0, 20, 300))
    return path


def farther(signals: Signals) -> Signals:
    """Members get another class than the sub-models say, and the others theirs."""
    logits = signals.arrays["logits"].copy()
    other = (signals.labels + 1) % logits.shape[-1]
    rows = np.arange(len(other))
    for one, member in zip(logits, signals.split.member, strict=True):
        one[rows, other] += 12 * member
        one[rows, signals.labels] += 6 * ~member
    return replace(signals, arrays={**signals.arrays, "logits": logits})


@pytest.mark.parametrize("distance", ["cross_entropy", "square"])
@pytest.mark.parametrize(("far", "sign"), [(False, 1), (True, -1)])
def test_the_score_is_the_published_distance(distance: Any, far: bool, sign: int) -> None:
    signals = farther(synthetic(0.0)) if far else synthetic(1.0)
    view = signals.view(0, NEEDS)
    found = SelenaAdaptive(distance).score(view, stream(0))
    m = int(signals.split.targets[0])
    shadows = np.flatnonzero(signals.split.shadows[0])
    for i, score in list(zip(view.asked, found, strict=True))[:20]:
        own = np.mean([signals.arrays["split_ai"][k, i].astype(float) for k in shadows], 0)
        z = signals.arrays["logits"][m, i].astype(float)
        q = np.exp(z) / np.exp(z).sum()
        pairs = list(zip(own, q, strict=True))
        expected = (
            sum(-a * np.log(b) for a, b in pairs)
            if distance == "cross_entropy"
            else sum((a - b) ** 2 for a, b in pairs)
        )
        assert score == pytest.approx(-sign * expected, rel=1e-6)
    assert metrics.auc(found, signals.split.member[m, view.asked]) > 0.9


def test_of_a_single_shadow_nearer_says_member() -> None:
    signals = farther(synthetic(0.0))
    view = signals.view(0, NEEDS)
    alone = replace(
        view, shadows=view.shadows.take(np.array([0])), member=view.member[:1], fit=view.fit[:1]
    )
    found = SelenaAdaptive().score(alone, stream(0))
    assert (found <= 0).all()
    assert metrics.auc(found, signals.split.member[signals.split.targets[0], view.asked]) < 0.1


def test_the_targets_own_sub_models_are_shown_to_nobody() -> None:
    view = synthetic(1.0).view(0, NEEDS)
    for seen in (view.target, view.as_target(0)[0].target):
        with pytest.raises(KeyError, match="there is logits"):
            seen["split_ai"]
    assert view.shadows["split_ai"].shape[0] == len(view.member)


def test_it_sees_what_students_learned_by_heart(noise: Path) -> None:
    """A whole trial on noise and random labels: lessons differ from record to record, and what
    students say of others does not.
    """
    file = sweep.parse(TEXT.format(path=noise, epochs=80))
    data = load(file.dataset, 0)
    row = trial.run(file.point(1, {}, 0, data), data)
    found = {str(line["attack"]): line["auc"] for line in row.attacks}
    assert found["selena_adaptive"] > 0.85 and found["selena_adaptive[distance=square]"] > 0.8


def test_it_stands_where_sub_models_leave_records_out_and_nowhere_else(noise: Path) -> None:
    file = sweep.parse(TEXT.format(path=noise, epochs=1) + "attacker: plain\n")
    data = load(file.dataset, 0)
    left = preflight.outline(file)["left_out_of_arms"]
    assert {name: one["arms"] for name, one in left.items()} == {
        "grad_x": [2],
        "selena_adaptive": [0, 2],
        "selena_adaptive[distance=square]": [0, 2],
    }
    assert "no sub-models" in left["selena_adaptive"]["why"]
    columns = [
        [call.column for call in calls(trial.worlds.of(file.point(arm, {}, 0, data), data.units))]
        for arm in range(3)
    ]
    own = ["selena_adaptive", "selena_adaptive[distance=square]"]
    assert columns == [
        ["loss", "lira", "grad_x", "lira@plain"],
        ["loss", "lira", "grad_x", *own, "lira@plain"],
        ["loss", "lira", "lira@plain"],
    ]
    row = trial.run(file.point(1, {}, 0, data), data)
    assert {line["attack"] for line in row.attacks} == set(columns[1])


def test_where_no_arm_has_any_it_is_refused_by_name_and_left_out_of_all(noise: Path) -> None:
    text = TEXT.format(path=noise, epochs=1).replace("[selena: {sub_models: 4, left_out: 1}], ", "")
    with pytest.raises(SweepError, match="selena_adaptive.*cannot apply.*no sub-models"):
        sweep.parse(text)
    every = sweep.parse(text.replace("attacks: [", "attacks: all #"))
    assert "no sub-models" in every.left_out["selena_adaptive"]


def test_kept_models_are_taught_again_and_say_the_same(noise: Path, tmp_path: Path) -> None:
    """The attack on weights that are there: lessons are not kept, and come out as they were."""
    file = sweep.parse(TEXT.format(path=noise, epochs=2))
    data = load(file.dataset, 0)
    point = file.point(1, {}, 0, data)
    trial.run(replace(point, attacks=(Part("baseline", {}),)), data, tmp_path / "later")
    rows = [trial.run(point, data, tmp_path / name) for name in ("at once", "later")]
    for m in range(4):
        said = [
            unpack((tmp_path / name / rows[0].signals / f"model-{m}.npz").read_bytes())["split_ai"]
            for name in ("at once", "later")
        ]
        np.testing.assert_allclose(said[0].sum(-1), 1, atol=1e-5)
        np.testing.assert_array_equal(*said)
