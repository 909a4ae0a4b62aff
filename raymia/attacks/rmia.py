from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np

from raymia.attack import Array, Attack, Rng
from raymia.signals import View, log_truth
from raymia.space import Range


@dataclass(frozen=True)
class Rmia(Attack):
    """The share of the population that the record outranks by gamma in likelihood ratio, target against shadows.

    ratio(x) = p_target(x) / p(x), p the probability of the true class; offline p(x) = ((1 + a) mean_out(x) + (1 - a)) / 2,
    online p(x) = mean over all shadows. Score: the fraction of population records z with ratio(x) / ratio(z) > gamma.

    Source: Zarifzadeh, Liu & Shokri, Low-Cost High-Power Membership Inference, ICML 2024.

    Departures: p is the softmax (the authors' default for images is a Taylor softmax); between two equal counts the larger
    ratio ranks higher, by a share of less than one population record, so that few population records do not tie everything.
    """

    cite: ClassVar[str] = (
        "@inproceedings{zarifzadeh2024rmia, title={Low-Cost High-Power Membership Inference Attacks}, "
        "author={Zarifzadeh, Sajjad and Liu, Philippe and Shokri, Reza}, booktitle={ICML}, year={2024}}"
    )
    wants: ClassVar[frozenset[str]] = frozenset({"out_shadows", "population"})
    standard: ClassVar[bool] = True

    mode: Literal["offline", "online"] = "offline"
    gamma: Annotated[float, Range(1.0, 4.0, least=1.0)] = 2.0
    a: Annotated[float, Range(0.0, 1.0, least=0.0, most=1.0)] = 0.3

    @property
    def conditions(self) -> frozenset[str]:
        return self.wants | ({"in_shadows"} if self.mode == "online" else set())

    def score(self, view: View, rng: Rng) -> Array:
        ratio = self._log_ratio(view)
        x, z = ratio[view.asked], np.sort(ratio[view.population])
        below = np.searchsorted(z, x - np.log(self.gamma), side="left")
        rank = 1 / (1 + np.exp(-x))  # in (0, 1), increasing: breaks ties of the count
        return np.asarray((below + 0.999 * rank) / len(z))

    def _log_ratio(self, view: View) -> Array:
        """log of ratio(x) at every record [S]."""
        p = np.exp(log_truth(view.shadow_log_odds))
        if self.mode == "online":
            reference = p.mean(0)
        else:
            count = view.out.sum(0)
            mean = np.where(count, (p * view.out).sum(0) / np.maximum(count, 1), p.mean())
            reference = ((1 + self.a) * mean + (1 - self.a)) / 2
        return np.asarray(log_truth(view.log_odds) - np.log(np.maximum(reference, 1e-300)))
