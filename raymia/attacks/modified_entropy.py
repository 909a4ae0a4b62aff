from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from raymia.attack import Array, Attack, Rng
from raymia.signals import View


@dataclass(frozen=True)
class ModifiedEntropy(Attack):
    """Entropy that knows the label: (1 - p_y) log p_y + sum_{c != y} p_c log(1 - p_c).

    Source: Song & Mittal, USENIX Security 2021, equation 7 (Mentr); `M-Entr.` in SRCM and CRL.

    Departures: log(1 - p_c) by log1p in float64, where the released codes clip 1 - p_c at 1e-30 and tie.
    """

    standard: ClassVar[bool] = True

    def score(self, view: View, rng: Rng) -> Array:
        log_p, label = view.log_p[view.asked], view.labels[view.asked]
        rows = np.arange(len(label))
        p = np.exp(log_p)
        rest = 1 - p
        # 1 - p_c from the other classes' mass: exact where p_c rounds to 1
        top = p.argmax(-1)
        others = p.copy()
        others[rows, top] = 0.0
        rest[rows, top] = others.sum(-1)
        wrong = p * np.log(np.maximum(rest, 1e-300))
        wrong[rows, label] = 0.0
        scores: Array = rest[rows, label] * log_p[rows, label] + wrong.sum(-1)
        return scores
