from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from raymia.attack.attack import Array, Metric


@dataclass(frozen=True)
class Entropy(Metric):
    """Minus the entropy of the target's prediction: sum_c p_c log p_c. It does not look at the
    label.

    Source: Salem et al., ML-Leaks, NDSS 2019; `Entr.` in SRCM and CRL.
    """

    cite: ClassVar[str] = (
        "@inproceedings{salem2019mlleaks, title={ML-Leaks: Model and Data Independent Membership "
        "Inference Attacks and Defenses on Machine Learning Models}, author={Salem, Ahmed and "
        "Zhang, Yang and Humbert, Mathias and Berrang, Pascal and Fritz, Mario and Backes, "
        "Michael}, booktitle={NDSS}, year={2019}}"
    )
    standard: ClassVar[bool] = True

    def metric(self, log_p: Array, label: Array) -> Array:
        return np.asarray((np.exp(log_p) * log_p).sum(-1))
