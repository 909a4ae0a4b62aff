from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from raymia.attack.attack import Array, Attack, Rng, Traits
from raymia.signals.view import View, log_softmax
from raymia.verdict import metrics


@dataclass(frozen=True)
class SelenaAdaptive(Attack):
    """How near the target's output is to what sub-models of the attacker's own say, none of which
    has seen the record.

    A student of SELENA learns for a member the mean of the sub-models that left it out. The
    attacker has such sub-models too: those of its shadows. Their mean vector a, over all shadows,
    is compared with the target's probabilities q: -sum_c a_c log q_c (`cross_entropy`) or
    sum_c (a_c - q_c)^2 (`square`). Whether nearer or farther says member is learned on the
    shadows, each in the target's place with the others' vectors; where none is left, nearer does.

    Source: the adaptive attack of Tang et al., USENIX Security 2022 (SELENA), section 5 and
    attack/adaptive_attack.py of its code.

    Departures: they train one Split-AI on half of the target's members; here each shadow has one
    on its own half of the records, which is drawn without regard to the target's. They give a
    threshold in either direction; here the shadows say which. Of their two networks the first is
    `nn_fused`; the second, which also reads the vector, is not there.
    """

    cite: ClassVar[str] = (
        "@inproceedings{tang2022selena, title={Mitigating Membership Inference Attacks by "
        "Self-Distillation Through a Novel Ensemble Architecture}, author={Tang, Xinyu and "
        "Mahloujifar, Saeed and Song, Liwei and Shejwalkar, Virat and Nasr, Milad and Houmansadr, "
        "Amir and Mittal, Prateek}, booktitle={USENIX Security}, year={2022}}"
    )

    distance: Literal["cross_entropy", "square"] = "cross_entropy"

    def traits(self) -> Traits:
        return Traits(needs={"logits", "split_ai"}, wants={"out_shadows", "split_ai"})

    def score(self, view: View, rng: Rng) -> Array:
        said = view.shadows["split_ai"]
        total, others, nearer = said.sum(0, dtype=np.float64), max(len(said) - 1, 1), 0.0
        for k, on in enumerate(view.fit):
            member = view.member[k, on]
            if len(said) > 1 and member.any() and not member.all():
                apart = (total - said[k])[on] / others
                log_q = log_softmax(view.shadows.at("logits", k, on))
                nearer += metrics.auc(self._nearness(apart, log_q), member) - 0.5
        own = self._nearness(total[view.asked] / len(said), view.log_p[view.asked])
        return own if nearer >= 0 else -own

    def _nearness(self, apart: Array, log_q: Array) -> Array:
        """Minus the distance [A] of probabilities [A, C] from others, given as logarithms."""
        if self.distance == "cross_entropy":
            return np.asarray((apart * log_q).sum(-1))
        return np.asarray(-np.square(apart - np.exp(log_q)).sum(-1))
