from dataclasses import dataclass
from typing import ClassVar

from raymia.attack.attack import Array, Attack, Rng, Traits
from raymia.signals.view import View


@dataclass(frozen=True)
class Augmentation(Attack):
    """The share of shifted and mirrored copies of the image that the target predicts right.
    Sees labels only.

    81 shifts (4 pixels of zeros on each side) with and without mirroring: 162 queries.

    Source: Choquette-Choo et al., Label-Only Membership Inference Attacks, ICML 2021, in the
    form of SELENA's code.

    Departures: the count is the score (the paper feeds the single answers to a network).
    """

    cite: ClassVar[str] = (
        "@inproceedings{choquettechoo2021labelonly, title={Label-Only Membership Inference "
        "Attacks}, author={Choquette-Choo, Christopher A. and Tram{\\`e}r, Florian and Carlini, "
        "Nicholas and Papernot, Nicolas}, booktitle={ICML}, year={2021}}"
    )

    def traits(self) -> Traits:
        return Traits(needs={"augmented_right"}, wants={"images"})

    def score(self, view: View, rng: Rng) -> Array:
        scores: Array = view.target["augmented_right"][view.asked].astype(float)
        return scores
