"""One attack on its targets: scores from views that lack the target's membership, then the
judgement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from raymia.attack.attack import SHADOWS, Attack
from raymia.attack.calibration import by_class, logistic, odds
from raymia.attack.learned import Learned
from raymia.errors import RaymiaError
from raymia.records.split import Ints, Split
from raymia.signals.view import Signals, View
from raymia.streams import stream
from raymia.verdict import low_fpr, metrics

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Verdict:
    """Of one attack and target: scores [S] (NaN where nothing was asked), the line of
    attacks.csv, what of it is the attack's own, and what a reader must know. `reference_auc`:
    how well it tells the records that the defense held out from non-members; None where there
    are none, or it cannot be made on them; `reference_advantage`: the same by the advantage, on
    either half of the records. `calibrated` [S]: the same scores in the same order on
    a scale that all targets share; `log_ratio` [S]: the logarithm of how much more probable they
    are of a member than of a non-member. None where no shadow could teach that.
    """

    column: str
    target: int
    scores: Array
    line: dict[str, float | None]
    extra: dict[str, float]
    note: str
    reference_auc: float | None = None
    reference_advantage: low_fpr.Halves | None = None
    calibrated: Array | None = None
    log_ratio: Array | None = None

    @property
    def common(self) -> Array:
        """The scores [S] on a scale that all targets share, as far as one is known."""
        return self.scores if self.calibrated is None else self.calibrated


def verdicts(
    attack: Attack,
    column: str,
    signals: Signals,
    targets: Sequence[int],
    key: tuple[object, ...],
    others: Signals | None = None,
    kinds: Array | None = None,
    reference: bool = False,
) -> list[Verdict]:
    """Scores from views that lack the target's membership, then the judgement, less the planted
    records (`kinds` [S] > 0). With `reference`, the records that the defender holds out are
    attacked too.

    `others`: signals of the plain attacker's shadows. Raises ScoreError.
    """
    traits = attack.traits()
    order = signals.shuffled(stream(*key, "records"))
    place = np.argsort(order)
    views = [signals.view(t, traits.needs, traits.informed, others, order) for t in targets]

    def rng(t: int, *names: object) -> np.random.Generator:
        return stream(*key, "attack", column, t, *names)

    held = [place[_held(signals.split, t)] if reference else _NOBODY for t in targets]
    learned = isinstance(attack, Learned)  # trains a network, and then asks it record by record
    asked = [_and(v, rows) for v, rows in zip(views, held, strict=True)] if learned else views
    found = attack.score_all(asked, [rng(t) for t in targets])
    planted = np.zeros(len(signals.labels), bool) if kinds is None else kinds > 0
    out = []
    for t, view, rows, (score, note) in zip(targets, views, held, found, strict=True):
        score = np.asarray(score, np.float64)
        of_held, score = score[len(view.asked) :], score[: len(view.asked)]
        if score.shape != view.asked.shape or not np.isfinite(score).all():
            bad = int((~np.isfinite(score)).sum())
            raise metrics.ScoreError(
                f"{column}, target {t}: {bad} of {score.size} scores are not finite"
            )
        asked_of = order[view.asked]
        member, own = signals.split.member[signals.split.targets[t], asked_of], ~planted[asked_of]
        seen = _seen(attack, view, score, rng(t, "threshold"))
        line = metrics.judge(score[own], member[own], seen.cut).line()
        scores, calibrated, log_ratio = (
            _over(len(view.labels), asked_of, of) for of in (score, seen.places, seen.log_ratio)
        )
        assert scores is not None
        extra = attack.numbers(score[own], member[own])
        outside = own & ~member
        if len(rows) and not learned:
            of_held, score = _on(attack, view, rows, rng(t))
        area, advantage = None, None
        if len(rows) and len(score) == len(own):
            area = _area(of_held, score[outside])
        if area is not None:
            half = signals.split.half[np.concatenate([order[rows], asked_of[outside]])]
            both = np.concatenate([of_held, score[outside]])
            advantage = low_fpr.halves(both, np.arange(len(both)) < len(rows), half)
        about = {**line, **extra}, extra, note, area, advantage
        out.append(Verdict(column, t, scores, *about, calibrated, log_ratio))
    return out


def _over(records: int, where: Ints, values: Array | None) -> Array | None:
    """The values at these records [S], NaN at the others."""
    if values is None:
        return None
    out = np.full(records, np.nan)
    out[where] = values
    return out


_NOBODY = np.zeros(0, np.int64)


def _held(split: Split, t: int) -> Ints:
    """The records that the defense of target t holds out, in none of the judged columns."""
    own: Ints = split.reference(int(split.targets[t]))
    free: Ints = own[~split.judged[t, own]]
    return free


def _and(view: View, rows: Ints) -> View:
    """The view that asks these records too, after the others. All shadows that lack one can
    stand for a model without it.
    """
    out = view.out.copy()
    out[:, rows] = ~view.member[:, rows]
    return replace(view, asked=np.concatenate([view.asked, rows]), out=out)


def _on(attack: Attack, view: View, rows: Ints, rng: np.random.Generator) -> tuple[Array, Array]:
    """The scores of these records, and of those that are asked in any case, from one call."""
    try:
        score = np.asarray(attack.score(_and(view, rows), rng), np.float64)
    except RaymiaError:
        return np.zeros(0), np.zeros(0)
    return score[len(view.asked) :], score[: len(view.asked)]


def _area(inside: Array, outside: Array) -> float | None:
    """The AUC of these records against non-members."""
    score = np.concatenate([inside, outside])
    if not (len(inside) and len(outside) and np.isfinite(score).all()):
        return None
    return metrics.auc(score, np.arange(len(score)) < len(inside))


class _Seen(NamedTuple):
    """What a shadow that stands in for the target teaches of the target's scores [A], never the
    target itself: the threshold, each score's place among the stand-in's non-members, and its
    log-likelihood ratio.
    """

    cut: float | None
    places: Array | None = None
    log_ratio: Array | None = None


def _seen(attack: Attack, view: View, score: Array, rng: np.random.Generator) -> _Seen:
    """Places make one threshold right for all targets; an attack with a threshold of its own has
    its scores on a common scale already.

    The log-likelihood ratio is linear in the normal quantile of the place: a logistic regression
    on the stand-in, less its prior odds. Log-odds are one already.
    """
    from scipy.special import ndtri

    cut = attack.cut(view)
    if cut is not None or not len(view.member):
        return _Seen(cut, None, score if attack.log_odds else None)
    stand_in, known = view.as_target(0)
    # with four models no shadow is left for the one that stands in: the decision stays unknown
    if not len(stand_in.member) and attack.traits().wants & SHADOWS:
        return _Seen(None)
    seen = np.asarray(attack.score(stand_in, rng), np.float64)
    outside = seen[~known]
    own, its = (by_class(s, 0 * s, outside, 0 * outside) for s in (score, seen))
    weights = logistic(ndtri(its)[:, None], known)
    ratio = odds(ndtri(own)[:, None], weights) - np.log(known.sum() / (~known).sum())
    return _Seen(metrics.best_threshold(seen, known), own, ratio)
