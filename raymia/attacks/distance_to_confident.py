from dataclasses import dataclass
from typing import ClassVar

from raymia.attack.attack import Array, Attack, Rng, Traits
from raymia.signals.view import View


@dataclass(frozen=True)
class DistanceToConfident(Attack):
    """Minus the l_inf distance to where the target is as sure as on its median member (the
    search: `signals.perturb`).

    `dtc_gap` beside it is (mean over non-members - mean over members) / mean over non-members
    of that distance. The median loss is one number of the target's training set, so the attack
    is of those that know some members.

    Source: Kaya, Hong & Dumitras, arXiv:2006.05336, section on distance-to-confident (DtC).

    Departures: the paper describes a measure; ranking by it, and so its AUC, is ours. A record
    that is confident already takes one step, as the paper's stated range (0.001 to 0.1) says.
    """

    cite: ClassVar[str] = (
        "@article{kaya2020effectiveness, title={On the Effectiveness of Regularization Against "
        "Membership Inference Attacks}, author={Kaya, Yigitcan and Hong, Sanghyun and Dumitras, "
        "Tudor}, journal={arXiv:2006.05336}, year={2020}}"
    )

    counts: bool = True

    def traits(self) -> Traits:
        return Traits(
            needs={"confident_distance"}, wants={"white_box"}, informed=True, counts=self.counts
        )

    def score(self, view: View, rng: Rng) -> Array:
        scores: Array = -view.target["confident_distance"][view.asked].astype(float)
        return scores

    def numbers(self, score: Array, member: Array) -> dict[str, float]:
        outside = -float(score[~member].mean())
        return {"dtc_gap": (outside + float(score[member].mean())) / outside} if outside else {}
