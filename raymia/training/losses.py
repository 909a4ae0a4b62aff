"""Maths that several defenses share."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

from raymia.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

Array = np.ndarray[Any, Any]
# a released probability of 0: the floor that the papers' attacks put under their logarithms
FLOOR = 1e-30
CHUNK = 1024  # records a query
PLACES = 3  # of a logit, by which a query is known again: its last bits change with the batch
SEEN = 1e-6  # how far a probability must move to count as moved


def probabilities(logits: Array) -> Array:
    """softmax in float64, over the last axis."""
    z = logits.astype(np.float64)
    e = np.exp(z - z.max(-1, keepdims=True))
    return np.asarray(e / e.sum(-1, keepdims=True))


def logarithm(p: Array) -> Array:
    """log p, finite: floored at log 1e-30. As logits these are the probabilities again."""
    return np.log(np.maximum(p, FLOOR))


def drawn(logits: Array, salt: bytes) -> Array:
    """A number in [0, 1) for each query [S, C]: the same for the same query, whenever it comes."""
    asked = np.round(logits, PLACES).astype(np.float32) + 0.0  # of -0.0, too
    hashed = [blake2b(row.tobytes(), key=salt, digest_size=6).digest() for row in asked]
    return np.array([int.from_bytes(h) for h in hashed]) / 2**48


def aligned(estimator: Any, x: Array, classes: int) -> Array:
    """Probabilities [S, C] of all classes; 0 for those that the estimator has not seen."""
    out = np.zeros((len(x), classes))
    out[:, estimator.classes_] = estimator.predict_proba(x)
    return out


def softened(model: Callable[[Tensor], Tensor], x: Tensor, temperature: float) -> Tensor:
    """softmax(z / temperature) of a trained model, [B, C]; no gradient."""
    with torch.no_grad():
        return torch.cat(
            [(model(part) / temperature).softmax(-1) for part in torch.split(x, CHUNK)]
        )


def divergence(target: Tensor, logits: Tensor, temperature: float) -> Tensor:
    """The terms t_c log(t_c / softmax(z / temperature)_c) of KL(t || softmax(z / temperature)),
    [B, C].
    """
    return torch.xlogy(target, target) - target * (logits / temperature).log_softmax(-1)


def entropy(logits: Tensor) -> Tensor:
    """-sum_c p_c log p_c of p = softmax(z), [B]."""
    log_p = logits.log_softmax(-1)
    return -(log_p.exp() * log_p).sum(-1)


def unspent(logits: Tensor) -> Tensor:
    """The mean entropy that is missing to a uniform answer, as a share of it."""
    missing: Tensor = 1 - entropy(logits).mean() / np.log(logits.shape[-1])
    return missing


def relax(value: Tensor, threshold: float, even: bool, flat: Tensor) -> Tensor:
    """The rule of RelaxLoss for one batch.

    Even epochs: |value - threshold|, ascent below the threshold. Odd epochs: `value` above it,
    `flat` at or below. Shapes: scalars. Written with `where`, so that every model of an
    ensemble takes its own branch.
    """
    if even:
        return (value - threshold).abs()
    return torch.where(value > threshold, value, flat)


def flattened(p: Tensor, label: Tensor, upper: float) -> Tensor:
    """Posterior flattening: the true class keeps clamp(p_y, 0, upper), the rest is shared
    evenly. [B, C] -> [B, C].
    """
    classes = p.shape[-1]
    right = torch.nn.functional.one_hot(label, classes).to(p.dtype)
    keep = (p * right).sum(-1, keepdim=True).clamp(0.0, upper)
    return right * keep + (1 - right) * (1 - keep) / (classes - 1)


def mmd(a: Tensor, b: Tensor, sigma: float) -> Tensor:
    """Squared maximum mean discrepancy with the Gaussian kernel exp(-|u - v|^2 / (2 sigma^2)),
    biased V-statistic.

    Shapes: a [A, C], b [B, C] -> scalar.
    """

    return (
        _kernel(a, a, sigma).mean() + _kernel(b, b, sigma).mean() - 2 * _kernel(a, b, sigma).mean()
    )


def mmd_by_class(
    a: Tensor, of_a: Tensor, b: Tensor, of_b: Tensor, sigma: float
) -> tuple[Tensor, Tensor]:
    """The same within each of the C classes, whose labels are of_a [A] and of_b [B]: [C] values,
    and 1 where both sides have the class, else 0.
    """
    weights, there = [], []
    for label in (of_a, of_b):
        own = torch.nn.functional.one_hot(label, a.shape[-1]).to(a.dtype)
        weights.append(own / own.sum(0).clamp(min=1.0))
        there.append(own.sum(0) > 0)
    u, v = weights

    def within(one: Tensor, kernel: Tensor, other: Tensor) -> Tensor:
        return (one * (kernel @ other)).sum(0)

    found = within(u, _kernel(a, a, sigma), u) + within(v, _kernel(b, b, sigma), v)
    return found - 2 * within(u, _kernel(a, b, sigma), v), (there[0] & there[1]).to(a.dtype)


def _kernel(u: Tensor, v: Tensor, sigma: float) -> Tensor:
    square = (u[:, None, :] - v[None, :, :]).square().sum(-1)
    return (-square / (2 * sigma**2)).exp()
