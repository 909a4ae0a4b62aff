"""What lies near a record: copies of it, and the nearest place where a model says something
else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

Array = np.ndarray[Any, Any]
# x [B, ...] in the data's units -> logits [B, C], differentiable
Logits = Callable[[Tensor], Tensor]
Labels = Callable[[Tensor], Array]  # x [B, ...] -> predicted labels [B]

DTC_STEP, DTC_STEPS = 0.001, 100
FOOL_STEPS, OVERSHOOT = 50, 1.02
ROUNDS, DIRECTIONS, HALVINGS = 4, 40, 12  # of the label-only search: about 250 queries a record


def shifted(x: Tensor, by: Iterable[int]) -> Iterator[Tensor]:
    """Images [S, C, H, W] shifted by each pair of `by`, zeros coming in, each followed by its
    mirror image.
    """
    by = list(by)
    pad, (height, width) = max(map(abs, by)), x.shape[-2:]
    padded = F.pad(x, (pad, pad, pad, pad))
    for down in by:
        for right in by:
            copy = padded[..., pad - down : pad - down + height, pad - right : pad - right + width]
            yield copy
            yield copy.flip(-1)


def scattered(x: Tensor, n: int, rng: np.random.Generator) -> Tensor:
    """Random inputs [n, ...]: each feature is that of one of the records [S, ...], drawn anew."""
    flat = x.flatten(1)
    drawn = torch.as_tensor(rng.integers(len(flat), size=(n, flat.shape[1])), device=flat.device)
    return flat.gather(0, drawn).reshape(n, *x.shape[1:])


def confident(logits: Logits, x: Tensor, y: Tensor, loss: float, chunk: int = 64) -> Tensor:
    """The l_inf distance [B] that sign steps of 0.001 (1 at least, 100 at most) take a record
    to a loss below `loss`. `chunk` records are asked at once, of those that are not there yet.

    One call gives the gradient of a step and whether the step before was enough.
    """
    here, active = x.clone(), torch.arange(len(x), device=x.device)

    def losses(z: Tensor, at: Tensor) -> Tensor:
        return F.cross_entropy(logits(z), y[at], reduction="none")

    for step in range(DTC_STEPS):
        moved = []
        for at in torch.split(active, chunk):
            if step == 1:  # half of the members are there after the first: no gradient of those
                with torch.no_grad():
                    at = at[losses(here[at], at) >= loss]
            with torch.enable_grad():
                z = here[at].requires_grad_()
                each = losses(z, at)
                far = (each >= loss) | (step == 0)
                if not far.any():
                    continue
                (grad,) = torch.autograd.grad(each.sum(), z)
            here[at[far]] -= DTC_STEP * grad[far].sign()
            moved.append(at[far])
        if not moved:
            break
        active = torch.cat(moved)
    return (here - x).flatten(1).abs().amax(1).double()


def adversarial(logits: Logits, x: Tensor, y: Tensor, norm: str) -> Tensor:
    """The distance [B] in that norm to where another class is predicted; 0 where one is already.

    Steps to where the margin between the label and the strongest other class would be 0 if it
    were linear (DeepFool: Moosavi-Dezfooli, Fawzi & Frossard, CVPR 2016, with its step of the
    least size in that norm), then halves the last line between.
    """
    y = y.to(x.device)
    with torch.no_grad():
        right = logits(x).argmax(-1) == y
    moved = torch.zeros_like(x)
    active = right.clone()
    for _ in range(FOOL_STEPS):
        at = torch.nonzero(active).flatten()
        if not len(at):
            break

        def lead(z: Tensor, of: Tensor = y[at]) -> Tensor:
            return _margin(z, of)

        grad, margin = _gradient(lead, logits, x[at] + moved[at])
        flat = grad.flatten(1)
        step = (margin.clamp(min=0) + 1e-4) * OVERSHOOT
        if norm == "l2":
            flat = -flat * (step / flat.square().sum(1).clamp(min=1e-12))[:, None]
        elif norm == "linf":
            flat = -flat.sign() * (step / flat.abs().sum(1).clamp(min=1e-12))[:, None]
        else:  # l1: the one feature that counts most
            size, first = flat.abs().max(1)
            own = -flat.sign() * (step / size.clamp(min=1e-12))[:, None]
            flat = own * F.one_hot(first, flat.shape[1])
        moved[at] += flat.view_as(grad).clamp(-1e3, 1e3)
        with torch.no_grad():
            active[at] = logits(x[at] + moved[at]).argmax(-1) == y[at]
    low, high = (
        torch.zeros(len(x), device=x.device, dtype=x.dtype),
        torch.ones(len(x), device=x.device, dtype=x.dtype),
    )
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        with torch.no_grad():
            fooled = logits(x + moved * _wide(middle, x)).argmax(-1) != y
        low, high = torch.where(fooled, low, middle), torch.where(fooled, middle, high)
    return torch.where(right, _length(moved, norm) * high.double(), 0.0)


def _gradient(value: Callable[[Tensor], Tensor], logits: Logits, x: Tensor) -> tuple[Tensor, ...]:
    """The gradient of the sum of `value(logits(x))` by x, and the value if it has one a record."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        out = value(logits(x))
        (grad,) = torch.autograd.grad(out.sum(), x)
    return (grad, out.detach()) if out.ndim else (grad,)


def _margin(z: Tensor, y: Tensor) -> Tensor:
    own = z.gather(1, y[:, None])[:, 0]
    return own - z.scatter(1, y[:, None], -torch.inf).amax(1)


def _wide(a: Tensor, like: Tensor) -> Tensor:
    return a.view(-1, *(1,) * (like.ndim - 1))


def _length(x: Tensor, norm: str) -> Tensor:
    flat = x.flatten(1).double()
    if norm == "l2":
        return flat.square().sum(1).sqrt()
    return flat.abs().sum(1) if norm == "l1" else flat.abs().amax(1)


def boundary(labels: Labels, x: Tensor, y: Array, rng: np.random.Generator) -> Array:
    """The l2 distance [S] from each record to the nearest point found that gets another label."""
    return boundaries(labels, x, y, rng, ("l2",))["l2"]


def boundaries(
    labels: Labels, x: Tensor, y: Array, rng: np.random.Generator, norms: Sequence[str]
) -> dict[str, Array]:
    """The distance [S], in each norm, from each record to the point found that gets another label
    and is the nearest in l2, from labels alone; 0 for a record that is classified wrongly.

    HopSkipJump (Chen, Jordan & Wainwright, S&P 2020). It starts on the line to a record with
    another predicted label, at the boundary. Each round estimates the boundary's normal from
    the labels of noisy copies, steps along it, and bisects the line back to the record.
    """
    said = labels(x)
    at = np.flatnonzero(said == y)
    others = {c: np.flatnonzero(said != c) for c in np.unique(y[at])}
    if not len(at) or not all(map(len, others.values())):
        nowhere = np.where(said == y, 1e6, 0.0)  # one label everywhere: there is no boundary
        return dict.fromkeys(norms, nowhere)
    place = rng.random(len(at))
    start = np.array(
        [others[c][int(u * len(others[c]))] for c, u in zip(y[at], place, strict=True)]
    )
    own, label = x[at], y[at]
    here = _halved(labels, own, x[start], label)
    nearest, best = here, _length(here - own, "l2")
    size = float(np.sqrt(own[0].numel()))
    for turn in range(1, ROUNDS + 1):
        apart = _wide(_length(here - own, "l2").float(), own)
        found = torch.zeros_like(own)
        votes = np.zeros((DIRECTIONS, len(at)))
        drawn = [
            torch.as_tensor(rng.standard_normal(own.shape, np.float32)) for _ in range(DIRECTIONS)
        ]
        for i, u in enumerate(drawn):
            votes[i] = np.where(labels(here + 0.1 * apart / size * u) != label, 1.0, -1.0)
        votes -= np.where(np.abs(votes.mean(0)) < 1, votes.mean(0), 0.0)
        for vote, u in zip(votes, drawn, strict=True):
            found += _wide(torch.as_tensor(vote, dtype=torch.float32), own) * u
        normal = found / _wide(_length(found, "l2").float().clamp(min=1e-12), own)
        step = apart / turn**0.5
        for _ in range(6):  # shorter, until the label is another
            bad = torch.as_tensor(labels(here + step * normal) == label)
            if not bool(bad.any()):
                break
            step = torch.where(_wide(bad, own), step / 2, step)
        bad = torch.as_tensor(labels(here + step * normal) == label)
        here = _halved(labels, own, torch.where(_wide(bad, own), here, here + step * normal), label)
        apart_now = _length(here - own, "l2")
        nearest = torch.where(_wide(apart_now < best, own), here, nearest)
        best = torch.minimum(best, apart_now)
    found_in = {norm: np.zeros(len(x)) for norm in norms}
    for norm, distance in found_in.items():
        distance[at] = _length(nearest - own, norm).numpy()
    return found_in


def _halved(labels: Labels, inside: Tensor, outside: Tensor, label: Array) -> Tensor:
    """The point on the line from `inside`, which is predicted as `label`, nearest to it that is
    not.
    """
    low, high = torch.zeros(len(inside)), torch.ones(len(inside))
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        other = torch.as_tensor(
            labels(inside + _wide(middle, inside) * (outside - inside)) != label
        )
        low, high = torch.where(other, low, middle), torch.where(other, middle, high)
    return inside + _wide(high, inside) * (outside - inside)
