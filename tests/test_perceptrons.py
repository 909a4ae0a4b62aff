"""The small networks of attacks, all in one buffer, are those that `fit` trains."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from raymia.attack.learned import _Squared, _Twice, attentive, perceptron, two_branches
from raymia.point.schedule import Training
from raymia.streams import stream
from raymia.training.defense import Defense, Lesson
from raymia.training.fit import fit
from raymia.training.group import Diverged
from raymia.training.modules import Dropout
from raymia.training.network import Network
from raymia.training.perceptrons import _Group, _Order, is_perceptron, learn

ADAM = Training(3, 16, optimizer="adam", lr=0.01, weight_decay=1e-3, milestones=((0.5, 0.1),))
SGD = Training(3, 16, optimizer="sgd", lr=0.1, weight_decay=1e-2, milestones=())
NOBODY = np.zeros(0, np.int64)


def lesson(sizes: tuple[int, ...] = (40, 40, 33)) -> Lesson:
    """Members of their own for each model, of which the last has fewer."""
    rng = np.random.default_rng(0)
    x = torch.tensor(rng.normal(size=(90, 6)), dtype=torch.float32)
    members = tuple(rng.choice(90, n, replace=False) for n in sizes)
    return Lesson(x, torch.tensor(rng.integers(0, 2, 90)), members, (NOBODY,) * len(sizes), 2)


def weights(models: list[Any]) -> list[torch.Tensor]:
    return [p for model in models for p in model.network.state_dict().values()]


@pytest.mark.parametrize("training", [ADAM, SGD], ids=["adam", "sgd"])
@pytest.mark.parametrize(
    "recipe", [Defense(), _Squared(), _Twice()], ids=["cross", "square", "twice"]
)
@pytest.mark.parametrize(
    "build",
    [
        lambda: perceptron(6, (8, 5)),
        lambda: perceptron(6, (8, 5), last_activation=False),
    ],
    ids=["chain", "linear end"],
)
def test_they_are_those_of_fit(build: Any, recipe: Defense, training: Training) -> None:
    """The same draws, steps and weights, to the rounding of float32."""
    given = recipe, build, lesson(), training, ("x",), (3, 1, 4)
    fitted, ours = weights(fit(*given)), weights(learn(*given))
    begun = weights(learn(*given[:3], replace(training, lr=0.0), *given[4:]))
    for one, other, first in zip(fitted, ours, begun, strict=True):
        assert torch.allclose(one, other, atol=2e-5) and not torch.allclose(one, first, atol=1e-4)


def test_one_of_several_is_the_same_alone() -> None:
    def build() -> Network:
        return perceptron(6, (8, 5), dropout=0.3)

    every = learn(Defense(), build, lesson(), ADAM, ("x",), (3, 1, 4))
    whole = lesson()
    alone = replace(whole, members=whole.members[1:2], reference=(NOBODY,))
    own = learn(Defense(), build, alone, ADAM, ("x",), (1,))
    for one, other in zip(weights(own), weights(every[1:2]), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_what_belongs_together_follows_one_another() -> None:
    rows = np.array([10, 11, 12, 13, 14, 15, 16])
    block = np.array([7, 7, 2, 7, 5, 2, 5])
    drawn = [_Order(stream(k), rows, block).draw() for k in range(40)]
    for order in drawn:
        assert sorted(order) == rows.tolist()
        of = block[order - 10]
        assert (of[1:] != of[:-1]).sum() == 2  # three blocks, none in two pieces
    assert len({tuple(block[order - 10]) for order in drawn}) == 6  # in every order
    again = _Order(stream(0), rows, block)
    assert (
        np.array_equal(again.draw(), drawn[0]) and len({tuple(again.draw()) for _ in "abcde"}) > 1
    )


def test_batches_of_whole_records_are_other_batches() -> None:
    """With a block for each half of the rows a batch is one of them; learning sees the blocks."""
    given = Defense(), lambda: perceptron(6, (8,)), lesson((40, 40, 40)), ADAM, ("x",), (3, 1, 4)
    block = np.arange(90) // 10
    apart, whole = weights(learn(*given)), weights(learn(*given, together=block))
    assert not any(map(torch.equal, apart, whole))
    every = replace(ADAM, batch_size=40)  # one batch of all rows: their order does not matter
    given = *given[:3], every, *given[4:]
    apart, whole = weights(learn(*given)), weights(learn(*given, together=block))
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(apart, whole, strict=True))


@pytest.mark.parametrize("last", [True, False])
def test_derivatives_through_dropout_are_autograds(last: bool) -> None:
    nets = [perceptron(6, (8, 5, 4), 0.4, last) for _ in range(2)]
    group = _Group(nets, Defense(), ADAM, 0.999)
    for layer in group._layers:
        layer.draw([stream(layer.numel, k) for k in range(2)], 9)
    x, slope = torch.randn(2, 9, 6), torch.randn(2, 9, 1)
    said = group.forward(x)
    group.backward(slope)
    for k, net in enumerate(nets):
        masks = [layer._mask for layer in group._layers if layer._mask is not None]
        layers = [m for m in net.modules() if isinstance(m, Dropout)]
        assert len(masks) == len(layers) == (3 if last else 2)
        for module, mask in zip(layers, masks, strict=True):
            module.mask = mask[k]
            assert 0 < (mask == 0).float().mean() < 0.8
            assert torch.allclose(mask[mask > 0], torch.tensor(1 / 0.6))
        logits = net.train()(x[k]).logits
        odds = logits[:, 1:] - logits[:, :1]
        assert torch.allclose(odds, said[k], atol=1e-5)
        (odds * slope[k]).sum().backward()
        linear = [m for m in net.modules() if isinstance(m, torch.nn.Linear)]
        for layer, own in zip(group._layers, linear, strict=True):
            assert own.weight.grad is not None and own.bias.grad is not None
            assert torch.allclose(layer.of_weight[k].T, own.weight.grad, atol=1e-4)
            assert torch.allclose(layer.of_bias[k, 0], own.bias.grad, atol=1e-4)


def test_adam_forgets_as_it_is_told() -> None:
    def build() -> Network:
        return perceptron(6, (8,))

    given = Defense(), build, lesson(), ADAM, ("x",), (3, 1, 4)
    assert all(map(torch.equal, weights(learn(*given)), weights(learn(*given, beta2=0.999))))
    assert not any(map(torch.equal, weights(learn(*given)), weights(learn(*given, beta2=0.9))))


@pytest.mark.parametrize(
    ("build", "is_one"),
    [
        (lambda: perceptron(6, (8,), 0.1), True),
        (lambda: two_branches(3, (4,), (5,), (6,)), False),
        (lambda: attentive(2, 3, width=8, layers=1, heads=2, inside=8, dropout=0.0), False),
    ],
)
def test_other_networks_are_trained_by_fit(build: Callable[[], Network], is_one: bool) -> None:
    assert is_perceptron(build()) == is_one
    if not is_one:
        # one by one, as the attacks train them
        own = replace(lesson(), members=lesson().members[:1], reference=lesson().reference[:1])
        given = Defense(), build, own, ADAM, ("x",), (3,)
        assert all(map(torch.equal, weights(learn(*given)), weights(fit(*given))))


def test_what_is_no_number_is_said() -> None:
    with pytest.raises(Diverged, match="after epoch 1"):
        learn(
            Defense(),
            lambda: perceptron(6, (8,)),
            replace(lesson(), x=lesson().x * torch.inf),
            ADAM,
            ("x",),
            (3, 1, 4),
        )
