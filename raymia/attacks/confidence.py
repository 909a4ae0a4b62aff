from dataclasses import dataclass
from typing import ClassVar

from raymia.attack.attack import Array, Metric


@dataclass(frozen=True)
class Confidence(Metric):
    """The largest probability of the target's prediction, max_c p_c (as its logarithm, which
    does not tie near 1).

    Source: Salem et al., ML-Leaks, NDSS 2019, adversary 3; `Top One` in Li, Li & Ribeiro,
    CODASPY 2021.

    Departures: the threshold is the best one on a shadow; the paper takes a percentile over
    randomly generated inputs.
    """

    cite: ClassVar[str] = (
        "@inproceedings{salem2019mlleaks, title={ML-Leaks: Model and Data Independent Membership "
        "Inference Attacks and Defenses on Machine Learning Models}, author={Salem, Ahmed and "
        "Zhang, Yang and Humbert, Mathias and Berrang, Pascal and Fritz, Mario and Backes, "
        "Michael}, booktitle={NDSS}, year={2019}}"
    )

    def metric(self, log_p: Array, label: Array) -> Array:
        largest: Array = log_p.max(-1)
        return largest
