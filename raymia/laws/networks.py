"""Laws that every network keeps, whoever wrote it.

def test_mine() -> None:
    networks.check("mine")
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raymia.laws import estimators
from raymia.laws.law import check_all, holds
from raymia.point import catalog
from raymia.point.schedule import Training
from raymia.point.space import Part
from raymia.signals import gradient_norms
from raymia.training.architecture import Architecture
from raymia.training.clipping import Clipping
from raymia.training.defense import Defense, Lesson
from raymia.training.fit import fit
from raymia.training.model import Model
from raymia.training.network import Network

TRAINING = Training(epochs=2, batch_size=8, lr=0.01, precision="float64")
Knobs = Mapping[str, Any]


def _made(name: str, knobs: Knobs) -> Architecture:
    architecture: Architecture = catalog.made("networks", Part(name, knobs))
    return architecture


def shapes(architecture: Architecture) -> list[tuple[int, ...]]:
    """Shapes of records that the network must take: images from the least side on, documents, or
    vectors.
    """
    if architecture.documents:
        return [(2, 3, 4), (1, 1, 5), (4, 2, 1)]
    if not architecture.images:
        return [(1,), (7,), (40,)]
    side = architecture.smallest()
    return [(1, side, side), (3, side + 1, side + 3), (3, 2 * side + 1, 2 * side)]


def _records(shape: tuple[int, ...], many: int = 6) -> Tensor:
    draw = torch.Generator().manual_seed(0)
    return torch.rand((many, *shape), generator=draw, dtype=torch.float64)


def _net(
    architecture: Architecture, shape: tuple[int, ...], classes: int, seed: int = 0
) -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return architecture.build(shape, classes).double()


def _each(name: str, knobs: Knobs) -> Iterator[tuple[tuple[int, ...], int, Network]]:
    architecture = _made(name, knobs)
    for shape in shapes(architecture):
        for classes in (2, 10):
            yield shape, classes, _net(architecture, shape, classes)


def says_finite_numbers_at_any_size(name: str, knobs: Knobs) -> None:
    """Logits [B, C] and features [B, D] are finite, in training and in evaluation."""
    for shape, classes, net in _each(name, knobs):
        for training in (True, False):
            outputs = net.train(training)(_records(shape))
            where = f"records of shape {shape}, {classes} classes"
            holds(outputs.logits.shape == (6, classes), f"{where}: {tuple(outputs.logits.shape)}")
            size = (6, net.features)
            holds(outputs.features.shape == size, f"{where}: {tuple(outputs.features.shape)}")
            finite = outputs.logits.isfinite().all() and outputs.features.isfinite().all()
            holds(finite, f"{where}: not finite")


def features_are_what_the_head_reads(name: str, knobs: Knobs) -> None:
    """The head of the features gives the logits, and the backbone of the records the features."""
    for shape, classes, net in _each(name, knobs):
        net.eval()
        x = _records(shape)
        outputs = net(x)
        where = f"records of shape {shape}, {classes} classes"
        holds(torch.equal(net.head(outputs.features), outputs.logits), f"{where}: the head")
        own = net.backbone(net.normalise(x))
        holds(torch.equal(own, outputs.features), f"{where}: the backbone")
        holds(net.classes == classes, f"{where}: it says that it has {net.classes} classes")


def the_seed_decides_the_weights(name: str, knobs: Knobs) -> None:
    """torch's global generator alone decides the initial weights, and no two are alike."""
    architecture = _made(name, knobs)
    shape = shapes(architecture)[-1]
    one, again, other = (_net(architecture, shape, 3, seed).state_dict() for seed in (0, 0, 1))
    holds(all(torch.equal(one[key], again[key]) for key in one), "the same seed, other weights")
    holds(any(not torch.equal(one[key], other[key]) for key in one), "another seed, the same")


def a_copy_leaves_the_original(name: str, knobs: Knobs) -> None:
    """with_head and edit return a network of its own, and the original says what it said."""
    for shape, classes, net in _each(name, knobs):
        net.eval()
        x = _records(shape)
        before = net(x).logits
        headless = net.with_head(lambda head: nn.Sequential(head, nn.Tanh())).eval()
        holds(torch.allclose(headless(x).logits, before.tanh()), f"{shape}: another head")
        edited = net.edit(lambda module: module)
        with torch.no_grad():
            for parameter in edited.parameters():
                parameter.add_(1.0)
        holds(torch.equal(net(x).logits, before), f"{shape}, {classes} classes: the original moved")


@cache
def _lesson(shape: tuple[int, ...], models: tuple[int, ...]) -> Lesson:
    members = tuple(np.sort(np.random.default_rng(m).permutation(24)[:16]) for m in models)
    x, y = _records(shape, 32), torch.arange(32) % 3
    return Lesson(x, y, members, (np.arange(24, 32),) * len(models), 3)


def _trained(name: str, knobs: Knobs, models: Sequence[int], recipe: Defense) -> list[Network]:
    architecture = _made(name, knobs)
    shape = shapes(architecture)[0]
    lesson = _lesson(shape, tuple(models))
    found = fit(recipe, lambda: architecture.build(shape, 3), lesson, TRAINING, ("law",), models)
    return [model.network for model in found if isinstance(model, Model)]


def a_network_of_an_ensemble_equals_the_same_alone(name: str, knobs: Knobs) -> None:
    """Trained beside others it ends with the weights that it has alone, to 1e-9 in float64."""
    together = _trained(name, knobs, (0, 1, 2), Defense())
    for m in range(3):
        (alone,) = _trained(name, knobs, (m,), Defense())
        pairs = zip(together[m].parameters(), alone.parameters(), strict=True)
        apart = max(float((a - b).abs().max()) for a, b in pairs)
        holds(apart <= 1e-9, f"model {m} differs by {apart:g}")


def dpsgd_clips_it_record_by_record(name: str, knobs: Knobs) -> None:
    """After GroupNorm, the sum of the records' clipped gradients is that of single ones made one
    by one, to 1e-9 in float64, and every parameter has its part in it.
    """
    private: Defense = catalog.made("defenses", Part("dpsgd", {}))
    architecture = _made(name, knobs)
    shape = shapes(architecture)[-1]
    net = private.network(_net(architecture, shape, 3)).double().train()
    x, y, parameters = _records(shape, 4), torch.arange(4) % 3, list(net.parameters())

    def losses(some: slice = slice(None)) -> Tensor:
        return F.cross_entropy(net(x[some]).logits, y[some], reduction="none")

    made = [torch.autograd.grad(losses(slice(i, i + 1))[0], parameters) for i in range(len(x))]
    flat = torch.stack([torch.cat([g.flatten() for g in grads]) for grads in made])
    wanted = flat.norm(dim=1)
    bound = float(wanted.median())  # half of the records are clipped
    clip = Clipping(net, bound)
    found, norms = clip(losses)
    clip.close()
    apart = float((norms / wanted - 1).abs().max())
    holds(apart <= 1e-9, f"a norm differs by {apart:g} of it")
    expected = ((bound / wanted).clamp(max=1) @ flat).split([p.numel() for p in parameters])
    for (key, p), own in zip(net.named_parameters(), expected, strict=True):
        apart = float((found[p].flatten() - own).abs().max() / wanted.max())
        holds(apart <= 1e-9, f"{key}: the clipped sum differs by {apart:g} of a norm")
        holds(bool(found[p].any()), f"{key} got no gradient")


def gradient_norms_are_autograds(name: str, knobs: Knobs) -> None:
    """The l1 and l2 norms of each record's gradient by all weights are those of autograd."""
    architecture = _made(name, knobs)
    shape = shapes(architecture)[0]
    net = _net(architecture, shape, 3).eval()
    x, y = _records(shape), torch.arange(6) % 3
    for p in (1, 2):
        found = gradient_norms.gradient(net, x, y, p)
        for i in range(len(x)):
            loss = F.cross_entropy(net(x[i : i + 1]).logits, y[i : i + 1])
            grads = torch.autograd.grad(loss, list(net.parameters()))
            expected = float(torch.cat([g.flatten() for g in grads]).norm(p))
            seen = float(found[i])
            close = abs(seen - expected) <= 1e-6 * max(1.0, expected)
            holds(close, f"record {i}, l{p}: {seen:g} instead of {expected:g}")


LAWS = (
    says_finite_numbers_at_any_size,
    features_are_what_the_head_reads,
    the_seed_decides_the_weights,
    a_copy_leaves_the_original,
    a_network_of_an_ensemble_equals_the_same_alone,
    dpsgd_clips_it_record_by_record,
    gradient_norms_are_autograds,
)


def laws(name: str) -> tuple[Callable[..., None], ...]:
    """Those of networks, or of estimators where it trains itself."""
    itself = "steps" in catalog.find("networks", name).lacks
    return estimators.LAWS if itself else LAWS


def check(name: str, knobs: Knobs | None = None) -> None:
    """All its laws for one of the catalogue. Raises LawBroken."""
    check_all(laws(name), name, knobs or {})
