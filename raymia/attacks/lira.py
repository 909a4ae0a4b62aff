from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np

from raymia.attack.attack import Array, Attack, Rng, Traits
from raymia.attack.calibration import Moments, Side, student
from raymia.point.space import Range
from raymia.signals.view import View

SHRINK = 8.0  # how many models' worth of weight the common variance has beside a record's own


@dataclass(frozen=True)
class Lira(Attack):
    """Likelihood ratio of the target's log-odds at a record, against Gaussians fitted to its
    shadows.

    phi = log p_y - log(1 - p_y). Offline: (phi - mu_out) / s_out, one-sided. Online: log N(phi;
    mu_in, s_in) - log N(phi; mu_out, s_out). mu is the median over shadows, or their mean
    (`centre`), which with `shrunken` is the stronger online. `variance`: `fixed`
    (one for all records, each side its own), `per_example`, `shrunken` (a record's own and the
    common one, weighted n : 8), or `bayes` (both mean and variance shrunken as far as the shadows
    say; Student in place of normal distributions). `views`: over how many copies of an image the
    score is averaged (2: itself and its mirror image; up to 18: shifted by one pixel, too).

    Source: Carlini et al., Membership Inference Attacks From First Principles, S&P 2022,
    algorithm 1; `bayes`: BaVarIA, Brannvall 2026, arXiv:2603.11799.

    Departures: offline is the paper's one-sided test; the reference code scores by the density,
    under which a very low phi also looks like a member. `fixed` is the variance over shadows
    around each record's own mean, pooled over the records; the code takes that of all values at
    once, which holds the records' different means too, and that of the in-side for both sides
    (a slip).
    """

    cite: ClassVar[str] = (
        "@inproceedings{carlini2022lira, title={Membership Inference Attacks From First "
        "Principles}, author={Carlini, Nicholas and Chien, Steve and Nasr, Milad and Song, Shuang "
        "and Terzis, Andreas and Tram{\\`e}r, Florian}, booktitle={IEEE Symposium on Security and "
        "Privacy}, year={2022}}"
    )
    standard: ClassVar[bool] = True
    # with few shadows the online form can lose: all stand in the maximum
    beside: ClassVar[tuple[Mapping[str, object], ...]] = (
        {"variance": "bayes"},
        {"mode": "online", "variance": "bayes"},
        {"mode": "online", "variance": "shrunken", "centre": "mean"},
    )

    mode: Literal["offline", "online"] = "offline"
    variance: Literal["fixed", "per_example", "shrunken", "bayes"] = "fixed"
    centre: Literal["median", "mean"] = "median"
    views: Annotated[int, Range(1, 18, least=1, most=18)] = 1

    def traits(self) -> Traits:
        copies = self.views > 1
        wants = (
            {"out_shadows"}
            | ({"in_shadows"} if self.mode == "online" else set())
            | ({"images"} if copies else set())
        )
        return Traits(needs={"logits"} | ({"view_log_odds"} if copies else set()), wants=wants)

    def score(self, view: View, rng: Rng) -> Array:
        if self.views == 1:
            return self._ratio(view, view.log_odds[view.asked], view.shadow_log_odds[:, view.asked])
        own, others = (
            view.target["view_log_odds"][view.asked],
            view.shadows.at("view_log_odds", np.arange(len(view.member))[:, None], view.asked),
        )
        each = [
            self._ratio(view, own[:, v].astype(float), others[:, :, v].astype(float))
            for v in range(self.views)
        ]
        return np.asarray(np.mean(each, 0))

    def _ratio(self, view: View, phi: Array, shadows: Array) -> Array:
        """Scores [A] from the log-odds of the target [A] and the shadows [K, A]."""
        out = self._side(shadows, view.out[:, view.asked])
        if self.mode == "offline":
            return np.asarray((phi - out.centre) / out.scale)
        inside = self._side(shadows, view.member[:, view.asked])
        return inside.log_density(phi) - out.log_density(phi)

    def _side(self, phi: Array, on: Array) -> Side:
        """From the shadows' log-odds [K, A] of one side; a record without any takes what is
        common.
        """
        if self.variance == "bayes":
            return student(phi, on)
        seen = Moments.of(phi, on)
        centre = (
            _median(phi, on, seen.n)
            if self.centre == "median"
            else np.where(seen.n, seen.mean, phi[on].mean())
        )
        common, free = seen.common(phi, on), seen.free
        if self.variance == "fixed":
            variance = np.full(len(centre), common)
        elif self.variance == "per_example":
            variance = np.where(free > 0, seen.square / np.maximum(free, 1), common)
        else:
            variance = (seen.square + SHRINK * common) / (free + SHRINK)
        return Side(centre, np.sqrt(np.maximum(variance, 1e-12)))


def _median(phi: Array, on: Array, count: Array) -> Array:
    """The median [A] of phi [K, A] where `on`; where it is nowhere on, that of all."""
    ordered = np.sort(np.where(on, phi, np.inf), 0)
    at, last = np.arange(phi.shape[1]), np.maximum(count, 1)
    middle = (ordered[(last - 1) // 2, at] + ordered[last // 2, at]) / 2
    return np.asarray(np.where(count, middle, np.median(phi[on])))
