"""Over all attacks and targets: means, and a maximum that luck does not raise."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from raymia.point import columns
from raymia.point.objectives import AUC
from raymia.point.objectives import upper as upper_of
from raymia.verdict.metrics import (
    ROUNDING,
    Bools,
    Floats,
    Rate,
    auc,
    cells,
    checked,
    influence,
    interval,
    levels_of,
    spread_interval,
)


@dataclass(frozen=True)
class Mean:
    """A mean over targets: `rate` with its interval over records; `over_targets` is the t
    interval, None for one target.
    """

    rate: Rate
    over_targets: tuple[float, float] | None


@dataclass(frozen=True)
class Summary:
    """What a trial says of its attacks.

    `max_attack` is cross-fitted (None where no attack counts), `chosen` the attacks that it
    took: the one chosen on the half, scored elsewhere, and the one chosen elsewhere, scored on
    the half. `plain_max_auc` is the AUC of `worst_attack`. `upper` is the largest of the upper
    ends of all attacks that count, each one-sided 97.5%: that of the attack which is truly the
    strongest is among them, so that it covers the true maximum at least as often, however many
    attacks there are and whatever their correlation. The upper end of the cross-fitted estimate
    does not where one attack is a little better than the rest: the halves often choose others.
    """

    attacks: dict[str, Mean]
    max_attack: Rate | None
    upper: float | None
    chosen: tuple[str, ...]
    plain_max_auc: float | None
    worst_attack: str

    def numbers(self) -> dict[str, float | None]:
        """The numeric cells of `trials.csv`."""
        out = cells(AUC.column, self.max_attack) | {"plain_max_auc": self.plain_max_auc}
        out[upper_of(AUC.column)] = self.upper
        for name, mean in self.attacks.items():
            low, high = mean.over_targets or (None, None)
            out |= columns.interval(columns.auc(name), mean.rate.value, mean.rate.lo, mean.rate.hi)
            out |= {f"auc_targets_lo.{name}": low, f"auc_targets_hi.{name}": high}
        return out


class _Pooled(NamedTuple):
    """One attack over all targets: AUC by target [T], influence on their mean [S], records of
    the rarer side.
    """

    aucs: Floats
    influence: Floats
    fewest: int


def _mean_area(scores: Floats, member: Bools, judged: Bools) -> float:
    """The mean AUC over targets by counting: to choose by, at a fifth of scikit-learn's cost."""
    total = 0.0
    for score, inside, judged_on in zip(scores, member, judged, strict=True):
        levels = levels_of(*checked(score[judged_on], inside[judged_on]))
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
    """Every attack's mean AUC over targets, and the maximum over those that count, not
    flattered by having chosen it.

    Shapes: scores {attack: [T, S]}, member [T, S], judged [T, S], half [S]; `judged_by` holds
    the smaller judged sets of the attacks that know some members. What stands outside the
    judged records is never read. Of equal attacks the first is chosen. Raises: ScoreError
    naming attack and target; ValueError where a half of a target's judged records has one class
    only.
    """
    sets = {name: (judged_by or {}).get(name, judged) for name in scores}
    pooled = {name: _pool(name, scores[name], member, sets[name]) for name in scores}
    attacks = {name: _mean(p) for name, p in pooled.items()}
    running = [name for name in scores if name in counts]
    if not running:
        return Summary(attacks, None, None, (), None, "")
    value, moved, fewest = 0.0, np.zeros(half.size), half.size
    chosen: tuple[str, ...] = ()
    for here in (half, ~half):
        best = _largest({n: _mean_area(scores[n], member, sets[n] & here) for n in running})
        other = _pool(best, scores[best], member, sets[best] & ~here)
        value, moved = value + float(other.aucs.mean()) / 2, moved + other.influence / 2
        fewest, chosen = min(fewest, other.fewest), (*chosen, best)
    worst = _largest({n: attacks[n].rate.value for n in running})
    moved = moved * dependence(np.stack([pooled[n].influence for n in running]))
    crossed = Rate(value, *interval(value, moved, fewest=fewest))
    upper = largest_upper([attacks[n].rate.hi for n in running])
    return Summary(attacks, crossed, upper, chosen, attacks[worst].rate.value, worst)


def largest_upper(ends: Sequence[float | None]) -> float | None:
    """The largest upper end; None where one attack has none, or there are none."""
    known = [end for end in ends if end is not None]
    return max(known) if known and len(known) == len(ends) else None


def _mean(pooled: _Pooled) -> Mean:
    value = float(pooled.aucs.mean())
    return Mean(
        Rate(value, *interval(value, pooled.influence, fewest=pooled.fewest)),
        spread_interval(pooled.aucs),
    )


def dependence(influences: Floats) -> float:
    """By how much the standard error of a cross-fitted maximum exceeds that of the attacks that
    it chose.

    Each half's score is unbiased, but the two depend on each other: where both halves choose
    the same attack, each scores it where it was best. Under the null the AUCs of the K attacks
    are Z ~ N(0, S), S = I I' from the influences I [K, records]; with M_ij = E[1(Z_i is the
    largest) Z_j] the halves' covariance is the sum of M_ij M_ji, and the variance that of the
    chosen attack times 1 + tr(M M) / E[S of the largest]. M is a mean over 4,096 fixed draws:
    other draws move the factor by less than 0.01. Where one attack is clearly the best, the
    interval is too wide by this factor (1.17 for three independent attacks, less for more of
    them or for attacks that agree). What else moves the attacks together may stand for the
    influences, draws of a bootstrap for example.
    """
    own, k = np.sum(influences**2, axis=1), len(influences)
    if k < 2 or own.mean() < ROUNDING**2:
        return 1.0
    root = np.linalg.qr(influences.T, mode="r")  # root' root = S
    z = np.random.default_rng(0).standard_normal((2048, len(root)))
    z = np.concatenate([z, -z]) @ root
    best = z.argmax(axis=1)
    m = np.stack([z[best == i].sum(axis=0) for i in range(k)]) / len(z)
    return float(np.sqrt(1 + max(float(np.sum(m * m.T)), 0.0) / own[best].mean()))


def _largest(values: Mapping[str, float]) -> str:
    return max(values, key=lambda name: values[name])  # max keeps the first of equal ones


def accuracy_interval(correct: Any, judged: Any, level: float = 0.95) -> Mean:
    """The mean over targets of the share of correct ones among the judged records, which are
    clusters as for the AUC.

    Shapes: correct [T, S] bool, judged [T, S] bool (for the test accuracy: the judged
    non-members). Raises ValueError where a target has no judged record.
    """
    correct, judged = (
        np.atleast_2d(np.asarray(correct, dtype=bool)),
        np.atleast_2d(np.asarray(judged, dtype=bool)),
    )
    counts = judged.sum(axis=1)
    if not counts.all():
        raise ValueError("every target needs at least one judged record")
    shares = (correct & judged).sum(axis=1) / counts
    scale = np.sqrt(counts * np.maximum(counts - 1, 1)) * len(counts)
    moved = np.where(judged, correct - shares[:, None], 0.0) / scale[:, None]
    value = float(shares.mean())
    return Mean(
        Rate(value, *interval(value, moved.sum(axis=0), level, fewest=int(counts.min()))),
        spread_interval(shares, level),
    )
