from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from raymia.attack.attack import Array, Attack, Rng, Traits
from raymia.signals.view import View, log_softmax


@dataclass(frozen=True)
class InstanceVector(Attack):
    """Whether the target's prediction is nearer to that of the shadows with the record than to
    that of those without.

    Score: KL(P_out || p) - KL(P_in || p), where P_in and P_out are the mean probabilities over
    the shadows that did, and did not, train on the record. A record without one of the two
    cannot tell (score 0).

    Source: Long et al., arXiv:1802.04889, as `instance vector` of Li, Li & Ribeiro, CODASPY
    2021, and its code (order of the arguments).
    """

    cite: ClassVar[str] = (
        "@article{long2018, title={Understanding Membership Inferences on Well-Generalized "
        "Learning Models}, author={Long, Yunhui and Bindschaedler, Vincent and Wang, Lei and Bu, "
        "Diyue and Wang, Xiaofeng and Tang, Haixu and Gunter, Carl A. and Chen, Kai}, "
        "journal={arXiv:1802.04889}, year={2018}}"
    )

    def traits(self) -> Traits:
        return Traits(wants={"in_shadows", "out_shadows"})

    def score(self, view: View, rng: Rng) -> Array:
        log_p = view.log_p[view.asked]
        inside, outside = view.member[:, view.asked], view.out[:, view.asked]
        mean = np.zeros((2, *log_p.shape))
        for k in range(len(inside)):
            p = np.exp(log_softmax(view.shadows.at("logits", k, view.asked)))
            mean[0, inside[k]] += p[inside[k]]
            mean[1, outside[k]] += p[outside[k]]
        counts = np.stack([inside.sum(0), outside.sum(0)])
        mean /= np.maximum(counts, 1)[..., None]
        toward, away = ((m * (np.log(np.maximum(m, 1e-300)) - log_p)).sum(-1) for m in mean)
        return np.where(counts.all(0), away - toward, 0.0)

    def cut(self, view: View) -> float:
        return 0.0
