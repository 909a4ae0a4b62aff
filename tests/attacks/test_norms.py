"""Distances to the decision boundary in l1 and l_inf."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from raymia.attack.attack import make
from raymia.laws.synthetic import world
from raymia.point.space import Part
from raymia.signals import perturb, queries
from raymia.signals.queries import Subject
from raymia.streams import stream
from raymia.training.model import Model
from raymia.training.network import classifier
from raymia.verdict import metrics

Array = np.ndarray[Any, Any]
W = np.array([3.0, -4.0, 1.0])
X = np.array([[1.0, 0.5, 0.0], [2.0, -1.0, 0.4], [0.3, 0.0, -0.2], [1.0, 2.0, 0.0]])
MARGIN = np.maximum(X @ W, 0)  # of the last one, which is predicted wrong, there is none


def plane() -> Subject:
    """Two classes with the boundary w x = 0."""
    network = classifier(nn.Identity(), 3, 2)
    with torch.no_grad():
        network.head.weight.copy_(torch.tensor(np.stack([W / 2, -W / 2])))
        network.head.bias.zero_()
    network.eval().requires_grad_(False)
    x, y = torch.tensor(X, dtype=torch.float32), torch.zeros(4, dtype=torch.int64)
    model = Model(network, torch.float32)
    return Subject(model, lambda z: z, x, y, stream("test"), np.arange(4))


def test_the_nearest_plane_in_l1_is_along_the_steepest_feature() -> None:
    """The dual norm: m / |w|_inf in l1, m / |w|_1 in l_inf."""
    found = queries.adversarial_l1_distance(plane())["adversarial_l1_distance"]
    np.testing.assert_allclose(found, MARGIN / np.abs(W).max(), rtol=2e-3)
    other = queries.adversarial_distance(plane())["adversarial_distance_linf"]
    np.testing.assert_allclose(other, MARGIN / np.abs(W).sum(), rtol=2e-3)
    assert MARGIN[3] == 0 and (MARGIN[:3] > 0).all()


def test_a_curved_boundary_in_l1() -> None:
    """Inside |x|_2 < 1 the nearest point of the circle in l1 is along the larger coordinate."""
    x = np.array([[0.2, 0.6], [-0.5, 0.1], [0.1, -0.3]])

    def logits(at: torch.Tensor) -> torch.Tensor:
        z = 1 - at.square().sum(1)
        return torch.stack([z, -z], 1)

    found = perturb.adversarial(
        logits, torch.tensor(x, dtype=torch.float32), torch.zeros(3, dtype=torch.int64), "l1"
    ).numpy()
    small, large = np.sort(np.abs(x), 1).T
    np.testing.assert_allclose(found, np.sqrt(1 - small**2) - large, rtol=2e-3)


def test_label_only_norms_are_of_the_point_nearest_in_l2() -> None:
    """Of the point x - w m / |w|^2: m |w|_1 / |w|^2 in l1, m |w|_inf / |w|^2 in l_inf."""
    asked = plane()
    before = asked.rng.bit_generator.state
    found = queries.boundary_norms(asked)
    assert asked.rng.bit_generator.state == before, "what is asked after it is as without it"
    square = (W**2).sum()
    for norm, size in (("l1", np.abs(W).sum()), ("linf", np.abs(W).max())):
        got = found[f"boundary_norms_{norm}"]
        np.testing.assert_allclose(got, MARGIN * size / square, rtol=0.25)
        assert got[3] == 0
    x, label = asked.x, np.zeros(4, np.int64)

    def said(at: torch.Tensor) -> Array:
        return asked.released(at).argmax(-1)

    every = perturb.boundaries(said, x, label, stream("x"), ("l1", "l2", "linf"))
    np.testing.assert_array_equal(every["l2"], perturb.boundary(said, x, label, stream("x")))
    assert (every["linf"] <= every["l2"] + 1e-9).all() and (every["l2"] <= every["l1"] + 1e-9).all()
    assert (every["l1"] <= np.sqrt(3) * every["l2"] + 1e-9).all()
    # a point on the boundary is at least the dual norm away
    assert (every["l1"] >= MARGIN / np.abs(W).max() - 1e-4).all()
    assert (every["linf"] >= MARGIN / np.abs(W).sum() - 1e-4).all()


def test_a_further_round_never_loses_the_nearest_point(monkeypatch: pytest.MonkeyPatch) -> None:
    """In l2; with few directions a round often ends farther away than it began."""
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(12, 8)), rng.normal(size=(8, 3))

    def said(at: torch.Tensor) -> Array:
        return np.asarray((np.tanh(at.numpy() @ first) @ second).argmax(1))

    x = torch.tensor(rng.normal(size=(40, 12)), dtype=torch.float32)
    monkeypatch.setattr(perturb, "DIRECTIONS", 3)
    found = []
    for rounds in range(1, 7):
        monkeypatch.setattr(perturb, "ROUNDS", rounds)
        found.append(perturb.boundary(said, x, said(x), stream("x")))
    assert (np.diff(found, axis=0) <= 0).all() and (np.diff(found, axis=0) < 0).any()
    assert (np.diff(found, axis=0) == 0).any(), "some rounds found nothing nearer"


@pytest.mark.parametrize("name", ["boundary", "adversarial_distance"])
def test_each_norm_reads_its_own_answer(name: str) -> None:
    signals = world(1.0)
    scores = {}
    for norm in ("l1", "l2", "linf"):
        attack = make(Part(name, {"norm": norm}))
        view = signals.view(0, attack.traits().needs)
        scores[norm] = attack.score(view, stream("test"))
        member = signals.split.member[signals.split.targets[0], view.asked]
        assert metrics.auc(scores[norm], member) > 0.9
        (read,) = (n for n in view.target if n.endswith(norm) or len(view.target) == 1)
        np.testing.assert_array_equal(scores[norm], view.target[read][view.asked])
    assert len({tuple(one) for one in scores.values()}) == 3
    default = make(Part(name, {}))
    assert default == make(Part(name, {"norm": "l2"}))
    assert default.traits().needs == {f"{name.removesuffix('_distance')}_distance"}
