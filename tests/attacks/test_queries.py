"""What is asked of a model, against closed forms of linear models and gradients made one by one."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from raymia.attacks.distance_to_confident import DistanceToConfident
from raymia.signals import gradient_norms, perturb, queries
from raymia.signals.queries import QUERIES, Subject
from raymia.streams import stream
from raymia.training.model import Model
from raymia.training.modules import LinearNorm
from raymia.training.network import Network, classifier

Array = np.ndarray[Any, Any]


def subject(network: Network, x: Any, y: Any) -> Subject:
    network.eval().requires_grad_(False)
    x, y = torch.as_tensor(x, dtype=torch.float32), torch.as_tensor(y)
    return Subject(
        Model(network, torch.float32), lambda z: z, x, y, stream("test"), np.arange(len(x))
    )


def linear(weight: Any, bias: Any) -> Network:
    weight = torch.as_tensor(np.array(weight), dtype=torch.float32)
    network = classifier(nn.Identity(), weight.shape[1], len(weight))
    with torch.no_grad():
        network.head.weight.copy_(weight)
        network.head.bias.copy_(torch.as_tensor(bias, dtype=torch.float32))
    return network


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(6, 4)

    def forward(self, x: Any) -> Any:
        return self.inner(x.flatten(2).transpose(1, 2).reshape(len(x), -1, 6)).mean(1)


def convolutional() -> nn.Module:
    first, second = (
        nn.Conv2d(2, 4, 3, stride=2, padding=1),
        nn.Conv2d(4, 6, 3, groups=2, bias=False),
    )
    return nn.Sequential(first, nn.ReLU(), second, nn.Flatten(), nn.Linear(24, 5), nn.Tanh())


BACKBONES = {
    "linear": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(128, 5), nn.ReLU()), 5),
    "convolutions": (convolutional, 5),
    "positions": (Tokens, 4),
    "norm layers": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 4, 3), nn.GroupNorm(2, 4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)
        ),
        5,
    ),
}


def slow(network: Network, x: Any, y: Any, p: int) -> list[float]:
    out = []
    for i in range(len(x)):
        loss = nn.functional.cross_entropy(network(x[i : i + 1]).logits, y[i : i + 1])
        grads = torch.autograd.grad(loss, list(network.parameters()))
        flat = torch.cat([g.flatten() for g in grads]).double()
        out.append(float(flat.abs().sum() if p == 1 else flat.norm()))
    return out


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("name", [*BACKBONES, "head of another kind", "one layer twice"])
def test_weight_gradients_equal_those_made_one_by_one(name: str, p: int) -> None:
    torch.manual_seed(0)
    make, features = BACKBONES.get(name, BACKBONES["linear"])
    network = classifier(make(), features, 3)
    if name == "head of another kind":
        network = Network(make(), LinearNorm(features, 3, True), features, 3)
    if name == "one layer twice":
        again = nn.Linear(5, 5)
        network = classifier(nn.Sequential(make(), again, nn.Tanh(), again), 5, 3)
    x, y = (
        torch.randn(7, 2, 8, 8) if name != "positions" else torch.randn(7, 2, 6, 3),
        torch.tensor([0, 1, 2, 0, 1, 2, 0]),
    )
    expected = slow(network, x, y, p)
    network.eval().requires_grad_(False)
    np.testing.assert_allclose(
        gradient_norms.gradient(network, x, y, p).numpy(), expected, rtol=1e-4
    )


def test_input_gradient_of_a_linear_model() -> None:
    """The gradient of the cross-entropy by x is W' (p - onehot)."""
    rng = np.random.default_rng(0)
    weight, x, y = rng.normal(size=(3, 4)), rng.normal(size=(9, 4)), rng.integers(0, 3, 9)
    found = queries.input_grad(subject(linear(weight, [0, 0, 0]), x, y))
    z = x @ weight.T
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    grad = (p - np.eye(3)[y]) @ weight
    np.testing.assert_allclose(found["input_grad_l2"], np.linalg.norm(grad, axis=1), rtol=1e-4)
    np.testing.assert_allclose(found["input_grad_l1"], np.abs(grad).sum(1), rtol=1e-4)


def plane() -> tuple[Subject, Array, Array]:
    """Two classes with the boundary w x = 0; margins m of the records; the last one is
    predicted wrong.
    """
    w = np.array([3.0, -4.0])
    x = np.array([[1.0, 0.5], [2.0, -1.0], [0.3, 0.0], [1.0, 2.0]])
    return subject(linear([w / 2, -w / 2], [0, 0]), x, np.zeros(4, np.int64)), x @ w, w


def test_adversarial_distance_of_a_plane() -> None:
    asked, margin, w = plane()
    found = queries.adversarial_distance(asked)
    np.testing.assert_allclose(
        found["adversarial_distance_l2"], np.maximum(margin, 0) / np.linalg.norm(w), rtol=2e-3
    )
    np.testing.assert_allclose(
        found["adversarial_distance_linf"], np.maximum(margin, 0) / np.abs(w).sum(), rtol=2e-3
    )


def test_boundary_distance_of_a_plane_comes_from_labels_alone() -> None:
    asked, margin, w = plane()
    exact = np.maximum(margin, 0) / np.linalg.norm(w)
    found = queries.boundary_distance(asked)["boundary_distance"]
    asked, _, _ = plane()
    assert (found >= exact - 1e-5).all() and (found <= 1.1 * exact).all()
    scaled = Subject(asked.model, lambda z: 8 * z, asked.x, asked.y, stream("test"), asked.members)
    np.testing.assert_array_equal(queries.boundary_distance(scaled)["boundary_distance"], found)


def test_a_model_with_one_label_has_no_boundary() -> None:
    found = perturb.boundary(
        lambda x: np.zeros(len(x), np.int64), torch.zeros(3, 2), np.array([0, 1, 0]), stream("test")
    )
    assert found[0] == found[2] > 0 == found[1]


def test_distance_to_confident_counts_steps_of_a_thousandth() -> None:
    """log(1 + exp(-2 w x)) falls below that at x* after ceil((x* - x) / 0.001) steps, one at
    least and a hundred at most.
    """
    x, star = np.array([[0.5], [0.42], [0.5005], [0.3], [0.7]]), 0.5
    loss = float(np.log1p(np.exp(-2 * 5 * star)))
    network = linear([[5.0], [-5.0]], [0, 0])
    y = torch.zeros(5, dtype=torch.int64)
    found = perturb.confident(
        lambda at: network(at).logits, torch.tensor(x, dtype=torch.float32), y, loss
    ).numpy()
    np.testing.assert_allclose(found, [0.001, 0.08, 0.001, 0.1, 0.001], atol=1.2e-3)


def test_the_mean_distances_beside_their_gap_are_those_of_table_seven() -> None:
    """Fashion-MNIST of Kaya et al.: 5.2 of the test set, 2.8 of the training set, gap 46.1%."""
    score, member = -np.array([2.0, 3.6, 5.0, 5.4]) / 1000, np.array([True, True, False, False])
    found = DistanceToConfident().numbers(score, member)
    assert found["dtc_members"] == pytest.approx(0.0028)
    assert found["dtc_nonmembers"] == pytest.approx(0.0052)
    assert found["dtc_gap"] == pytest.approx(0.461, abs=1e-3)


def test_the_confident_region_is_that_of_the_models_own_members() -> None:
    asked, margin, _ = plane()
    few = Subject(asked.model, asked.release, asked.x, asked.y, asked.rng, np.array([0]))
    assert queries.confident_distance(few)["confident_distance"][1] == pytest.approx(
        0.001, abs=1e-6
    )
    assert margin[1] > margin[0] > margin[2]


def test_sensitivity_is_the_slope() -> None:
    """For two classes and one input |p(x + su) - p(x)| / s tends to p (1 - p) w |u|."""
    network = linear([[2.0], [0.0]], [0.0, 0.0])
    x = np.linspace(-2, 2, 9)[:, None]
    got = queries.sensitivity(subject(network, x, np.zeros(9, np.int64)))["sensitivity"]
    u = np.mean(
        [
            np.abs(g)
            for g in (lambda r: [r.standard_normal(x.shape) for _ in range(10)])(stream("test"))
        ],
        0,
    )
    p = 1 / (1 + np.exp(-2 * x[:, 0]))
    np.testing.assert_allclose(got[:, 0], p * (1 - p) * 2 * u[:, 0], rtol=0.02)
    np.testing.assert_allclose(got[:, 0], got[:, 1], rtol=1e-6)


def test_shifted_copies() -> None:
    x = torch.arange(16.0).reshape(1, 1, 4, 4) + 1
    copies = list(perturb.shifted(x, (0, 1, -1)))
    assert len(copies) == 18 and torch.equal(copies[0], x) and torch.equal(copies[1], x.flip(-1))
    right = copies[2][0, 0]  # shifted right by one, zeros coming in
    assert (right[:, 0] == 0).all() and torch.equal(right[:, 1:], x[0, 0, :, :-1])
    assert len(list(perturb.shifted(x, range(-4, 5)))) == 162


def test_label_only_queries_see_labels_only() -> None:
    """A release that keeps the order of the classes keeps their answers."""
    rng = np.random.default_rng(0)
    network = classifier(nn.Sequential(nn.Flatten(), nn.Linear(16, 4), nn.ReLU()), 4, 3)
    asked = subject(network, rng.random((20, 1, 4, 4)), rng.integers(0, 3, 20))
    other = Subject(
        asked.model,
        lambda z: np.eye(3)[z.argmax(-1)],
        asked.x,
        asked.y,
        stream("test"),
        asked.members,
    )
    for name in ("augmented_right", "boundary_distance"):
        fresh = Subject(asked.model, asked.release, asked.x, asked.y, stream("test"), asked.members)
        np.testing.assert_array_equal(QUERIES[name](fresh)[name], QUERIES[name](other)[name])
    assert queries.view_log_odds(asked)["view_log_odds"].shape == (20, 18)


def test_a_white_box_query_needs_a_network() -> None:
    asked = Subject(
        lambda x: x,
        lambda z: z,
        torch.zeros(2, 3),
        torch.zeros(2, dtype=torch.int64),
        stream("test"),
        np.arange(2),
    )
    for name in ("input_grad", "weight_grad_l2", "confident_distance", "adversarial_distance"):
        with pytest.raises(TypeError, match="none is released"):
            QUERIES[name](asked)


@pytest.mark.parametrize(
    "name",
    ["input_grad", "weight_grad_l1", "weight_grad_l2", "confident_distance",
     "adversarial_distance", "adversarial_l1_distance"],
)  # fmt: skip
def test_what_nobody_asks_about_costs_nothing_and_changes_nothing(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "GRAD_CHUNK", 3)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(11, 4)), np.arange(11) % 3
    whole = subject(linear(rng.normal(size=(3, 4)), rng.normal(size=3)), x, y)
    few = replace(whole, asked=np.array([1, 4, 5, 9]))
    every, found = queries.QUERIES[name](whole), queries.QUERIES[name](few)
    assert every.keys() == found.keys()
    for key, value in every.items():
        assert np.allclose(found[key][few.asked], value[few.asked], rtol=1e-12, atol=0)
        assert not np.delete(found[key], few.asked).any() and np.delete(value, few.asked).any()
