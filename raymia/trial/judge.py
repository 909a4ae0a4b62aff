"""One attack on its targets: scores from views that lack the target's membership, then the
judgement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from raymia.attack.attack import Attack
from raymia.signals.view import Signals, View
from raymia.streams import stream
from raymia.verdict import metrics

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Verdict:
    """Of one attack and target: scores [S] (NaN where nothing was asked), the line of
    attacks.csv, what of it is the attack's own, and what a reader must know.
    """

    column: str
    target: int
    scores: Array
    line: dict[str, float | None]
    extra: dict[str, float]
    note: str


def verdicts(
    attack: Attack,
    column: str,
    signals: Signals,
    targets: Sequence[int],
    key: tuple[object, ...],
    others: Signals | None = None,
    kinds: Array | None = None,
) -> list[Verdict]:
    """Scores from views that lack the target's membership, then the judgement, less the planted
    records (`kinds` [S] > 0).

    `others`: signals of the plain attacker's shadows. Raises ScoreError.
    """
    traits = attack.traits()
    views = [signals.view(t, traits.needs, traits.informed, others) for t in targets]

    def rng(t: int, *names: object) -> np.random.Generator:
        return stream(*key, "attack", column, t, *names)

    found = attack.score_all(views, [rng(t) for t in targets])
    planted = np.zeros(len(signals.labels), bool) if kinds is None else kinds > 0
    out = []
    for t, view, (score, note) in zip(targets, views, found, strict=True):
        score = np.asarray(score, np.float64)
        if score.shape != view.asked.shape or not np.isfinite(score).all():
            bad = int((~np.isfinite(score)).sum())
            raise metrics.ScoreError(
                f"{column}, target {t}: {bad} of {score.size} scores are not finite"
            )
        member, own = (
            signals.split.member[signals.split.targets[t], view.asked],
            ~planted[view.asked],
        )
        line = metrics.judge(
            score[own], member[own], _threshold(attack, view, rng(t, "threshold"))
        ).line()
        scores = np.full(len(view.labels), np.nan)
        scores[view.asked] = score
        extra = attack.numbers(score[own], member[own])
        out.append(Verdict(column, t, scores, {**line, **extra}, extra, note))
    return out


def _threshold(attack: Attack, view: View, rng: np.random.Generator) -> float | None:
    """The attack's own, else the best one on a shadow that stands in for the target; never from
    the target itself.
    """
    cut = attack.cut(view)
    if cut is not None or not len(view.member):
        return cut
    stand_in, known = view.as_target(0)
    # with four models no shadow is left for the one that stands in: the decision stays unknown
    if not len(stand_in.member) and attack.traits().wants & {"in_shadows", "out_shadows"}:
        return None
    return metrics.best_threshold(attack.score(stand_in, rng), known)
