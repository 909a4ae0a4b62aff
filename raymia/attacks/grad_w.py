from dataclasses import dataclass
from typing import ClassVar, Literal

from raymia.attack.attack import Array, Attack, Rng, Traits
from raymia.signals.view import View


@dataclass(frozen=True)
class GradW(Attack):
    """Minus the norm of the gradient of the record's cross-entropy by all weights.

    Source: Rezaei & Liu, CVPR 2021; `Grad-w` in RelaxLoss (l1 and l2).
    """

    cite: ClassVar[str] = (
        "@inproceedings{rezaei2021difficulty, title={On the Difficulty of Membership Inference "
        "Attacks}, author={Rezaei, Shahbaz and Liu, Xin}, booktitle={CVPR}, year={2021}}"
    )

    norm: Literal["l1", "l2"] = "l2"

    def traits(self) -> Traits:
        return Traits(needs={f"weight_grad_{self.norm}"}, wants={"white_box"})

    def score(self, view: View, rng: Rng) -> Array:
        scores: Array = -view.target[f"weight_grad_{self.norm}"][view.asked]
        return scores
