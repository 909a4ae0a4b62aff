from dataclasses import dataclass
from typing import ClassVar

from raymia.attack.attack import Array, Attack, Rng
from raymia.signals.view import View


@dataclass(frozen=True)
class Baseline(Attack):
    """Whether the target predicts the record's label: 1[argmax p = y]. Its AUC is 0.5 + (train
    - test accuracy) / 2.

    Source: Yeom et al., CSF 2018; the baseline of Li, Li & Ribeiro, CODASPY 2021.
    """

    cite: ClassVar[str] = (
        "@inproceedings{yeom2018, title={Privacy Risk in Machine Learning: Analyzing the "
        "Connection to Overfitting}, author={Yeom, Samuel and Giacomelli, Irene and Fredrikson, "
        "Matt and Jha, Somesh}, booktitle={IEEE Computer Security Foundations Symposium}, "
        "year={2018}}"
    )
    standard: ClassVar[bool] = True

    def score(self, view: View, rng: Rng) -> Array:
        right: Array = view.target["logits"].argmax(-1) == view.labels
        return right[view.asked].astype(float)

    def cut(self, view: View) -> float:
        return 0.5
