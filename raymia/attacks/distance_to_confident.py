from dataclasses import dataclass
from typing import ClassVar

from raymia.attack.attack import Array, Attack, Rng, Traits
from raymia.signals.view import View


@dataclass(frozen=True)
class DistanceToConfident(Attack):
    """Minus the l_inf distance to where the target is as sure as on its median member (the
    search: `signals.perturb`).

    Beside it `dtc_members` and `dtc_nonmembers`, the mean of that distance over either (the
    paper's C_S and C_D, there times 1,000), and `dtc_gap`, (C_D - C_S) / C_D. The median loss
    is one number of the target's training set, so the attack is of those that know some members.

    Source: Kaya, Hong & Dumitras, arXiv:2006.05336, section 6, tables 7 and 8.

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
        inside, outside = (-float(score[who].mean()) for who in (member, ~member))
        gap = {"dtc_gap": (outside - inside) / outside} if outside else {}
        return {"dtc_members": inside, "dtc_nonmembers": outside, **gap}
