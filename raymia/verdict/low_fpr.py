"""How many members an attack finds where it may hardly accuse anyone: TPR at low FPR, and the
highest advantage, pooled over targets; and their maxima over attacks, which luck does not raise.

Scores come calibrated, so that one threshold serves all targets. Records are clusters: what one
record says at several targets is drawn, and counted, together.

Source: TPR at low FPR: Carlini et al., Membership Inference Attacks From First Principles, 2022.
Advantage: Yeom et al. 2018. Clusters drawn for what a ROC gives: Pang et al., Nonparametric
bootstrap methods for interval estimation of the area under the ROC curve, 2023.

Departures: Carlini et al. take the ROC point whose FPR is below the rate, of one target; here it
is at most the rate, as in Privacy Meter, and over all targets. One threshold for all records
holds the FPR over records, not that of each record (Jaelkoe et al. 2026). Of the draws it is the
standard error that counts, on the logit scale, not the quantiles: where two members of a thousand
are found, the truth lies above the upper quantile in 0.038 of runs, above this end in none.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from raymia.point import columns
from raymia.point.objectives import upper as upper_of
from raymia.streams import stream
from raymia.verdict.maximum import dependence, largest_upper
from raymia.verdict.metrics import RATES, Bools, Floats, Rate, ScoreError, cells, interval

DRAWS = 400  # of the cluster bootstrap: its standard error is known to 4%
LEAST = 10  # non-members above the threshold, or nothing is said
ADVANTAGE = "advantage"


def tpr_name(fpr: float) -> str:
    """`tpr_at_fpr_0.01`"""
    return f"tpr_at_fpr_{fpr}"


@dataclass(frozen=True)
class Largest:
    """A maximum over attacks: cross-fitted, and `upper`, the largest of the attacks' own upper
    ends, which covers that of the truly strongest (`maximum.Summary`).
    """

    rate: Rate | None
    upper: float | None


@dataclass(frozen=True)
class LowFpr:
    """`attacks`: measure -> attack -> rate, None where there are too few non-members; `largest`
    by measure; `resolution`: one over the pooled non-members, the smallest FPR there is.
    """

    attacks: dict[str, dict[str, Rate | None]]
    largest: dict[str, Largest]
    resolution: float

    def numbers(self) -> dict[str, float | None]:
        """The numeric cells of `trials.csv`."""
        out: dict[str, float | None] = {"fpr_resolution": self.resolution}
        for measure, found in self.attacks.items():
            for attack, rate in found.items():
                out |= cells(columns.measured(measure, attack), rate) if rate else {}
        for measure, most in self.largest.items():
            name = measure if measure == ADVANTAGE else f"max_{measure}"
            out |= cells(name, most.rate) | {upper_of(name): most.upper}
        return out


class _Pool(NamedTuple):
    """One attack at all targets: of each judged member and non-member its record, the members'
    in the order of `above` [m], the number of non-members that score as high or higher, and the
    non-members' from the highest score down.
    """

    members: np.ndarray
    above: np.ndarray
    others: np.ndarray

    @classmethod
    def of(cls, scores: Floats, member: Bools, on: Bools) -> "_Pool":
        record = np.broadcast_to(np.arange(scores.shape[1]), scores.shape)[on]
        score, inside = scores[on], member[on]
        order = np.argsort(-score[~inside], kind="stable")
        down = -score[~inside][order]
        above = np.searchsorted(down, -score[inside], side="right")
        first = np.argsort(above, kind="stable")
        return cls(record[inside][first], above[first], record[~inside][order])

    def tprs(self, fpr: float, weights: np.ndarray) -> Floats:
        """The largest TPR of a threshold with an FPR of at most `fpr`, for each draw [B] of
        records, which weights [B, S] count.
        """
        most = fpr * weights[:, self.others].sum(1, dtype=np.int64) + 1e-9
        taken = min(len(self.others), int(4 * fpr * len(self.others)) + 100)
        while True:  # how many of the highest non-members each draw allows
            fall = np.cumsum(weights[:, self.others[:taken]], axis=1, dtype=np.int64)
            allowed = (fall <= most[:, None]).sum(1)
            if taken == len(self.others) or (allowed < taken).all():
                break
            taken = min(len(self.others), 4 * taken)
        found = np.searchsorted(self.above, allowed, side="right")
        hits = [
            w[self.members[:n]].sum(dtype=np.int64) for w, n in zip(weights, found, strict=True)
        ]
        return np.asarray(hits / weights[:, self.members].sum(1, dtype=np.int64))


def tpr(
    scores: Floats, member: Bools, on: Bools, fpr: float, weights: np.ndarray
) -> tuple[Rate, Floats] | None:
    """The pooled TPR with its interval, and how far each draw is from it; None below 10 / FPR
    non-members. Shapes: scores, member, on [T, S], weights [B, S].
    """
    if int((on & ~member).sum()) < LEAST / fpr or not (on & member).any():
        return None
    pool = _Pool.of(scores, member, on)
    value = float(pool.tprs(fpr, np.ones((1, scores.shape[1]), np.uint8))[0])
    moved = pool.tprs(fpr, weights) - value
    return Rate(value, *_ends(value, float(moved.std()), on & member)), moved


def _ends(value: float, error: float, on: Bools) -> tuple[float, float]:
    """On the logit scale; of no hits, what so many records that are all missed leave open."""
    records = int(on.any(0).sum())
    return interval(value, np.array([error]), fewest=records)


def drawn(records: int) -> np.ndarray:
    """How often each of S records is in each of the bootstrap's draws, uint8 [B, S]: the same
    for all attacks.
    """
    rng = stream("low_fpr", records)
    rows = (
        np.bincount(rng.integers(records, size=records), minlength=records) for _ in range(DRAWS)
    )
    return np.stack([np.minimum(row, 255).astype(np.uint8) for row in rows])


class Counted(NamedTuple):
    """TPR - FPR where a threshold was counted, and the influence [S] of each record on it."""

    value: float
    moved: Floats


def advantage(scores: Floats, member: Bools, fit: Bools, count: Bools) -> Counted:
    """TPR - FPR on `count` of the threshold that is best on `fit`, both with members and
    non-members. Shapes: all [T, S].
    """
    return _at(_best(scores[fit], member[fit]), scores, member, count)


def _at(threshold: float, scores: Floats, member: Bools, count: Bools) -> Counted:
    called = scores >= threshold
    value, moved = 0.0, np.zeros(scores.shape)
    for side, sign in ((member, 1.0), (~member, -1.0)):
        here = count & side
        share = float(called[here].mean())
        value += sign * share
        moved += np.where(here, sign * (called - share) / here.sum(), 0.0)
    return Counted(value, moved.sum(0))


def _by_threshold(scores: Floats, member: Bools, on: Bools) -> float:
    """By how much choosing a threshold widens the interval of its advantage: as choosing an
    attack does, with seven thresholds for the attacks.
    """
    cuts = np.quantile(scores[on], np.arange(1, 8) / 8)
    return dependence(np.stack([_at(float(cut), scores, member, on).moved for cut in cuts]))


def _best(score: Floats, member: Bools) -> float:
    """The threshold with the largest TPR - FPR."""
    order = np.argsort(-score, kind="stable")
    step = np.where(member[order], 1 / member.sum(), -1 / (~member).sum())
    ends = np.append(score[order][1:] != score[order][:-1], True)  # all of one score, or none
    gain = np.where(ends, np.cumsum(step), -np.inf)
    return float(score[order][gain.argmax()])


def _advantages(
    scores: Mapping[str, Floats],
    member: Bools,
    on: Mapping[str, Bools],
    half: Bools,
    counts: Sequence[str],
) -> tuple[dict[str, Rate | None], Largest]:
    """The advantage of every attack, its threshold from one half and counted on the other; and
    the largest, for which the attack is chosen there, too.

    A threshold from one half is a little off, so that the estimates are a little low, and with
    them an upper end. It is that of the best thresholds on all records, which are too good.
    """
    sides = (half, ~half)
    rates: dict[str, Rate | None] = dict.fromkeys(scores)
    crossed: dict[str, tuple[Counted, Counted]] = {}
    plain: dict[str, Counted] = {}
    for name, score in scores.items():
        parts = [on[name] & here & who for here in sides for who in (member, ~member)]
        if not all(part.any() for part in parts):
            continue
        first, second = (
            advantage(score, member, on[name] & here, on[name] & ~here) for here in sides
        )
        crossed[name], plain[name] = (first, second), advantage(score, member, on[name], on[name])
        wider = _by_threshold(score, member, on[name])
        rates[name] = _between(_mean(crossed[name], wider), plain[name], on[name])
    able = [name for name in counts if name in crossed]
    if not able or len(able) < len(counts):
        return rates, Largest(None, None)
    best = []
    for here in sides:
        there = {
            name: advantage(scores[name], member, on[name] & here, on[name] & here).value
            for name in able
        }
        best.append(max(there, key=lambda name: there[name]))
    wider = dependence(np.stack([_mean(crossed[name]).moved for name in able]))
    found = _mean([crossed[name][i] for i, name in enumerate(best)], wider)
    most = _between(found, _mean([plain[name] for name in best]), on[best[0]])
    return rates, Largest(most, largest_upper([rate.hi for n in able if (rate := rates[n])]))


class Halves(NamedTuple):
    """On each half of the records the largest TPR - FPR, `there` that of its threshold on the
    other half.
    """

    here: tuple[float, float]
    there: tuple[float, float]


def halves(score: Floats, member: Bools, half: Bools) -> Halves | None:
    """Of one target. Shapes: all [N]. None where a half lacks members or non-members."""
    sides = (half, ~half)
    if not all((here & who).any() for here in sides for who in (member, ~member)):
        return None

    def value(fit: Bools, count: Bools) -> float:
        return advantage(score[None], member[None], fit[None], count[None]).value

    first, second = sides
    return Halves(
        (value(first, first), value(second, second)), (value(first, second), value(second, first))
    )


def mean_of_halves(found: Sequence[Halves]) -> float:
    """The advantage, its threshold from one half and counted on the other: the mean over
    targets.
    """
    return float(np.mean([one.there for one in found]))


def largest_of_halves(found: Mapping[str, Sequence[Halves]]) -> float:
    """The largest of those means: the attack is chosen where the threshold is, too."""
    value, named = 0.0, sorted(found)
    for side in (0, 1):
        best = max(named, key=lambda name: float(np.mean([one.here[side] for one in found[name]])))
        value += float(np.mean([one.there[side] for one in found[best]])) / 2
    return value


def _mean(found: Sequence[Counted], wider: float = 1.0) -> Counted:
    """Of two, with influences `wider` times as large."""
    first, second = found
    return Counted((first.value + second.value) / 2, wider * (first.moved + second.moved) / 2)


def _between(crossed: Counted, plain: Counted, on: Bools) -> Rate:
    """The crossed value and its lower end; the upper end is the larger of both."""
    low, high = _around(crossed, on)
    return Rate(crossed.value, low, max(high, _around(plain, on)[1]))


def _around(found: Counted, on: Bools) -> tuple[float, float]:
    """The interval of an advantage: that of (1 + advantage) / 2, a balanced accuracy."""
    low, high = interval((1 + found.value) / 2, found.moved / 2, fewest=int(on.any(0).sum()))
    return 2 * low - 1, 2 * high - 1


def _largest_tpr(
    scores: Mapping[str, Floats],
    member: Bools,
    on: Mapping[str, Bools],
    half: Bools,
    fpr: float,
    weights: np.ndarray,
    whole: Mapping[str, tuple[Rate, Floats]],
) -> Largest:
    """Over the attacks of `whole`: the one chosen on each half, and scored on the other."""
    upper = largest_upper([rate.hi for rate, _ in whole.values()])
    value, error = 0.0, 0.0
    for here in (half, ~half):
        if any(
            int((on[name] & side & ~member).sum()) < LEAST / fpr
            for name in whole
            for side in (here, ~here)
        ):
            return Largest(None, upper)
        one = np.ones((1, half.size), np.uint8)
        there = {
            name: float(_Pool.of(scores[name], member, on[name] & here).tprs(fpr, one)[0])
            for name in whole
        }
        best = max(there, key=lambda name: there[name])
        pool = _Pool.of(scores[best], member, on[best] & ~here)
        own = float(pool.tprs(fpr, one)[0])
        value += own / 2
        error += float(pool.tprs(fpr, weights).var()) / 4
    factor = dependence(np.stack([moved for _, moved in whole.values()]))
    return Largest(Rate(value, *_ends(value, factor * error**0.5, on[best] & member)), upper)


def summarise(
    scores: Mapping[str, Floats],
    member: Bools,
    judged: Mapping[str, Bools],
    half: Bools,
    counts: Collection[str],
) -> LowFpr:
    """Every attack's TPR at each FPR of `RATES` and its advantage, and the maxima over those
    that count.

    Shapes: scores {attack: [T, S]}, calibrated, NaN outside the judged; member [T, S], judged
    {attack: [T, S]}, half [S]. Of equal attacks the first by name is chosen. Raises: ScoreError
    where a judged score is NaN.
    """
    for name, score in scores.items():
        if bad := int(np.isnan(score[judged[name]]).sum()):
            raise ScoreError(f"{name}: {bad} of {judged[name].sum()} calibrated scores are NaN")
    named = sorted(name for name in scores if name in counts)
    weights, others = drawn(half.size), max(int((on & ~member).sum()) for on in judged.values())
    rates: dict[str, dict[str, Rate | None]] = {}
    largest: dict[str, Largest] = {}
    for fpr in RATES:
        found = {n: tpr(score, member, judged[n], fpr, weights) for n, score in scores.items()}
        rates[tpr_name(fpr)] = {n: one[0] if one else None for n, one in found.items()}
        whole = {n: one for n in named if (one := found[n]) is not None}
        largest[tpr_name(fpr)] = (
            _largest_tpr(scores, member, judged, half, fpr, weights, whole)
            if len(whole) == len(named) > 0
            else Largest(None, None)
        )
    rates[ADVANTAGE], largest[ADVANTAGE] = _advantages(scores, member, judged, half, named)
    return LowFpr(rates, largest, 1 / others)
