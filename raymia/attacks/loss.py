from dataclasses import dataclass
from typing import ClassVar

from raymia.attack import Array, Attack, Rng
from raymia.signals import View


@dataclass(frozen=True)
class Loss(Attack):
    """Minus the cross-entropy of the target at the record, in float64 from the logits: log p_y.

    Source: Yeom et al., Privacy Risk in Machine Learning, CSF 2018.
    """

    standard: ClassVar[bool] = True

    def score(self, view: View, rng: Rng) -> Array:
        scores: Array = view.log_p[view.asked, view.labels[view.asked]]
        return scores
