"""From scores to numbers that an expert would sign: `judge` for one attack on one target,
`summarise` for a trial.

A higher score means member, everywhere; nothing here flips a sign or folds an AUC. Intervals
are of the sampling of records given the trained models: records are clusters over targets. The
spread over targets is a column of its own.
"""

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from raymia.point import columns

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

PRIORS = (0.01, 0.1, 0.5)
RATES = (0.01, 0.001)
ROUNDING = 1e-12


class ScoreError(ValueError):
    """An attack gave a score that is not a finite number: an error of that attack, never an AUC."""


@dataclass(frozen=True)
class Rate:
    """A number with its interval."""

    value: float
    lo: float | None
    hi: float | None


class Decision(NamedTuple):
    """What a threshold gives. `advantage` is TPR - FPR (Yeom).

    `ppv`: by prior share of members, the share of true ones among those called members; None
    where nobody is called so.
    """

    balanced_accuracy: float
    advantage: float
    ppv: dict[float, float | None]


@dataclass(frozen=True)
class Metrics:
    """One attack on one target; None where the data cannot say."""

    auc: Rate
    decision: Decision | None
    tpr: dict[float, Rate | None]

    def line(self) -> dict[str, float | None]:
        """The cells of `attacks.csv`, in its order."""
        out = cells("auc", self.auc)
        decision = self.decision
        out["balanced_accuracy"] = decision.balanced_accuracy if decision else None
        out["advantage"] = decision.advantage if decision else None
        for fpr in RATES:
            out |= cells(f"tpr_at_fpr_{fpr}", self.tpr[fpr])
        return out | {
            f"ppv_at_{prior}": decision.ppv[prior] if decision else None for prior in PRIORS
        }


def cells(name: str, rate: Rate | None) -> dict[str, float | None]:
    value, low, high = (rate.value, rate.lo, rate.hi) if rate else (None, None, None)
    return columns.interval(name, value, low, high)


def checked(score: Any, member: Any) -> tuple[Floats, Bools]:
    score, member = np.asarray(score, dtype=np.float64), np.asarray(member, dtype=bool)
    if score.ndim != 1 or score.shape != member.shape:
        raise ValueError(
            f"one score a record: score has shape {score.shape}, member {member.shape}"
        )
    bad = int(np.count_nonzero(~np.isfinite(score)))
    if bad:
        raise ScoreError(f"{bad} of {score.size} scores are NaN or infinite")
    if member.all() or not member.any():
        raise ValueError(
            f"both members and non-members are needed: {int(member.sum())} of {member.size} are "
            "members"
        )
    return score, member


class _Levels(NamedTuple):
    """Records grouped by equal score, lowest first: `of` [A] is each record's level; the rest
    [L] describes the levels.
    """

    of: NDArray[np.intp]
    value: Floats
    members: Floats
    others: Floats

    @property
    def below(self) -> Floats:
        """Non-members below each level; those on it count half."""
        return np.cumsum(self.others) - self.others / 2

    @property
    def auc(self) -> float:
        """Of whole counts, rounded once. scikit-learn's, the tests' oracle, spends a sixth of a
        small trial on checking its arguments some hundred times, and a second of each process on
        being imported.
        """
        return float(self.members @ self.below / (self.members.sum() * self.others.sum()))


def levels_of(score: Floats, member: Bools) -> _Levels:
    value, of = np.unique(score, return_inverse=True)
    members = np.bincount(of, weights=member, minlength=value.size).astype(np.float64)
    others = np.bincount(of, weights=~member, minlength=value.size).astype(np.float64)
    return _Levels(of, value, members, others)


def _at_or_above(counts: Floats) -> Floats:
    return np.cumsum(counts[::-1])[::-1]


def auc(score: Any, member: Any) -> float:
    """P(a member scores higher than a non-member) + P(tie)/2.

    Raises: ScoreError on NaN or infinite scores, ValueError where one class is missing.
    """
    return levels_of(*checked(score, member)).auc


def influence(score: Any, member: Any) -> Floats:
    """How far each record moves the AUC; the sum of the squares is DeLong's variance of the AUC.

    Source: DeLong, DeLong and Clarke-Pearson 1988, eq. 5: a member's placement value is the
    share of non-members below it (ties count half), a non-member's the share of members above
    it. Shapes: score [A], member [A] -> [A]. Departures: the factor m/(m-1) of each side's
    variance is in the influences, so that one target gives DeLong exactly and the sum over
    targets needs no further correction; Obuchowski 1997 puts A/(A-1) on the clusters instead
    (the same to O(1/A)).
    """
    score, member = checked(score, member)
    levels = levels_of(score, member)
    m, n = levels.members.sum(), levels.others.sum()
    below = levels.below / n
    above = (_at_or_above(levels.members) - levels.members / 2) / m
    placement = np.where(member, below[levels.of], above[levels.of])
    mean = float(levels.members @ below / m)
    scale = np.where(member, np.sqrt(m * max(m - 1, 1)), np.sqrt(n * max(n - 1, 1)))
    return np.asarray((placement - mean) / scale, dtype=np.float64)


def interval(
    estimate: float, influence_sum: Any, level: float = 0.95, fewest: int | None = None
) -> tuple[float, float]:
    """The interval of an AUC, an accuracy or a mean of them, on the logit scale: inside [0, 1]
    and good near its ends.

    `influence_sum` [A] is each record's influence on the estimate, summed over targets: records
    are the clusters, so what one record does to several targets is added before it is squared
    (Obuchowski 1997). Where no record moves the estimate (an AUC of exactly 0 or 1, a constant
    score) the variance says nothing: the bound is then that of `fewest` records of one side
    which all agree, (1 - level) ** (1 / fewest), one-sided at 0 and 1.
    """
    moved = np.asarray(influence_sum, dtype=np.float64)
    spread = float(np.sqrt(np.sum(moved**2)))
    room = estimate * (1 - estimate)
    if spread < ROUNDING or room < ROUNDING:
        unseen = 1 - (1 - level) ** (1 / max(fewest if fewest is not None else moved.size // 2, 1))
        return max(0.0, estimate - unseen), min(1.0, estimate + unseen)
    centre = np.log(estimate / (1 - estimate))
    half = NormalDist().inv_cdf((1 + level) / 2) * spread / room
    low, high = 0.5 * (1 + np.tanh((centre + np.array([-half, half])) / 2))
    return float(low), float(high)


def spread_interval(
    values: Any, level: float = 0.95, within: tuple[float, float] = (0.0, 1.0)
) -> tuple[float, float] | None:
    """The t interval of a mean over targets (or seeds), clipped to what the mean can be; None for
    fewer than two.
    """
    from scipy.special import stdtrit

    values = np.asarray(values, dtype=np.float64)
    if values.size < 2:
        return None
    half = float(
        stdtrit(values.size - 1, (1 + level) / 2) * values.std(ddof=1) / np.sqrt(values.size)
    )
    mean, (least, most) = float(values.mean()), within
    return max(least, mean - half), min(most, mean + half)


def clopper_pearson(hits: int, of: int, level: float = 0.95) -> tuple[float, float]:
    """The exact binomial interval of `hits` out of `of`."""
    from scipy.special import betaincinv

    tail = (1 - level) / 2
    low = 0.0 if hits == 0 else float(betaincinv(hits, of - hits + 1, tail))
    high = 1.0 if hits == of else float(betaincinv(hits + 1, of - hits, 1 - tail))
    return low, high


def tpr_at(score: Any, member: Any, fpr: float) -> Rate | None:
    """The largest TPR among the ROC points whose FPR is at most `fpr`; None below 10/fpr
    non-members.

    No interpolation. The Clopper-Pearson interval takes the threshold as given.
    """
    return _tpr_at(levels_of(*checked(score, member)), fpr)


def _tpr_at(levels: _Levels, fpr: float) -> Rate | None:
    m, n = int(levels.members.sum()), int(levels.others.sum())
    if n < 10 / fpr:
        return None
    allowed = _at_or_above(levels.others) / n <= fpr
    hits = int(_at_or_above(levels.members)[allowed].max(initial=0.0))
    return Rate(hits / m, *clopper_pearson(hits, m))


def best_threshold(score: Any, member: Any) -> float:
    """The score from which on a record is called a member for the best balanced accuracy; of
    equal ones the highest.

    For shadows: a threshold is never taken from the target that it is used on.
    """
    levels = levels_of(*checked(score, member))
    gain = (
        _at_or_above(levels.members) / levels.members.sum()
        - _at_or_above(levels.others) / levels.others.sum()
    )
    return float(levels.value[np.flatnonzero(gain >= gain.max() - ROUNDING)[-1]])


def at_threshold(score: Any, member: Any, threshold: float) -> Decision:
    """What calling everyone at or above `threshold` a member gives."""
    score, member = checked(score, member)
    if np.isnan(threshold):
        raise ScoreError("the threshold is NaN")
    called = score >= threshold
    tpr, fpr = float(called[member].mean()), float(called[~member].mean())
    ppv = {p: p * tpr / (p * tpr + (1 - p) * fpr) if tpr + fpr else None for p in PRIORS}
    return Decision((1 + (tpr - fpr)) / 2, tpr - fpr, ppv)


def judge(score: Any, member: Any, threshold: float | None = None) -> Metrics:
    """One attack on one target.

    `threshold` comes from shadows; without one there is no decision to judge. The interval of
    the AUC is left empty where a side has a single record. Raises: as `auc`.
    """
    score, member = checked(score, member)
    levels = levels_of(score, member)
    value = levels.auc
    fewest = int(min(member.sum(), (~member).sum()))
    low, high = (
        interval(value, influence(score, member), fewest=fewest) if fewest > 1 else (None, None)
    )
    decision = None if threshold is None else at_threshold(score, member, threshold)
    return Metrics(Rate(value, low, high), decision, {fpr: _tpr_at(levels, fpr) for fpr in RATES})
