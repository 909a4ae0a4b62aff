from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from raymia.attack.attack import Array, Attack, Rng, Traits
from raymia.signals.view import View


@dataclass(frozen=True)
class Population(Attack):
    """Attack P: the share of the population on which the target has a larger loss than on the
    record. No shadows.

    Source: Ye et al., Enhanced Membership Inference Attacks, CCS 2022, attack P.

    Departures: linear between the population's log-odds of the true class, and beyond them
    still in their order, so that it ranks as `loss` does and only its thresholds are its own.
    """

    cite: ClassVar[str] = (
        "@inproceedings{ye2022enhanced, title={Enhanced Membership Inference Attacks against "
        "Machine Learning Models}, author={Ye, Jiayuan and Maddi, Aadyaa and Murakonda, Sasi Kumar "
        "and Bindschaedler, Vincent and Shokri, Reza}, booktitle={ACM CCS}, year={2022}}"
    )

    def traits(self) -> Traits:
        return Traits(wants={"population"})

    def score(self, view: View, rng: Rng) -> Array:
        x, z = view.log_odds[view.asked], np.sort(view.log_odds[view.population])
        share = np.interp(x, z, np.arange(1, len(z) + 1) / (len(z) + 1))
        beyond = np.maximum(z[0] - x, 0), np.maximum(x - z[-1], 0)
        low, high = (b / (1 + b) / (len(z) + 1) for b in beyond)
        return np.asarray(share - low + high)
