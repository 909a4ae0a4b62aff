"""What an attacker learns from shadows without a network: places among non-members, and
logistic regression.
"""

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def by_class(score: Array, label: Array, known: Array, known_label: Array) -> Array:
    """Each score's place in (0, 1) among the n known scores of its class: how many of them are
    below it, divided by n + 1.

    Between two known scores the larger one still ranks higher: so nothing ties that did not.
    The mean of all places is the same whatever n is, and a class of which little is known stays
    away from both ends: it cannot win the top ranks. Shapes: score, label [A]; known,
    known_label [P] -> [A].
    """
    out = np.empty(len(score))
    # a common scale, so that what lies beyond all known ones of its class is still ranked
    # between the classes
    centre, spread = (np.median(known), known.std() or 1.0) if len(known) else (0.0, 1.0)
    step = rank(score, centre, spread)
    for c in np.unique(label):
        here, of = label == c, np.sort(known[known_label == c])
        out[here] = (np.searchsorted(of, score[here], side="left") + step[here]) / (len(of) + 1)
    return out


def rank(score: Array, centre: float, spread: float) -> Array:
    """An increasing map of all numbers into (0, 1) that only runs out of digits where float64
    does.
    """
    z = (score - centre) / spread
    return np.asarray(0.5 + 0.4995 * z / (1 + np.abs(z)))


def logistic(x: Array, member: Array, penalty: float = 1.0) -> Array:
    """Weights [F + 1] (the last one: the intercept) of a logistic regression, with an l2
    penalty on the others.

    Newton's method, which needs no step size; scikit-learn's `C` is 1 / `penalty`. Shapes: x
    [P, F], member [P].
    """
    design = np.concatenate([x, np.ones((len(x), 1))], 1)
    ridge = np.full(design.shape[1], penalty)
    ridge[-1] = 1e-9
    weights, y = np.zeros(design.shape[1]), member.astype(np.float64)
    loss = np.inf
    step = np.zeros_like(weights)
    for _ in range(50):
        z = design @ weights
        now = float(np.logaddexp(0, z).sum() - y @ z + ridge @ weights**2 / 2)
        if now > loss + 1e-9 * abs(loss):  # too far: half the way back
            step /= 2
            weights = weights + step
            continue
        if loss - now < 1e-9 * max(abs(now), 1.0):
            break
        loss = now
        p = 1 / (1 + np.exp(-np.clip(z, -700, 700)))
        hessian = (design * (p * (1 - p))[:, None]).T @ design + np.diag(ridge)
        step = np.linalg.solve(hessian, design.T @ (p - y) + ridge * weights)
        weights = weights - step
    return weights


def odds(x: Array, weights: Array) -> Array:
    """The log-odds of "member" [A] under `logistic`'s weights."""
    return np.asarray(x @ weights[:-1] + weights[-1])
