from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from raymia.attack import Array, Attack, Rng
from raymia.signals import View

SHRINK = 8.0  # how many models' worth of weight the common variance has beside a record's own


@dataclass(frozen=True)
class Lira(Attack):
    """Likelihood ratio of the target's log-odds at a record, against Gaussians fitted to its shadows.

    phi = log p_y - log(1 - p_y). Offline: (phi - mu_out) / s_out, one-sided. Online: log N(phi; mu_in, s_in) -
    log N(phi; mu_out, s_out). mu is the median over shadows. `variance`: `fixed` (one for all records, each side its own),
    `per_example`, or `shrunken` (a record's own and the common one, weighted n : 8).

    Source: Carlini et al., Membership Inference Attacks From First Principles, S&P 2022, algorithm 1.

    Departures: offline is the paper's one-sided test; the reference code scores by the density, under which a very low phi
    also looks like a member. With `fixed` it takes the in-variance for both sides (a slip); here each side has its own.
    """

    wants: ClassVar[frozenset[str]] = frozenset({"out_shadows"})
    standard: ClassVar[bool] = True

    mode: Literal["offline", "online"] = "offline"
    variance: Literal["fixed", "per_example", "shrunken"] = "fixed"

    def score(self, view: View, rng: Rng) -> Array:
        phi, shadows = view.confidence[view.asked], view.shadow_confidence[:, view.asked]
        mu_out, s_out = self._side(shadows, view.out[:, view.asked])
        apart: Array = (phi - mu_out) / s_out
        if self.mode == "offline":
            return apart
        mu_in, s_in = self._side(shadows, view.member[:, view.asked])
        return -((phi - mu_in) ** 2) / (2 * s_in**2) - np.log(s_in) + apart**2 / 2 + np.log(s_out)

    def _side(self, phi: Array, on: Array) -> tuple[Array, Array]:
        """Median and standard deviation [A] over the shadows [K, A] of one side; a record without any takes the common ones."""
        values = np.where(on, phi, np.nan)
        count = on.sum(0)
        centre = np.full(phi.shape[1], np.median(phi[on]))
        centre[count > 0] = np.nanmedian(values[:, count > 0], axis=0)
        square = np.where(on, (phi - np.where(count, np.where(on, phi, 0).sum(0) / np.maximum(count, 1), 0)) ** 2, 0)
        free = np.maximum(count - 1, 0)
        common = square.sum() / max(free.sum(), 1)
        if not common:
            common = max(float(phi[on].var()), 1e-12)  # one shadow a record: the spread over records must do
        if self.variance == "fixed":
            variance = np.full(len(centre), common)
        elif self.variance == "per_example":
            variance = np.where(free > 0, square.sum(0) / np.maximum(free, 1), common)
        else:
            variance = (square.sum(0) + SHRINK * common) / (free + SHRINK)
        return centre, np.sqrt(np.maximum(variance, 1e-12))
