"""From scores to numbers that an expert would sign: `judge` for one attack on one target, `summarise` for a trial.

A higher score means member, everywhere; nothing here flips a sign or folds an AUC. Intervals are of the sampling of
records given the trained models: records are clusters over targets. The spread over targets is a column of its own.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from raymia.point import columns
from raymia.point.objectives import AUC

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

PRIORS = (0.01, 0.1, 0.5)
RATES = (0.01, 0.001)
_ROUNDING = 1e-12


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

    `ppv`: by prior share of members, the share of true ones among those called members; None where nobody is called so.
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
        out = _cells("auc", self.auc)
        decision = self.decision
        out["balanced_accuracy"] = decision.balanced_accuracy if decision else None
        out["advantage"] = decision.advantage if decision else None
        for fpr in RATES:
            out |= _cells(f"tpr_at_fpr_{fpr}", self.tpr[fpr])
        return out | {f"ppv_at_{prior}": decision.ppv[prior] if decision else None for prior in PRIORS}


def _cells(name: str, rate: Rate | None) -> dict[str, float | None]:
    value, low, high = (rate.value, rate.lo, rate.hi) if rate else (None, None, None)
    return columns.interval(name, value, low, high)


def _checked(score: Any, member: Any) -> tuple[Floats, Bools]:
    score, member = np.asarray(score, dtype=np.float64), np.asarray(member, dtype=bool)
    if score.ndim != 1 or score.shape != member.shape:
        raise ValueError(f"one score a record: score has shape {score.shape}, member {member.shape}")
    bad = int(np.count_nonzero(~np.isfinite(score)))
    if bad:
        raise ScoreError(f"{bad} of {score.size} scores are NaN or infinite")
    if member.all() or not member.any():
        raise ValueError(f"both members and non-members are needed: {int(member.sum())} of {member.size} are members")
    return score, member


class _Levels(NamedTuple):
    """Records grouped by equal score, lowest first: `of` [A] is each record's level; the rest [L] describes the
    levels."""

    of: NDArray[np.intp]
    value: Floats
    members: Floats
    others: Floats


def _levels(score: Floats, member: Bools) -> _Levels:
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
    from sklearn.metrics import roc_auc_score

    score, member = _checked(score, member)
    return float(roc_auc_score(member, score))


def influence(score: Any, member: Any) -> Floats:
    """How far each record moves the AUC; the sum of the squares is DeLong's variance of the AUC.

    Source: DeLong, DeLong and Clarke-Pearson 1988, eq. 5: a member's placement value is the share of non-members
    below it (ties count half), a non-member's the share of members above it.
    Shapes: score [A], member [A] -> [A].
    Departures: the factor m/(m-1) of each side's variance is in the influences, so that one target gives DeLong
    exactly and the sum over targets needs no further correction; Obuchowski 1997 puts A/(A-1) on the clusters instead
    (the same to O(1/A)).
    """
    score, member = _checked(score, member)
    levels = _levels(score, member)
    m, n = levels.members.sum(), levels.others.sum()
    below = (np.cumsum(levels.others) - levels.others / 2) / n
    above = (_at_or_above(levels.members) - levels.members / 2) / m
    placement = np.where(member, below[levels.of], above[levels.of])
    mean = float(levels.members @ below / m)
    scale = np.where(member, np.sqrt(m * max(m - 1, 1)), np.sqrt(n * max(n - 1, 1)))
    return np.asarray((placement - mean) / scale, dtype=np.float64)


def interval(estimate: float, influence_sum: Any, level: float = 0.95, fewest: int | None = None) -> tuple[float, float]:
    """The interval of an AUC, an accuracy or a mean of them, on the logit scale: inside [0, 1] and good near its ends.

    `influence_sum` [A] is each record's influence on the estimate, summed over targets: records are the clusters, so
    what one record does to several targets is added before it is squared (Obuchowski 1997). Where no record moves the
    estimate (an AUC of exactly 0 or 1, a constant score) the variance says nothing: the bound is then that of
    `fewest` records of one side which all agree, (1 - level) ** (1 / fewest), one-sided at 0 and 1.
    """
    moved = np.asarray(influence_sum, dtype=np.float64)
    spread = float(np.sqrt(np.sum(moved**2)))
    room = estimate * (1 - estimate)
    if spread < _ROUNDING or room < _ROUNDING:
        unseen = 1 - (1 - level) ** (1 / max(fewest if fewest is not None else moved.size // 2, 1))
        return max(0.0, estimate - unseen), min(1.0, estimate + unseen)
    centre = np.log(estimate / (1 - estimate))
    half = NormalDist().inv_cdf((1 + level) / 2) * spread / room
    low, high = 0.5 * (1 + np.tanh((centre + np.array([-half, half])) / 2))
    return float(low), float(high)


def spread_interval(values: Any, level: float = 0.95) -> tuple[float, float] | None:
    """The t interval of a mean over targets (or seeds), clipped to [0, 1]; None for fewer than two."""
    from scipy.special import stdtrit

    values = np.asarray(values, dtype=np.float64)
    if values.size < 2:
        return None
    half = float(stdtrit(values.size - 1, (1 + level) / 2) * values.std(ddof=1) / np.sqrt(values.size))
    return max(0.0, float(values.mean()) - half), min(1.0, float(values.mean()) + half)


def clopper_pearson(hits: int, of: int, level: float = 0.95) -> tuple[float, float]:
    """The exact binomial interval of `hits` out of `of`."""
    from scipy.special import betaincinv

    tail = (1 - level) / 2
    low = 0.0 if hits == 0 else float(betaincinv(hits, of - hits + 1, tail))
    high = 1.0 if hits == of else float(betaincinv(hits + 1, of - hits, 1 - tail))
    return low, high


def tpr_at(score: Any, member: Any, fpr: float) -> Rate | None:
    """The largest TPR among the ROC points whose FPR is at most `fpr`; None below 10/fpr non-members.

    No interpolation. The Clopper-Pearson interval takes the threshold as given.
    """
    return _tpr_at(_levels(*_checked(score, member)), fpr)


def _tpr_at(levels: _Levels, fpr: float) -> Rate | None:
    m, n = int(levels.members.sum()), int(levels.others.sum())
    if n < 10 / fpr:
        return None
    allowed = _at_or_above(levels.others) / n <= fpr
    hits = int(_at_or_above(levels.members)[allowed].max(initial=0.0))
    return Rate(hits / m, *clopper_pearson(hits, m))


def best_threshold(score: Any, member: Any) -> float:
    """The score from which on a record is called a member for the best balanced accuracy; of equal ones the highest.

    For shadows: a threshold is never taken from the target that it is used on.
    """
    levels = _levels(*_checked(score, member))
    gain = _at_or_above(levels.members) / levels.members.sum() - _at_or_above(levels.others) / levels.others.sum()
    return float(levels.value[np.flatnonzero(gain >= gain.max() - _ROUNDING)[-1]])


def at_threshold(score: Any, member: Any, threshold: float) -> Decision:
    """What calling everyone at or above `threshold` a member gives."""
    score, member = _checked(score, member)
    if np.isnan(threshold):
        raise ScoreError("the threshold is NaN")
    called = score >= threshold
    tpr, fpr = float(called[member].mean()), float(called[~member].mean())
    ppv = {p: p * tpr / (p * tpr + (1 - p) * fpr) if tpr + fpr else None for p in PRIORS}
    return Decision((1 + (tpr - fpr)) / 2, tpr - fpr, ppv)


def judge(score: Any, member: Any, threshold: float | None = None) -> Metrics:
    """One attack on one target.

    `threshold` comes from shadows; without one there is no decision to judge. The interval of the AUC is left empty
    where a side has a single record. Raises: as `auc`.
    """
    score, member = _checked(score, member)
    value, levels = auc(score, member), _levels(score, member)
    fewest = int(min(member.sum(), (~member).sum()))
    low, high = interval(value, influence(score, member), fewest=fewest) if fewest > 1 else (None, None)
    decision = None if threshold is None else at_threshold(score, member, threshold)
    return Metrics(Rate(value, low, high), decision, {fpr: _tpr_at(levels, fpr) for fpr in RATES})


@dataclass(frozen=True)
class Mean:
    """A mean over targets: `rate` with its interval over records; `over_targets` is the t interval, None for one
    target."""

    rate: Rate
    over_targets: tuple[float, float] | None


@dataclass(frozen=True)
class Summary:
    """What a trial says of its attacks.

    `max_attack` is cross-fitted (None where no attack counts), `chosen` the attacks that it took: the one chosen on the
    half, scored elsewhere, and the one chosen elsewhere, scored on the half. `plain_max_auc` is the AUC of
    `worst_attack`.
    """

    attacks: dict[str, Mean]
    max_attack: Rate | None
    chosen: tuple[str, ...]
    plain_max_auc: float | None
    worst_attack: str

    def numbers(self) -> dict[str, float | None]:
        """The numeric cells of `trials.csv`."""
        out = _cells(AUC.column, self.max_attack) | {"plain_max_auc": self.plain_max_auc}
        for name, mean in self.attacks.items():
            low, high = mean.over_targets or (None, None)
            out |= columns.interval(columns.auc(name), mean.rate.value, mean.rate.lo, mean.rate.hi)
            out |= {f"auc_targets_lo.{name}": low, f"auc_targets_hi.{name}": high}
        return out


class _Pooled(NamedTuple):
    """One attack over all targets: AUC by target [T], influence on their mean [S], records of the rarer side."""

    aucs: Floats
    influence: Floats
    fewest: int


def _mean_area(scores: Floats, member: Bools, judged: Bools) -> float:
    """The mean AUC over targets by counting: to choose by, at a fifth of scikit-learn's cost."""
    total = 0.0
    for score, inside, judged_on in zip(scores, member, judged, strict=True):
        levels = _levels(*_checked(score[judged_on], inside[judged_on]))
        below = np.cumsum(levels.others) - levels.others / 2
        total += float(levels.members @ below) / (levels.members.sum() * levels.others.sum())
    return total / len(scores)


def _pool(name: str, scores: Floats, member: Bools, judged: Bools) -> _Pooled:
    """Raises ScoreError and ValueError as `auc`, naming the attack and the target."""
    targets = len(scores)
    aucs, moved, fewest = np.empty(targets), np.zeros(scores.shape[1]), scores.shape[1]
    for t, (of, who, judged_on) in enumerate(zip(scores, member, judged, strict=True)):
        score, inside = of[judged_on], who[judged_on]
        try:
            aucs[t] = auc(score, inside)
        except ValueError as error:
            raise type(error)(f"{name}, target {t}: {error}") from None
        moved[judged_on] += influence(score, inside) / targets
        fewest = min(fewest, int(inside.sum()), int((~inside).sum()))
    return _Pooled(aucs, moved, fewest)


def summarise(
    scores: Mapping[str, Floats],
    member: Bools,
    judged: Bools,
    half: Bools,
    counts: Collection[str],
    judged_by: Mapping[str, Bools] | None = None,
) -> Summary:
    """Every attack's mean AUC over targets, and the maximum over those that count, not flattered by having chosen it.

    Shapes: scores {attack: [T, S]}, member [T, S], judged [T, S], half [S]; `judged_by` holds the smaller judged sets
    of the attacks that know some members. What stands outside the judged records is never read. Of equal attacks the
    first is chosen.
    Raises: ScoreError naming attack and target; ValueError where a half of a target's judged records has one class
    only.
    """
    sets = {name: (judged_by or {}).get(name, judged) for name in scores}
    pooled = {name: _pool(name, scores[name], member, sets[name]) for name in scores}
    attacks = {name: _mean(p) for name, p in pooled.items()}
    running = [name for name in scores if name in counts]
    if not running:
        return Summary(attacks, None, (), None, "")
    value, moved, fewest = 0.0, np.zeros(half.size), half.size
    chosen: tuple[str, ...] = ()
    for here in (half, ~half):
        best = _largest({n: _mean_area(scores[n], member, sets[n] & here) for n in running})
        other = _pool(best, scores[best], member, sets[best] & ~here)
        value, moved = value + float(other.aucs.mean()) / 2, moved + other.influence / 2
        fewest, chosen = min(fewest, other.fewest), (*chosen, best)
    worst = _largest({n: attacks[n].rate.value for n in running})
    moved = moved * _choosing(np.stack([pooled[n].influence for n in running]))
    crossed = Rate(value, *interval(value, moved, fewest=fewest))
    return Summary(attacks, crossed, chosen, attacks[worst].rate.value, worst)


def _mean(pooled: _Pooled) -> Mean:
    value = float(pooled.aucs.mean())
    return Mean(Rate(value, *interval(value, pooled.influence, fewest=pooled.fewest)), spread_interval(pooled.aucs))


def _choosing(influences: Floats) -> float:
    """By how much the standard error of a cross-fitted maximum exceeds that of the attacks that it chose.

    Each half's score is unbiased, but the two depend on each other: where both halves choose the same attack, each
    scores it where it was best. Under the null the AUCs of the K attacks are Z ~ N(0, S), S = I I' from the influences
    I [K, records]; with M_ij = E[1(Z_i is the largest) Z_j] the halves' covariance is the sum of M_ij M_ji, and the
    variance that of the chosen attack times 1 + tr(M M) / E[S of the largest]. M is a mean over 4,096 fixed draws:
    other draws move the factor by less than 0.01. Where one attack is clearly the best, the interval is too wide by
    this factor (1.17 for three independent attacks, less for more of them or for attacks that agree).
    """
    own, k = np.sum(influences**2, axis=1), len(influences)
    if k < 2 or own.mean() < _ROUNDING**2:
        return 1.0
    root = np.linalg.qr(influences.T, mode="r")  # root' root = S
    z = np.random.default_rng(0).standard_normal((2048, len(root)))
    z = np.concatenate([z, -z]) @ root
    best = z.argmax(axis=1)
    m = np.stack([z[best == i].sum(axis=0) for i in range(k)]) / len(z)
    return float(np.sqrt(1 + max(float(np.sum(m * m.T)), 0.0) / own[best].mean()))


def _largest(values: Mapping[str, float]) -> str:
    return max(values, key=lambda name: values[name])  # max keeps the first of equal ones


def accuracy_interval(correct: Any, judged: Any) -> Mean:
    """The mean over targets of the share of correct ones among the judged records, which are clusters as for the AUC.

    Shapes: correct [T, S] bool, judged [T, S] bool (for the test accuracy: the judged non-members). Raises ValueError
    where a target has no judged record.
    """
    correct, judged = np.atleast_2d(np.asarray(correct, dtype=bool)), np.atleast_2d(np.asarray(judged, dtype=bool))
    counts = judged.sum(axis=1)
    if not counts.all():
        raise ValueError("every target needs at least one judged record")
    shares = (correct & judged).sum(axis=1) / counts
    scale = np.sqrt(counts * np.maximum(counts - 1, 1)) * len(counts)
    moved = np.where(judged, correct - shares[:, None], 0.0) / scale[:, None]
    value = float(shares.mean())
    return Mean(Rate(value, *interval(value, moved.sum(axis=0), fewest=int(counts.min()))), spread_interval(shares))
