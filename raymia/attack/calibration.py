"""What an attacker learns from shadows without a network: places among non-members, what one
side's models say of a record, and logistic regression.
"""

from typing import Any, NamedTuple

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


class Moments(NamedTuple):
    """Of values [K, A] where `on` [K, A]: how many, their mean (0 of none), and the sum of their
    squares around it, each [A].
    """

    n: Array
    mean: Array
    square: Array

    @classmethod
    def of(cls, values: Array, on: Array) -> "Moments":
        count = on.sum(0)
        mean = np.where(on, values, 0).sum(0) / np.maximum(count, 1)
        return cls(count, mean, (np.where(on, values - mean, 0) ** 2).sum(0))

    @property
    def free(self) -> Array:
        """Degrees of freedom of each variance."""
        return np.asarray(np.maximum(self.n - 1, 0))

    def common(self, values: Array, on: Array) -> float:
        """The variance around each record's own mean, of all; where no record has two values,
        that over records.
        """
        pooled = float(self.square.sum()) / max(int(self.free.sum()), 1)
        return pooled or max(float(values[on].var()), 1e-12)


class Side(NamedTuple):
    """What the models of one side, with or without a record, say of each record [A]: centre,
    scale, and the degrees of freedom of a Student distribution (None: normal).
    """

    centre: Array
    scale: Array
    free: Array | None = None

    def log_density(self, value: Array) -> Array:
        """Up to what is the same on both sides of a normal one."""
        from scipy.stats import t

        z = (value - self.centre) / self.scale
        tail = -(z**2) / 2 if self.free is None else t.logpdf(z, self.free)
        return np.asarray(tail - np.log(self.scale))


def student(values: Array, on: Array) -> Side:
    """The posterior predictive of the next value of each record [A], a Student distribution:
    centre, scale and degrees of freedom, from values [K, A] where `on`.

    The variance of a record is inverse-gamma with n0 degrees of freedom and the common variance
    v as its mean, its mean normal about the mean m of all records with the variance of one value
    over k0. k0 = v / (variance of the records' means, less what v explains of it); n0 from how
    much more the records' variances differ than v alone lets them, between 4 and 100. After n
    values with mean x and sum of squares q: centre (k0 m + n x) / (k0 + n), scale^2 = (1 + 1 / (k0
    + n)) ((n0 - 2) v + q + k0 n (x - m)^2 / (k0 + n)) / (n0 + n), n0 + n degrees of freedom. A
    record without a value has the prior's.

    Source: the normal-inverse-gamma prior of BaVarIA, Brannvall 2026, arXiv:2603.11799;
    conjugate updates: Murphy 2007. Departures: the prior's numbers are moments of the shadows.
    """
    seen = Moments.of(values, on)
    some, v = seen.n > 0, seen.common(values, on)
    x = seen.mean[some]
    m = float(x.mean())
    between = float(np.mean((x - m) ** 2)) - v * float(np.mean(1 / seen.n[some]))
    k0, n0 = v / max(between, 1e-9 * v), _freedom(seen, v)
    k, free = k0 + seen.n, n0 + seen.n
    square = (n0 - 2) * v + seen.square + k0 * seen.n / k * (seen.mean - m) ** 2
    centre = (k0 * m + seen.n * seen.mean) / k
    return Side(centre, np.sqrt(square / free * (1 + 1 / k)), free)


def _freedom(seen: Moments, v: float) -> float:
    """n0: the variance of inverse-gamma variances is 2 v^2 / (n0 - 4); 8 where nothing says."""
    two = seen.free > 0
    if not two.any():
        return 8.0
    noise = 2 / float(seen.free[two].mean())
    ratio = float((seen.square[two] / seen.free[two]).var()) / v**2
    return min(4 + 2 / max((ratio - noise) / (1 + noise), 1e-3), 100.0)


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
