from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from raymia.attack.attack import Array, Attack, Rng, Traits
from raymia.attack.calibration import logistic, odds
from raymia.attack.learned import Pairs, draw_pairs
from raymia.signals.view import View, log_softmax


@dataclass(frozen=True)
class ClassVector(Attack):
    """Log-odds of "member" by one logistic regression for each class, on the whole vector of
    probabilities, fitted on the shadows.

    Fitted on at most `pairs` (record, shadow) pairs (0: all); a class without members or
    non-members among them cannot tell (score 0). The log-odds of all classes are ranked together:
    a class of which more is told reaches further to both ends.

    Source: Shokri et al., S&P 2017, in the form of `class vector` of Li, Li & Ribeiro, CODASPY
    2021 (logistic regression).

    Departures: AUC over all records; the authors report the unweighted mean of the classes'
    accuracies.
    """

    cite: ClassVar[str] = (
        "@inproceedings{li2021mmd, title={Membership Inference Attacks and Defenses in "
        "Classification Models}, author={Li, Jiacheng and Li, Ninghui and Ribeiro, Bruno}, "
        "booktitle={CODASPY}, year={2021}}"
    )
    revision: ClassVar[int] = 3

    pairs: Pairs = 20_000

    def traits(self) -> Traits:
        return Traits(wants={"out_shadows"})

    def score(self, view: View, rng: Rng) -> Array:
        shadow, record = draw_pairs(view, self.pairs, rng)
        member, label = view.member[shadow, record], view.labels[record]
        x = np.exp(log_softmax(view.shadows["logits"][shadow, record]))
        own, own_label = np.exp(view.log_p[view.asked]), view.labels[view.asked]
        scores = np.zeros(len(own))
        for c in np.unique(own_label):
            here, there = label == c, own_label == c
            if member[here].any() and not member[here].all():
                scores[there] = odds(own[there], logistic(x[here], member[here]))
        return scores
