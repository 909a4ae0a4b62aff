from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from raymia.attack import Array, Attack, Rng
from raymia.signals import View


@dataclass(frozen=True)
class Entropy(Attack):
    """Minus the entropy of the target's prediction: sum_c p_c log p_c. It does not look at the label.

    Source: Salem et al., ML-Leaks, NDSS 2019; `Entr.` in SRCM and CRL.
    """

    standard: ClassVar[bool] = True

    def score(self, view: View, rng: Rng) -> Array:
        log_p = view.log_p[view.asked]
        scores: Array = (np.exp(log_p) * log_p).sum(-1)
        return scores
