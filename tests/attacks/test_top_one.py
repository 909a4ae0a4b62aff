"""The largest probability against that of random inputs: a threshold that needs no shadow."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from raymia.attack.attack import make
from raymia.errors import SweepError
from raymia.laws.synthetic import world
from raymia.point.space import Part
from raymia.records.data import load
from raymia.signals import perturb, queries
from raymia.signals.observe import load as load_signals
from raymia.signals.queries import Subject
from raymia.signals.view import Signals
from raymia.signals.world import of
from raymia.streams import stream
from raymia.study import sweep
from raymia.training.model import Model
from raymia.training.network import classifier
from raymia.trial import run as trial
from raymia.verdict import metrics

OWN = {"threshold": "percentile"}


@pytest.mark.parametrize("percent", [5.0, 10.0, 25.0])
def test_the_threshold_is_one_above_which_that_share_of_random_inputs_is(percent: float) -> None:
    signals = world(0.5)
    said = np.random.default_rng(0).permutation(np.linspace(-2.0, -0.01, 600))
    every = np.broadcast_to(said, signals.arrays["random_confidence"].shape).copy()
    every[1:] *= 7  # what the other models say does not count
    asked = Signals(signals.split, signals.labels, {**signals.arrays, "random_confidence": every})
    attack = make(Part("confidence", {**OWN, "percentile": percent}))
    cut = attack.cut(asked.view(0, attack.traits().needs))
    assert cut == np.sort(said)[600 - int(6 * percent)]
    assert (said >= cut).mean() == pytest.approx(percent / 100)


def test_without_it_nothing_more_is_asked_and_a_shadow_decides() -> None:
    plain = make(Part("confidence", {}))
    assert plain.traits().needs == {"logits"} and plain.cut(world(0.5).view(0, {"logits"})) is None
    own = make(Part("confidence", OWN)).traits()
    assert own.needs == {"logits", "random_confidence"} and not own.wants


def test_knobs_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(SweepError, match="percentile goes with threshold: percentile"):
        make(Part("confidence", {"percentile": 5.0}))
    with pytest.raises(SweepError, match="goes with per_class: false"):
        make(Part("confidence", {**OWN, "per_class": True}))


def test_a_random_input_has_its_features_from_several_records() -> None:
    """Each feature keeps its own values, with their frequencies; which go together is chance."""
    x = torch.stack([torch.arange(50.0), 100 + torch.arange(50.0)], 1).reshape(50, 2, 1)
    drawn = perturb.scattered(x, 5000, stream("test"))
    assert drawn.shape == (5000, 2, 1)
    first, second = drawn[:, 0, 0].numpy(), drawn[:, 1, 0].numpy() - 100
    for feature in (first, second):
        assert set(feature) == set(range(50)) and abs(feature.mean() - 24.5) < 1.0
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.05 and (first == second).mean() < 0.04


def test_random_confidence_is_the_largest_released_probability() -> None:
    rng = np.random.default_rng(0)
    x, network = (
        torch.tensor(rng.normal(size=(1500, 4)).astype(np.float32)),
        classifier(nn.Identity(), 4, 3),
    )
    network.eval().requires_grad_(False)
    asked = Subject(
        Model(network, torch.float32),
        lambda z: 3 * z,
        x,
        torch.zeros(1500, dtype=torch.int64),
        stream("test"),
        np.arange(5),
    )
    before = asked.rng.bit_generator.state
    found = queries.random_confidence(asked)["random_confidence"]
    assert asked.rng.bit_generator.state == before, "what is asked after it is as without it"
    draws = asked.own("random_confidence")
    inputs = torch.cat([perturb.scattered(x, n, draws) for n in (1024, 476)]).numpy()
    weight, bias = network.head.weight.numpy(), network.head.bias.numpy()
    z = 3.0 * (inputs.astype(float) @ weight.T.astype(float) + bias)
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    np.testing.assert_allclose(found, np.log(p.max(1)), rtol=1e-4, atol=1e-6)


TEXT = """
name: top-one
dataset: {digits: {records: 200}}
network: {mlp: {width: 16}}
protocol: {coin: {models: 6, targets: 2, reserve: 0.2}}
defenses: [[]]
attacks: [confidence, confidence: {threshold: percentile, percentile: 25.0}]
training: {epochs: 10, lanes: 6}
"""


def test_in_a_trial_it_decides_and_ranks_as_without(tmp_path: Path) -> None:
    file = sweep.parse(TEXT)
    data = load(file.dataset, 0)
    point = file.point(0, file.default(0), 0, data)
    row = trial.run(point, data, tmp_path)
    column = "confidence[threshold=percentile,percentile=25.0]"
    assert row.numbers[f"auc.{column}"] == row.numbers["auc.confidence"]
    drawn = of(point, data.units).split
    said = load_signals(of(point, data.units), tmp_path, ("logits", "random_confidence")).arrays
    for t, m in enumerate(drawn.targets):
        z = said["logits"][m].astype(float)
        top = np.log((np.exp(z) / np.exp(z).sum(-1, keepdims=True)).max(-1))
        cut = np.sort(said["random_confidence"][m])[-50]
        called, on = top >= cut, drawn.judged[t]
        inside, outside = on & drawn.member[m], on & ~drawn.member[m]
        exact = called[inside].mean() - called[outside].mean()
        line = next(i for i in row.attacks if (i["target"], i["attack"]) == (int(m), column))
        assert line["advantage"] == pytest.approx(exact, abs=1e-9)
        assert 0 < called[on].mean() < 1


def test_a_flat_model_is_not_accused(tmp_path: Path) -> None:
    """Where random inputs are answered more surely than any record, nobody is called a member."""
    view = world(0.5).view(0, {"logits", "random_confidence"})
    attack = make(Part("confidence", OWN))
    score = attack.score(view, stream("test"))
    sure = replace(
        world(0.5), arrays={**world(0.5).arrays, "random_confidence": np.zeros((10, 600))}
    )
    cut = attack.cut(sure.view(0, {"logits", "random_confidence"}))
    assert cut is not None
    assert metrics.at_threshold(score, np.arange(len(score)) % 2 == 0, cut).advantage == 0.0
