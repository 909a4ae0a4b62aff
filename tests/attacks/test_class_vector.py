"""One classifier for each class: what its form is, and what it sees."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from raymia.attack import learned
from raymia.attack.attack import make
from raymia.attacks import class_vector
from raymia.errors import SweepError
from raymia.laws.synthetic import Array, split
from raymia.point.space import Part
from raymia.signals.view import Signals, View
from raymia.streams import stream
from raymia.training.defense import Batch, Clock
from raymia.training.network import Outputs
from raymia.verdict import metrics

NETWORK = {"classifier": "network", "epochs": 30}


def signals(kind: str, seed: int = 0) -> Signals:
    """Two classes, three probabilities. `turned`: members of class 0 are surer, members of class
    1 less sure. `middle`: members' p_0 lies in the middle, others' at either end.
    """
    drawn, rng = split(records=300, models=8, seed=seed), np.random.default_rng(seed)
    label: Array = np.asarray(rng.integers(0, 2, 300))
    noise = rng.standard_normal(drawn.member.shape)
    side = np.where(rng.random(drawn.member.shape) < 0.5, -1.0, 1.0)
    if kind == "turned":
        first = 0.3 * noise + drawn.member * np.where(label == 0, 1.5, -1.5)
    else:
        first = 0.3 * noise + ~drawn.member * 2.5 * side
    logits = np.stack([first, np.zeros_like(first), np.zeros_like(first)], -1)
    return Signals(drawn, label, {"logits": logits})


def found(of: Signals, **knobs: Any) -> tuple[Array, Array, View]:
    view = of.view(0, {"logits"})
    score = make(Part("class_vector", knobs)).score(view, stream("test"))
    return score, of.split.member[of.split.targets[0], view.asked], view


@pytest.mark.parametrize("knobs", [{}, NETWORK], ids=["logistic", "network"])
def test_each_class_is_told_by_a_classifier_of_its_own(knobs: dict[str, Any]) -> None:
    """What means member in one class means the opposite in the other."""
    score, member, view = found(signals("turned"), **knobs)
    for c in (0, 1):
        of = view.labels[view.asked] == c
        assert metrics.auc(score[of], member[of]) > 0.95
    assert metrics.auc(score, member) > 0.95, "log-odds of both classes share one scale"


def test_only_a_network_sees_what_is_not_linear() -> None:
    score, member, _ = found(signals("middle"))
    assert metrics.auc(score, member) < 0.65
    score, member, _ = found(signals("middle"), **NETWORK)
    assert metrics.auc(score, member) > 0.95
    said = metrics.at_threshold(score, member, 0.0)
    assert said.balanced_accuracy > 0.9
    assert make(Part("class_vector", NETWORK)).cut(signals("middle").view(0, {"logits"})) == 0.0


def test_a_network_learns_from_its_own_class_alone() -> None:
    """Other answers about class 1 change no score of class 0."""
    plain = signals("turned")
    logits = plain.arrays["logits"].copy()
    logits[:, plain.labels == 1] = np.random.default_rng(1).standard_normal(3)
    score, _, view = found(plain, **NETWORK)
    other, _, _ = found(Signals(plain.split, plain.labels, {"logits": logits}), **NETWORK)
    first = view.labels[view.asked] == 0
    np.testing.assert_array_equal(other[first], score[first])
    assert not np.isclose(other[~first], score[~first]).all()


def test_a_class_without_members_cannot_tell() -> None:
    of = signals("turned")
    view = of.view(0, {"logits"})
    member = view.member & (view.labels == 0)
    score = make(Part("class_vector", NETWORK)).score(replace(view, member=member), stream("test"))
    first = view.labels[view.asked] == 0
    assert (score[~first] == 0).all() and (score[first] != 0).all()
    none = replace(view, member=np.zeros_like(member))
    assert not make(Part("class_vector", NETWORK)).score(none, stream("test")).any()


def test_the_loss_is_the_cross_entropy_of_a_second_softmax() -> None:
    """-log of softmax(p)_y, p = softmax(z): never below log(1 + 1/e) = 0.3133."""
    z = np.array([[0.0, 0.0], [2.0, -1.0], [30.0, -30.0]])
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    label = np.array([0, 1, 0])
    second = np.exp(p) / np.exp(p).sum(1, keepdims=True)
    expected = -np.log(second[np.arange(3), label])
    assert expected[2] == pytest.approx(np.log(1 + np.exp(-1.0)))
    target = torch.eye(2, dtype=torch.float64)[label]
    outputs = Outputs(torch.tensor(z), torch.zeros(3, 1))
    batch, clock = Batch(torch.zeros(3, 1), target, torch.tensor(label)), Clock(0, 1, 0)
    got = learned._Twice().criterion(outputs, batch, clock)
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-12)
    assert class_vector._Network.twice


def test_the_network_has_one_hidden_layer_and_sees_probabilities() -> None:
    made = class_vector._Network()
    net = made.network(5)
    sizes = [tuple(p.shape) for p in net.parameters()]
    assert sizes == [(64, 5), (64,), (2, 64), (2,)]
    logits = np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(made.inputs({"logits": logits}, np.array([0, 1])), p, rtol=1e-12)
    training = made.training(1000)
    assert (training.epochs, training.batch_size, training.optimizer) == (100, 100, "adam")
    assert (training.lr, training.weight_decay, training.milestones) == (0.01, 1e-7, ())


def test_a_regression_has_no_epochs() -> None:
    with pytest.raises(SweepError, match="epochs goes with classifier: network"):
        make(Part("class_vector", {"epochs": 50}))
