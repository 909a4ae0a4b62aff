from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from raymia.attack.attack import Array, Metric, Traits
from raymia.signals.view import View, log_truth


@dataclass(frozen=True)
class Loss(Metric):
    """Minus the cross-entropy of the target at the record, in float64 from the logits: log p_y.

    `threshold`: `shadow` takes the loss that tells a shadow's members best, `mean_loss` Yeom's
    own, the mean loss of the shadows on their members, `known` that of the target on its known
    members (a tenth, which is not judged). They rank alike.

    Source: Yeom et al., Privacy Risk in Machine Learning, CSF 2018, adversary 1; `global loss`
    of Li, Li & Ribeiro, CODASPY 2021.

    Departures: the mean loss is taken in evaluation mode after training (the last authors' code
    averages the last epoch's batches as they were trained on).
    """

    cite: ClassVar[str] = (
        "@inproceedings{yeom2018, title={Privacy Risk in Machine Learning: Analyzing the "
        "Connection to Overfitting}, author={Yeom, Samuel and Giacomelli, Irene and Fredrikson, "
        "Matt and Jha, Somesh}, booktitle={IEEE Computer Security Foundations Symposium}, "
        "year={2018}}"
    )
    standard: ClassVar[bool] = True

    threshold: Literal["shadow", "mean_loss", "known"] = "shadow"

    def __post_init__(self) -> None:
        if self.per_class and self.threshold != "shadow":
            raise ValueError(
                f"threshold: {self.threshold} goes with per_class: false; a place within a class "
                "is no loss"
            )

    def traits(self) -> Traits:
        own = super().traits()
        wants = own.wants | ({"out_shadows"} if self.threshold == "mean_loss" else set())
        return replace(own, wants=wants, informed=self.threshold == "known")

    def metric(self, log_p: Array, label: Array) -> Array:
        scores: Array = log_p[np.arange(len(label)), label]
        return scores

    def cut(self, view: View) -> float | None:
        if self.threshold == "shadow":
            return None
        if self.threshold == "known":
            return float(log_truth(view.log_odds)[view.known[view.known_member]].mean())
        return float(log_truth(view.shadow_log_odds)[view.fit & view.member].mean())
