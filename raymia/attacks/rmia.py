from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np

from raymia.attack.attack import Array, Attack, Rng, Traits
from raymia.point.space import Range
from raymia.signals.view import View, log_truth

MARGIN = 0.6
GRID = tuple(round(0.1 * i, 1) for i in range(11))  # of `a`
STAND_INS, UNTUNED = 4, 0.3


@dataclass(frozen=True)
class Rmia(Attack):
    """The share of the population that the record outranks by gamma in likelihood ratio, target
    against shadows.

    ratio(x) = p_target(x) / p(x), p the probability of the true class; offline p(x) = ((1 + a)
    mean_out(x) + (1 - a)) / 2, online p(x) = mean over all shadows, without `a`, of each side
    less a share `trim`. `a` left out is the one of 0, 0.1, ... 1 at which shadows that stand in
    for the target are told best (0.3 where none can); never the target itself. Score: the
    fraction of population records z with ratio(x) / ratio(z) > gamma. The score grows with
    ratio(x): neither `gamma` nor the population changes the order of the records, nor the AUC.

    `likelihood`: `softmax`, or `taylor`, the authors' default for images: t(u) = 1 + u + u^2/2
    + u^3/6 in place of exp(u), and a margin of 0.6 taken from the true class's logit; between
    1e-12 and 1, since t is negative below -1.6.

    Source: Zarifzadeh, Liu & Shokri, Low-Cost High-Power Membership Inference, ICML 2024, and
    its code.

    Departures: p is the softmax by default; the logits are not divided by a temperature
    (theirs: 2 and 1); between two equal counts the larger ratio ranks higher, by a share of
    less than one population record, so that few population records do not tie everything. `trim`
    is 0 unless asked for; the code has 0.2, and so has the online form that `standard` holds.
    """

    cite: ClassVar[str] = (
        "@inproceedings{zarifzadeh2024rmia, title={Low-Cost High-Power Membership Inference "
        "Attacks}, author={Zarifzadeh, Sajjad and Liu, Philippe and Shokri, Reza}, "
        "booktitle={ICML}, year={2024}}"
    )
    revision: ClassVar[int] = 2
    standard: ClassVar[bool] = True
    beside: ClassVar[tuple[Mapping[str, object], ...]] = ({"mode": "online", "trim": 0.2},)

    mode: Literal["offline", "online"] = "offline"
    gamma: Annotated[float, Range(1.0, 4.0, least=1.0)] = 2.0
    a: Annotated[float | None, Range(0.0, 1.0, least=0.0, most=1.0)] = None
    trim: Annotated[float, Range(0.0, 0.4, least=0.0, most=0.49)] = 0.0
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
        own, p = self._likelihoods(view)
        if self.mode == "online":
            return _ratio(own, _trimmed(p, self.trim))
        a = self._tuned(view) if self.a is None else self.a
        return _ratio(own, _outside(_mean_out(view, p), a))

    def _likelihoods(self, view: View) -> tuple[Array, Array]:
        """log p of the target [S], and p of the shadows [K, S]."""
        if self.likelihood == "taylor":
            own, *others = (
                _taylor(logits, view.labels)
                for logits in (view.target["logits"], *view.shadows["logits"])
            )
            return np.log(own), np.stack(others)
        return log_truth(view.log_odds), np.exp(log_truth(view.shadow_log_odds))

    def _tuned(self, view: View) -> float:
        """The `a` at which shadows in the target's place are told best, the mean over some."""
        totals = np.zeros(len(GRID))
        for k in range(min(STAND_INS, len(view.member))):
            stand_in, known = view.as_target(k)
            if not stand_in.out.any() or known.all() or not known.any():
                continue
            own, p = self._likelihoods(stand_in)
            mean = _mean_out(stand_in, p)
            for i, a in enumerate(GRID):
                ratio = _ratio(own, _outside(mean, a))[stand_in.asked]
                totals[i] += ratio.argsort().argsort()[known].mean()  # grows with the AUC
        return GRID[int(totals.argmax())] if totals.any() else UNTUNED


def _mean_out(view: View, p: Array) -> Array:
    """The mean over the shadows without the record [S]; over all where each has it."""
    count = view.out.sum(0)
    mean: Array = np.where(count, (p * view.out).sum(0) / np.maximum(count, 1), p.mean())
    return mean


def _outside(mean: Array, a: float) -> Array:
    return ((1 + a) * mean + (1 - a)) / 2


def _ratio(own: Array, reference: Array) -> Array:
    return np.asarray(own - np.log(np.maximum(reference, 1e-300)))


def _trimmed(p: Array, share: float) -> Array:
    """The mean over shadows [K, S], less a share of them at either end."""
    cut = int(share * len(p))
    return np.asarray(np.sort(p, 0)[cut : len(p) - cut].mean(0))


def _taylor(logits: Array, label: Array) -> Array:
    """The soft-margin Taylor softmax of the true class [S], of logits [S, C]."""
    z, rows = logits.astype(np.float64), np.arange(len(label))
    z[rows, label] -= MARGIN
    t = 1 + z + z**2 / 2 + z**3 / 6
    return np.asarray(np.clip(t[rows, label] / t.sum(-1), 1e-12, 1.0))
