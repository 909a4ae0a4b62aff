"""What a model's epsilon is at least, by what an attack achieves: to stand beside what an
accountant claims it is at most.

All bounds are of scores of records of which each is a member by a fair coin of its own, each
record once, in whatever order; higher means member.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from raymia.streams import stream

Array = np.ndarray[Any, Any]

SIGNIFICANCE = 0.05
SHARES = (0.01, 0.03, 0.1, 0.3)  # of the records that a one-run audit guesses on each side
CUTS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5)  # of all records that are called members
MOST_EPSILON, MOST_MU = 50.0, 16.0  # that are looked for
GRID = 65


def lower_bound(
    true_positives: int,
    members: int,
    false_positives: int,
    others: int,
    delta: float = 0.0,
    significance: float = SIGNIFICANCE,
) -> float:
    """A lower bound of epsilon, at 95% by default, from how often a membership test was right: the
    larger of ln((1 - FNR - delta) / FPR) and its mirror image.

    FNR and FPR are the Clopper-Pearson upper ends at half of the significance each; the mirror
    image takes calling no member as the test, and the significance is halved again for having
    looked at both. 0 where the counts exclude no epsilon. The threshold must not come from
    these records.

    Source: Nasr et al., Adversary Instantiation, S&P 2021, as jax-privacy's `auditing.py` does it.
    """
    level = significance / 2
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


def bounds(score: Array, member: Array, delta: float = 0.0) -> dict[str, float | None]:
    """All lower bounds, each at 95%. Shapes: score, member [A].

    `epsilon_lower`: the larger of the two that hold for one training run whatever the mechanism
    is. Both bound the probability of the same event, so many right guesses of so many, and the
    smaller of two bounds is one too: neither needs a share of the other's significance.
    `epsilon_lower_clopper_pearson` takes the records for independent runs; `gdp_mu_lower` and
    `epsilon_lower_gdp` (None without a delta) take the mechanism for a Gaussian one.
    """
    steinke, f_dp = one_run(score, member, delta), f_dp_one_run(score, member, delta)
    mu = gdp_mu(score, member)
    return {
        "epsilon_lower": max(steinke, f_dp),
        "epsilon_lower_one_run": steinke,
        "epsilon_lower_f_dp": f_dp,
        "epsilon_lower_clopper_pearson": clopper_pearson(score, member, delta),
        "gdp_mu_lower": mu,
        "epsilon_lower_gdp": epsilon_of_mu(mu, delta) if delta else None,
    }


def clopper_pearson(
    score: Array, member: Array, delta: float = 0.0, significance: float = SIGNIFICANCE
) -> float:
    """The largest `lower_bound` of eight thresholds from either end, each at a sixteenth of the
    significance. They are quantiles of all scores, so that no record is spent on choosing.

    Of the records of one model it is a heuristic, since they are not independent runs.
    """
    each = significance / (2 * len(CUTS))
    counts = _counted(score, member)
    return max([0.0, *(lower_bound(*count, delta, each) for count in counts)])


def _counted(score: Array, member: Array) -> list[tuple[int, int, int, int]]:
    """(true positives, members, false positives, others) of each threshold: the k highest are
    called members, or all but the k lowest.
    """
    order, out = np.sort(score), []
    for k in filter(None, (int(cut * len(score)) for cut in CUTS)):
        for called in (score >= order[-k], score > order[k - 1]):
            hits, false = int((called & member).sum()), int((called & ~member).sum())
            out.append((hits, int(member.sum()), false, int((~member).sum())))
    return out


def _guesses(score: Array, member: Array) -> list[tuple[int, int]]:
    """(guesses, right ones): the k highest scores are guessed "in", the k lowest "out".

    Ties are broken by a draw: records may stand in the order of their membership.
    """
    draw = stream("ties", len(score)).random(len(score))
    order, out = np.lexsort((draw, score)), []
    for share in SHARES:
        if k := int(share * len(score)):
            out.append((2 * k, int(member[order[-k:]].sum() + (~member[order[:k]]).sum())))
    return out


def one_run(
    score: Array, member: Array, delta: float = 0.0, significance: float = SIGNIFICANCE
) -> float:
    """A lower bound of epsilon, at 95%, from one training run in which each record was included
    by a fair coin.

    The k highest scores are guessed "in", the k lowest "out", for four k (a hundredth to three
    tenths of all), each at a quarter of the significance; the largest bound counts. Shapes:
    score, member [A].

    Source: Steinke, Nasr & Jagielski, Privacy Auditing with One (1) Training Run, NeurIPS 2023,
    theorem 5.2.

    Departures: raymia includes exactly half of the records, not each by its own coin.
    """
    each = significance / len(SHARES)
    found = [_one_run(len(score), *g, delta, each) for g in _guesses(score, member)]
    return max([0.0, *found])


def f_dp_one_run(
    score: Array, member: Array, delta: float = 0.0, significance: float = SIGNIFICANCE
) -> float:
    """The same by the recursion for f-differential privacy, with the curve of (epsilon, delta),
    f(x) = max(0, 1 - delta - e^epsilon x, (1 - delta - x) / e^epsilon): what is refuted is that
    training is (epsilon, delta)-private, of whatever kind it is.

    Source: Mahloujifar, Melis & Chaudhuri, Auditing f-Differential Privacy in One Run, ICML 2025,
    algorithm 3, and its code.

    Departures: their curve is a Gaussian mechanism's (`gdp_mu`), which is more than is known of
    training; this one is that of the claim itself. Guesses and shares are those of `one_run`.
    """

    def shrunk(epsilon: Array) -> Callable[[Array], Array]:
        """The least probability of an event whose probability without the record is y."""
        e = np.exp(epsilon)
        return lambda y: np.maximum(0.0, np.maximum((y - delta) / e, 1 - delta - e * (1 - y)))

    return _refuted(shrunk, MOST_EPSILON, len(score), _guesses(score, member), significance)


def gdp_mu(score: Array, member: Array, significance: float = SIGNIFICANCE) -> float:
    """A lower bound of mu, at 95%, if the mechanism is a Gaussian one: the larger of that by
    f-DP's recursion and that by Clopper-Pearson, Phi^-1(TPR) - Phi^-1(FPR) with the ends of both
    that say least, each at half of the significance.

    What is refuted is that training is m-GDP for an m below it. Of another mechanism that says
    nothing of epsilon: one that is not m-GDP can still be private with a smaller epsilon than a
    Gaussian's of that m. Clopper-Pearson takes the records for independent runs besides.

    Source: Mahloujifar et al. 2025 as above; Dong, Roth & Su, Gaussian Differential Privacy, 2022;
    Nasr et al., Tight Auditing of Differentially Private Machine Learning, USENIX Security 2023.
    """
    from scipy.special import ndtr, ndtri

    half = significance / 2

    def shrunk(mu: Array) -> Callable[[Array], Array]:
        return lambda y: np.asarray(ndtr(ndtri(y) - mu))

    recursion = _refuted(shrunk, MOST_MU, len(score), _guesses(score, member), half)
    level = half / (2 * len(CUTS)) / 2
    counted = [
        float(ndtri(1 - _upper(members - hits, members, level)) - ndtri(_upper(false, of, level)))
        for hits, members, false, of in _counted(score, member)
    ]
    return max(0.0, recursion, *counted)


def epsilon_of_mu(mu: float, delta: float) -> float:
    """The epsilon at `delta` of a Gaussian mechanism with sensitivity / sigma = mu: delta =
    Phi(mu/2 - e/mu) - exp(e) Phi(-mu/2 - e/mu), by halving.

    Source: Balle & Wang, Improving the Gaussian Mechanism, ICML 2018, theorem 8.
    """
    from scipy.special import log_ndtr, ndtr

    if mu <= 0:
        return 0.0

    def spent(e: float) -> float:
        return float(ndtr(mu / 2 - e / mu) - np.exp(e + log_ndtr(-mu / 2 - e / mu)))

    low, high = 0.0, mu * (mu / 2 + 40)  # beyond 40 deviations nothing is left
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if spent(middle) > delta else (low, middle)
    return low


def _refuted(
    shrunk: Callable[[Array], Callable[[Array], Array]],
    most: float,
    records: int,
    guesses: Sequence[tuple[int, int]],
    significance: float,
) -> float:
    """The largest parameter of a family of curves under which one of the guesses, each at its
    share of the significance, is too good; on a grid, and on a finer one between two of its
    points.
    """
    each, best = significance / len(SHARES), 0.0
    for made, right in guesses:
        low, high = 0.0, most
        for _ in range(3):
            grid = np.linspace(low, high, GRID)
            refused = ~_consistent(shrunk(grid), records, made, right, each)
            first = int(np.argmin(refused)) if not refused.all() else GRID - 1
            low, high = (grid[first - 1], grid[first]) if first else (0.0, grid[0])
            if not first:
                break
        best = max(best, float(low))
    return best


def _consistent(
    shrunk: Callable[[Array], Array], records: int, made: int, right: int, level: float
) -> Array:
    """Whether `right` of `made` guesses may be right with a probability of `level`, for each
    parameter of the family.

    With c guesses right of c' among m records: r_c = p c / m, h_c = p (c' - c) / m; down to 0,
    h_i = max(h_{i+1}, shrunk(r_{i+1})), r_i = r_{i+1} + i / (c' - i) (h_i - h_{i+1}). More than
    c' / m of r_0 + h_0 is a contradiction.
    """
    start = shrunk(np.full(1, 0.5))
    r = np.full(start.shape, level * right / records)
    h = np.full(start.shape, level * (made - right) / records)
    for i in range(right - 1, -1, -1):
        more = np.maximum(h, shrunk(np.minimum(r, 1.0)))
        r = r + i / (made - i) * (more - h)
        h = more
    return np.asarray(r + h <= made / records)


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
