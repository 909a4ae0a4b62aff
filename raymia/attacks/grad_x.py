from dataclasses import dataclass
from typing import ClassVar, Literal

from raymia.attack.attack import Array, Attack, Rng, Traits
from raymia.signals.view import View


@dataclass(frozen=True)
class GradX(Attack):
    """Minus the norm of the gradient of the cross-entropy by the (normalised) input: members
    lie in flatter places.

    Source: Rezaei & Liu, On the Difficulty of Membership Inference Attacks, CVPR 2021; `Grad-x`
    in SRCM and CRL (l2).
    """

    cite: ClassVar[str] = (
        "@inproceedings{rezaei2021difficulty, title={On the Difficulty of Membership Inference "
        "Attacks}, author={Rezaei, Shahbaz and Liu, Xin}, booktitle={CVPR}, year={2021}}"
    )
    standard: ClassVar[bool] = True

    norm: Literal["l1", "l2"] = "l2"

    def traits(self) -> Traits:
        return Traits(needs={"input_grad"}, wants={"white_box"})

    def score(self, view: View, rng: Rng) -> Array:
        scores: Array = -view.target[f"input_grad_{self.norm}"][view.asked]
        return scores
