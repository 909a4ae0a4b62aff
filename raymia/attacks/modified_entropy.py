from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from raymia.attack.attack import Array, Metric


@dataclass(frozen=True)
class ModifiedEntropy(Metric):
    """Entropy that knows the label: (1 - p_y) log p_y + sum_{c != y} p_c log(1 - p_c).

    Source: Song & Mittal, USENIX Security 2021, equation 7 (Mentr); `M-Entr.` in SRCM and CRL.

    Departures: 1 - p_c from the other classes' mass in float64, where the released codes clip
    it at 1e-30 and tie.
    """

    cite: ClassVar[str] = (
        "@inproceedings{song2021systematic, title={Systematic Evaluation of Privacy Risks of "
        "Machine Learning Models}, author={Song, Liwei and Mittal, Prateek}, booktitle={USENIX "
        "Security Symposium}, year={2021}}"
    )
    standard: ClassVar[bool] = True

    def metric(self, log_p: Array, label: Array) -> Array:
        rows = np.arange(len(label))
        p = np.exp(log_p)
        top = p.argmax(-1)
        others = p.copy()
        others[rows, top] = 0.0
        rest = 1 - p
        rest[rows, top] = others.sum(-1)  # exact where p_c rounds to 1
        wrong = p * np.log(np.maximum(rest, 1e-300))
        wrong[rows, label] = 0.0
        return np.asarray(rest[rows, label] * log_p[rows, label] + wrong.sum(-1))
