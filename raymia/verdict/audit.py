"""What a model's epsilon is at least, by what an attack achieves: to stand beside what an
accountant claims it is at most.
"""

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

SIGNIFICANCE = 0.05
SHARES = (0.01, 0.03, 0.1, 0.3)  # of the records that the one-run audit guesses on each side


def lower_bound(
    true_positives: int, members: int, false_positives: int, others: int, delta: float = 0.0
) -> float:
    """A lower bound of epsilon at 95%, from how often a membership test was right: the larger of
    ln((1 - FNR - delta) / FPR) and its mirror image.

    FNR and FPR are the Clopper-Pearson upper ends at half of the significance each; the mirror
    image takes calling no member as the test, and the significance is halved again for having
    looked at both. 0 where the counts exclude no epsilon. The threshold must not come from
    these records.

    Source: Nasr et al., Adversary Instantiation, S&P 2021, as jax-privacy's `auditing.py` does it.
    """
    level = SIGNIFICANCE / 2
    forward = _log_ratio(members - true_positives, members, false_positives, others, delta, level)
    mirror = _log_ratio(false_positives, others, members - true_positives, members, delta, level)
    return max(0.0, forward, mirror)


def _log_ratio(misses: int, of: int, alarms: int, among: int, delta: float, level: float) -> float:
    fnr, fpr = _upper(misses, of, level / 2), _upper(alarms, among, level / 2)
    gain = 1 - fnr - delta
    return float(np.log(gain / fpr)) if gain > 0 else -np.inf


def _upper(hits: int, of: int, level: float) -> float:
    """The Clopper-Pearson upper end: the rate under which `hits` or fewer have probability
    `level`.
    """
    from scipy.special import betaincinv

    return 1.0 if hits == of else float(betaincinv(hits + 1, of - hits, 1 - level))


def cross_fitted(score: Array, member: Array, half: Array, delta: float = 0.0) -> float:
    """`lower_bound` of a threshold chosen on one half of the records and counted on the other.
    All are [A].

    Chosen: the threshold with the best bound among the first half's scores (at most 200 of
    them). Of records of one model it is a heuristic, since they are not independent runs; of
    canaries it is what the literature does.
    """
    fit, count = half, ~half
    if not all((on & (member == side)).any() for on in (fit, count) for side in (True, False)):
        return 0.0
    levels = np.unique(score[fit])
    levels = levels[np.linspace(0, len(levels) - 1, min(len(levels), 200)).astype(int)]

    def bound(on: Array, threshold: float) -> float:
        called = score[on] >= threshold
        inside = member[on]
        return lower_bound(
            int(called[inside].sum()),
            int(inside.sum()),
            int(called[~inside].sum()),
            int((~inside).sum()),
            delta,
        )

    best = max(levels, key=lambda level: bound(fit, level))
    return bound(count, float(best))


def one_run(score: Array, member: Array, delta: float = 0.0) -> float:
    """A lower bound of epsilon, at 95%, from one training run in which each record was included
    by a fair coin.

    The k highest scores are guessed "in", the k lowest "out", for four k (a hundredth to three
    tenths of all), each at a quarter of the significance; the largest bound counts. Shapes:
    score, member [A].

    Source: Steinke, Nasr & Jagielski, Privacy Auditing with One (1) Training Run, NeurIPS 2023,
    theorem 5.2.

    Departures: raymia includes exactly half of the records, not each by its own coin.
    """
    order = np.argsort(score, kind="stable")
    bounds = [0.0]
    for share in SHARES:
        k = int(share * len(score))
        if k:
            right = int(member[order[-k:]].sum() + (~member[order[:k]]).sum())
            bounds.append(_one_run(len(score), 2 * k, right, delta, SIGNIFICANCE / len(SHARES)))
    return max(bounds)


def _one_run(records: int, guesses: int, right: int, delta: float, level: float) -> float:
    """The largest epsilon under which `right` of `guesses` or more have a probability below
    `level`; by halving.
    """
    if p_value(records, guesses, right, 0.0, delta) >= level:
        return 0.0
    low, high = 0.0, 50.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (
            (middle, high)
            if p_value(records, guesses, right, middle, delta) < level
            else (low, middle)
        )
    return low


def p_value(records: int, guesses: int, right: int, epsilon: float, delta: float) -> float:
    """How probable `right` of `guesses` or more are, at most, if training were (epsilon,
    delta)-private.
    """
    from scipy.special import bdtr, bdtrc

    q = 1 / (1 + np.exp(-epsilon))
    tail = float(bdtrc(right - 1, guesses, q)) if right > 0 else 1.0
    if not delta or not right:
        return tail
    i = np.arange(1, right + 1)
    # P[Bin <= 0 .. right - 1]
    below = np.concatenate([bdtr(np.arange(right, dtype=float), guesses, q)])
    left = np.where(right - i - 1 >= 0, below[np.maximum(right - i - 1, 0)], 0.0)
    alpha = float(((below[right - 1] - left) / i).max())
    return min(1.0, tail + 2 * records * delta * alpha)
