from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from raymia.attack.attack import Array, Metric


@dataclass(frozen=True)
class Probability(Metric):
    """The probability of the record's label, p_y. It ranks as `loss` does, but for ties where
    p_y rounds to 1.

    Source: `confidence` of Song & Mittal, USENIX Security 2021, and RelaxLoss; `global
    probability` of Li, Li & Ribeiro, CODASPY 2021.

    Departures: the threshold is the best one on a shadow, where the last authors' code fits a
    logistic regression, which their own comment says can miss it.
    """

    cite: ClassVar[str] = (
        "@inproceedings{song2021systematic, title={Systematic Evaluation of Privacy Risks of "
        "Machine Learning Models}, author={Song, Liwei and Mittal, Prateek}, booktitle={USENIX "
        "Security Symposium}, year={2021}}"
    )

    def metric(self, log_p: Array, label: Array) -> Array:
        return np.asarray(np.exp(log_p[np.arange(len(label)), label]))
