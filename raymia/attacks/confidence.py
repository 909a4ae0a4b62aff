from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

import numpy as np

from raymia.attack.attack import Array, Metric, Traits
from raymia.point.space import Range
from raymia.signals.view import View

PERCENTILE = 10.0


@dataclass(frozen=True)
class Confidence(Metric):
    """The largest probability of the target's prediction, max_c p_c (as its logarithm, which
    does not tie near 1).

    `threshold`: `shadow` takes the one that tells a shadow's members best, `percentile` the
    paper's own, above which the target is for `percentile` of a hundred random inputs. It needs no
    shadow. They rank alike.

    Source: Salem et al., ML-Leaks, NDSS 2019, adversary 3; `Global-TopOne` in Li, Li & Ribeiro,
    CODASPY 2021, section 3.1 (t between 5 and 25 percent).

    Departures: a random input has each of its features from a record of its own, drawn anew, as
    many inputs as there are records (the last authors say neither); the default of 10 is ours.
    """

    cite: ClassVar[str] = (
        "@inproceedings{salem2019mlleaks, title={ML-Leaks: Model and Data Independent Membership "
        "Inference Attacks and Defenses on Machine Learning Models}, author={Salem, Ahmed and "
        "Zhang, Yang and Humbert, Mathias and Berrang, Pascal and Fritz, Mario and Backes, "
        "Michael}, booktitle={NDSS}, year={2019}}"
    )

    threshold: Literal["shadow", "percentile"] = "shadow"
    percentile: Annotated[float, Range(5.0, 25.0, least=0.0, most=100.0)] = PERCENTILE

    def __post_init__(self) -> None:
        if self.per_class and self.threshold != "shadow":
            raise ValueError(
                "threshold: percentile goes with per_class: false; a place within a class is no "
                "probability"
            )
        if self.threshold == "shadow" and self.percentile != PERCENTILE:
            raise ValueError("percentile goes with threshold: percentile")

    def traits(self) -> Traits:
        own = super().traits()
        asks = {"random_confidence"} if self.threshold == "percentile" else set()
        return replace(own, needs=own.needs | asks)

    def metric(self, log_p: Array, label: Array) -> Array:
        largest: Array = log_p.max(-1)
        return largest

    def cut(self, view: View) -> float | None:
        if self.threshold == "shadow":
            return None
        said = view.target["random_confidence"]
        return float(np.quantile(said, 1 - self.percentile / 100, method="higher"))
