from dataclasses import dataclass
from typing import ClassVar

from raymia.attack.attack import Array, Attack, Rng, Traits
from raymia.signals.view import View


@dataclass(frozen=True)
class Boundary(Attack):
    """The l2 distance to the target's decision boundary, found from its labels alone: 0 where
    it is wrong already.

    Source: Choquette-Choo et al., Label-Only Membership Inference Attacks, ICML 2021, by the
    search of Chen, Jordan & Wainwright, HopSkipJumpAttack, S&P 2020.

    Departures: a few hundred queries a record (`signals.perturb`) instead of thousands; records
    that are no images, too.
    """

    cite: ClassVar[str] = (
        "@inproceedings{choquettechoo2021labelonly, title={Label-Only Membership Inference "
        "Attacks}, author={Choquette-Choo, Christopher A. and Tram{\\`e}r, Florian and Carlini, "
        "Nicholas and Papernot, Nicolas}, booktitle={ICML}, year={2021}}"
    )

    def traits(self) -> Traits:
        return Traits(needs={"boundary_distance"})

    def score(self, view: View, rng: Rng) -> Array:
        scores: Array = view.target["boundary_distance"][view.asked].astype(float)
        return scores
