from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np

from raymia.attack.attack import Array, Attack, Rng, Traits
from raymia.point.space import Range
from raymia.signals.view import View, log_truth

MARGIN = 0.6


@dataclass(frozen=True)
class Rmia(Attack):
    """The share of the population that the record outranks by gamma in likelihood ratio, target
    against shadows.

    ratio(x) = p_target(x) / p(x), p the probability of the true class; offline p(x) = ((1 + a)
    mean_out(x) + (1 - a)) / 2, online p(x) = mean over all shadows, without `a`. Score: the
    fraction of population records z with ratio(x) / ratio(z) > gamma. The score grows with
    ratio(x): neither `gamma` nor the population changes the order of the records, nor the AUC.

    `likelihood`: `softmax`, or `taylor`, the authors' default for images: t(u) = 1 + u + u^2/2
    + u^3/6 in place of exp(u), and a margin of 0.6 taken from the true class's logit; between
    1e-12 and 1, since t is negative below -1.6.

    Source: Zarifzadeh, Liu & Shokri, Low-Cost High-Power Membership Inference, ICML 2024, and
    its code.

    Departures: p is the softmax by default; the logits are not divided by a temperature
    (theirs: 2 and 1); between two equal counts the larger ratio ranks higher, by a share of
    less than one population record, so that few population records do not tie everything; all
    shadows' mean, where the code trims 20%.
    """

    cite: ClassVar[str] = (
        "@inproceedings{zarifzadeh2024rmia, title={Low-Cost High-Power Membership Inference "
        "Attacks}, author={Zarifzadeh, Sajjad and Liu, Philippe and Shokri, Reza}, "
        "booktitle={ICML}, year={2024}}"
    )
    standard: ClassVar[bool] = True

    mode: Literal["offline", "online"] = "offline"
    gamma: Annotated[float, Range(1.0, 4.0, least=1.0)] = 2.0
    a: Annotated[float, Range(0.0, 1.0, least=0.0, most=1.0)] = 0.3
    likelihood: Literal["softmax", "taylor"] = "softmax"

    def traits(self) -> Traits:
        return Traits(
            wants={"out_shadows", "population"}
            | ({"in_shadows"} if self.mode == "online" else set())
        )

    def score(self, view: View, rng: Rng) -> Array:
        from scipy.special import expit

        ratio = self._log_ratio(view)
        x, z = ratio[view.asked], np.sort(ratio[view.population])
        below = np.searchsorted(z, x - np.log(self.gamma), side="left")
        # expit: in (0, 1), increasing; breaks ties of the count
        return np.asarray((below + 0.999 * expit(x)) / len(z))

    def _log_ratio(self, view: View) -> Array:
        """log of ratio(x) at every record [S]."""
        if self.likelihood == "taylor":
            own, *others = (
                _taylor(logits, view.labels)
                for logits in (view.target["logits"], *view.shadows["logits"])
            )
            own, p = np.log(own), np.stack(others)
        else:
            own, p = log_truth(view.log_odds), np.exp(log_truth(view.shadow_log_odds))
        if self.mode == "online":
            reference = p.mean(0)
        else:
            count = view.out.sum(0)
            mean = np.where(count, (p * view.out).sum(0) / np.maximum(count, 1), p.mean())
            reference = ((1 + self.a) * mean + (1 - self.a)) / 2
        return np.asarray(own - np.log(np.maximum(reference, 1e-300)))


def _taylor(logits: Array, label: Array) -> Array:
    """The soft-margin Taylor softmax of the true class [S], of logits [S, C]."""
    z, rows = logits.astype(np.float64), np.arange(len(label))
    z[rows, label] -= MARGIN
    t = 1 + z + z**2 / 2 + z**3 / 6
    return np.asarray(np.clip(t[rows, label] / t.sum(-1), 1e-12, 1.0))
