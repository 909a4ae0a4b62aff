from dataclasses import dataclass
from typing import ClassVar, Literal

from raymia.attack.attack import Array, Attack, Rng, Traits
from raymia.signals.view import View


@dataclass(frozen=True)
class AdversarialDistance(Attack):
    """How far the record must be moved for the target to predict something else: 0 where it is
    wrong already. `norm`: what the distance is in; the search takes the least steps in it.

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

    norm: Literal["l2", "linf", "l1"] = "l2"

    def traits(self) -> Traits:
        need = "adversarial_l1_distance" if self.norm == "l1" else "adversarial_distance"
        return Traits(needs={need}, wants={"white_box"})

    def score(self, view: View, rng: Rng) -> Array:
        of = "adversarial_l1_distance" if self.norm == "l1" else f"adversarial_distance_{self.norm}"
        scores: Array = view.target[of][view.asked].astype(float)
        return scores
