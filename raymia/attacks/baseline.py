from dataclasses import dataclass
from typing import ClassVar

from raymia.attack import Array, Attack, Rng
from raymia.signals import View


@dataclass(frozen=True)
class Baseline(Attack):
    """Whether the target predicts the record's label: 1[argmax p = y]. Its AUC is 0.5 + (train - test accuracy) / 2.

    Source: Yeom et al., CSF 2018; the baseline of Li, Li & Ribeiro, CODASPY 2021.
    """

    standard: ClassVar[bool] = True
    threshold: ClassVar[float | None] = 0.5

    def score(self, view: View, rng: Rng) -> Array:
        right: Array = view.target["logits"].argmax(-1) == view.labels
        return right[view.asked].astype(float)
