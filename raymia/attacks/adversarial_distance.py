from dataclasses import dataclass
from typing import ClassVar, Literal

from raymia.attack.attack import Array, Attack, Rng, Traits
from raymia.signals.view import View


@dataclass(frozen=True)
class AdversarialDistance(Attack):
    """How far the record must be moved for the target to predict something else: 0 where it is
    wrong already.

    Source: Del Grosso et al., Leveraging Adversarial Examples to Quantify Membership
    Information Leakage, CVPR 2022.

    Departures: a DeepFool-like search of our own (`signals.perturb`), where the paper uses
    AutoAttack.
    """

    cite: ClassVar[str] = (
        "@inproceedings{delgrosso2022, title={Leveraging Adversarial Examples to Quantify "
        "Membership Information Leakage}, author={Del Grosso, Ganesh and Jalalzai, Hamid and "
        "Pichler, Georg and Palamidessi, Catuscia and Piantanida, Pablo}, booktitle={CVPR}, "
        "year={2022}}"
    )

    norm: Literal["l2", "linf"] = "l2"

    def traits(self) -> Traits:
        return Traits(needs={"adversarial_distance"}, wants={"white_box"})

    def score(self, view: View, rng: Rng) -> Array:
        scores: Array = view.target[f"adversarial_distance_{self.norm}"][view.asked].astype(float)
        return scores
