from dataclasses import dataclass
from typing import ClassVar, Literal

from raymia.attack.attack import Array, Attack, Rng, Traits
from raymia.signals.view import View


@dataclass(frozen=True)
class Boundary(Attack):
    """The l2 distance to the target's decision boundary, found from its labels alone: 0 where
    it is wrong already.

    `norm`: what the distance to the point found is measured in; it is the nearest in l2.

    Source: Choquette-Choo et al., Label-Only Membership Inference Attacks, ICML 2021, by the
    search of Chen, Jordan & Wainwright, HopSkipJumpAttack, S&P 2020. l1 and l_inf of the same
    search: the code of Li & Zhang, Membership Leakage in Label-Only Exposures, CCS 2021.

    Departures: a few hundred queries a record (`signals.perturb`) instead of thousands; records
    that are no images, too.
    """

    cite: ClassVar[str] = (
        "@inproceedings{choquettechoo2021labelonly, title={Label-Only Membership Inference "
        "Attacks}, author={Choquette-Choo, Christopher A. and Tram{\\`e}r, Florian and Carlini, "
        "Nicholas and Papernot, Nicolas}, booktitle={ICML}, year={2021}}"
    )

    norm: Literal["l2", "linf", "l1"] = "l2"

    def traits(self) -> Traits:
        return Traits(needs={"boundary_distance" if self.norm == "l2" else "boundary_norms"})

    def score(self, view: View, rng: Rng) -> Array:
        of = "boundary_distance" if self.norm == "l2" else f"boundary_norms_{self.norm}"
        scores: Array = view.target[of][view.asked].astype(float)
        return scores
