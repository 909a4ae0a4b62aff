from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from raymia.attack.attack import Array, Attack, Rng, Traits
from raymia.signals.view import View, log_truth

MOST = 1000.0  # the loss that none exceeds


@dataclass(frozen=True)
class Reference(Attack):
    """Attack R: the share of the shadows without the record that have a larger loss on it than
    the target.

    Linear between their losses, of which 0 is taken for the smallest and 1000 for the largest.

    Source: Ye et al., Enhanced Membership Inference Attacks, CCS 2022, attack R, and its code
    (ends of the interpolation).
    """

    cite: ClassVar[str] = (
        "@inproceedings{ye2022enhanced, title={Enhanced Membership Inference Attacks against "
        "Machine Learning Models}, author={Ye, Jiayuan and Maddi, Aadyaa and Murakonda, Sasi Kumar "
        "and Bindschaedler, Vincent and Shokri, Reza}, booktitle={ACM CCS}, year={2022}}"
    )

    def traits(self) -> Traits:
        return Traits(wants={"out_shadows"})

    def score(self, view: View, rng: Rng) -> Array:
        loss = np.minimum(-log_truth(view.log_odds[view.asked]), MOST)
        out = view.out[:, view.asked]
        others = np.where(
            out, np.minimum(-log_truth(view.shadow_log_odds[:, view.asked]), MOST), np.inf
        )
        ends = np.stack([np.zeros_like(loss), np.full_like(loss, MOST)])
        steps = np.sort(np.concatenate([others, ends]), 0)
        n = out.sum(0) + 1  # intervals
        below = np.minimum((steps[1:] < loss).sum(0), n - 1)
        at = np.arange(len(loss))
        low, high = steps[below, at], steps[below + 1, at]
        share = np.where(high > low, (loss - low) / np.where(high > low, high - low, 1.0), 0.5)
        return np.asarray(1 - (below + share) / n)
