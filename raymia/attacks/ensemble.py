from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from raymia.attack.attack import Array, Attack, Rng, Traits, make
from raymia.attack.calibration import Moments, logistic, odds
from raymia.attack.pairs import Pairs
from raymia.point.space import Part, Range
from raymia.signals.view import View

OTHERS = (
    *(Part("lira", {"variance": variance}) for variance in ("fixed", "bayes")),
    *(Part("rmia", {"a": a}) for a in (0.0, 0.3, 1.0)),
    *(Part(name, {}) for name in ("reference", "probability", "entropy")),
    # where shadows have seen the judged records
    *(Part("lira", {"mode": "online", "variance": v}) for v in ("fixed", "bayes")),
    Part("rmia", {"mode": "online", "trim": 0.2}),
)
TREES = {
    "max_iter": 40,
    "learning_rate": 0.14,
    "max_leaf_nodes": 8,
    "min_samples_leaf": 40,
    "l2_regularization": 5.0,
    "early_stopping": False,
}


@dataclass(frozen=True)
class Ensemble(Attack):
    """Log-odds of "member" by a logistic regression and boosted trees (their mean) on the scores
    of other attacks, fitted on shadows that stand in for the target. Nothing further is trained.

    Each of `stand_ins` shadows in turn is the target of LiRA, RMIA (offline at a = 0, 0.3, 1),
    attack R, the probability of the label and the entropy; where shadows have seen the judged
    records, of the online forms of LiRA and RMIA, too. With them go the log-odds of the label,
    its mean over the shadows without the record and the squares around it, and how far its mean
    over those with it is above. Every number is replaced by the normal quantile of its place
    among the stand-ins' ones, which its scale does not change. Fitted on at most `pairs` (record,
    stand-in) pairs (0: all).

    Source: ours. Stacking of attacks on shadow models: Wolpert, Stacked Generalization, Neural
    Networks 1992; shadows in the place of the target as for thresholds.

    Departures: a stand-in has fewer shadows than the target (by itself and its complement), so
    that its scores are a little noisier than those that are judged.
    """

    cite: ClassVar[str] = (
        "@article{wolpert1992stacked, title={Stacked Generalization}, author={Wolpert, David H.}, "
        "journal={Neural Networks}, volume={5}, number={2}, pages={241--259}, year={1992}}"
    )
    revision: ClassVar[int] = 2
    standard: ClassVar[bool] = True
    log_odds: ClassVar[bool] = True

    stand_ins: Annotated[int, Range(1, 16, least=1)] = 8
    pairs: Pairs = 20_000

    def traits(self) -> Traits:
        return Traits(wants={"out_shadows"})

    def score(self, view: View, rng: Rng) -> Array:
        from scipy.stats import rankdata
        from sklearn.ensemble import HistGradientBoostingClassifier
        from threadpoolctl import threadpool_limits

        online = bool(view.member[:, view.asked].any())
        able = self._stand_ins(view)
        own = _numbers(view, online, rng)
        if not able:  # no shadow is left for one that stands in: the likelihood ratio must do
            return own[:, 0]
        known = np.concatenate([_numbers(v, online, rng) for v, _ in able])
        member = np.concatenate([m for _, m in able])
        if self.pairs and len(known) > self.pairs:
            drawn = np.sort(rng.choice(len(known), self.pairs, replace=False))
            known, member = known[drawn], member[drawn]
        x, z = _quantiles(rankdata(known, axis=0), known), _quantiles(_ranks(own, known), known)
        with threadpool_limits(1):  # one thread: the same bits everywhere
            trees = HistGradientBoostingClassifier(**TREES, random_state=0).fit(x, member)
            grown = trees.decision_function(z)
        return np.asarray((odds(z, logistic(x, member)) + grown) / 2)

    def cut(self, view: View) -> float | None:
        return super().cut(view) if self._stand_ins(view) else None

    def _stand_ins(self, view: View) -> list[tuple[View, Array]]:
        """Shadows as targets, with their membership: those that leave shadows to compare with."""
        pairs = (view.as_target(k) for k in range(min(self.stand_ins, len(view.member))))
        return [(v, m) for v, m in pairs if v.out.any() and m.any() and not m.all()]


def _numbers(view: View, online: bool, rng: Rng) -> Array:
    """What is known of the asked records [A, F], LiRA's offline ratio first."""
    offered = (
        {"out_shadows"}
        | ({"in_shadows"} if online else set())
        | ({"population"} if view.population.any() else set())
    )
    made = [make(part) for part in OTHERS]
    scores = [a.score(view, rng) for a in made if a.traits().wants <= offered]
    shadows = view.shadow_log_odds[:, view.asked]
    outside = Moments.of(shadows, view.out[:, view.asked])
    scores += [view.log_odds[view.asked], outside.mean, outside.square]
    if online:
        inside = Moments.of(shadows, view.member[:, view.asked])
        scores.append(np.where(inside.n, inside.mean - outside.mean, 0.0))
    return np.stack(scores, 1)


def _ranks(values: Array, known: Array) -> Array:
    """The mid-ranks, from 1/2, of values [A, F] among known ones [P, F]."""
    columns = zip(values.T, np.sort(known, 0).T, strict=True)
    each = [np.searchsorted(of, v, "left") + np.searchsorted(of, v, "right") for v, of in columns]
    return (np.stack(each, 1) + 1) / 2


def _quantiles(ranks: Array, known: Array) -> Array:
    from scipy.special import ndtri

    return np.asarray(ndtri(ranks / (len(known) + 1)))
