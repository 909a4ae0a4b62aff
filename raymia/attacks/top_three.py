from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from raymia.attack.attack import Array, Metric, Rng, Traits
from raymia.attack.calibration import logistic, odds
from raymia.attack.pairs import Pairs, draw_pairs
from raymia.signals.view import View, log_softmax


@dataclass(frozen=True)
class TopThree(Metric):
    """Log-odds of "member" by a logistic regression on the three largest probabilities, fitted
    on the shadows.

    Fitted on at most `pairs` (record, shadow) pairs (0: all).

    Source: Salem et al., ML-Leaks, NDSS 2019, adversary 1; `Top Three` in Li, Li & Ribeiro,
    CODASPY 2021.

    Departures: the shadows are the other attacks' own (the paper's differ from the target in
    data and architecture).
    """

    cite: ClassVar[str] = (
        "@inproceedings{salem2019mlleaks, title={ML-Leaks: Model and Data Independent Membership "
        "Inference Attacks and Defenses on Machine Learning Models}, author={Salem, Ahmed and "
        "Zhang, Yang and Humbert, Mathias and Berrang, Pascal and Fritz, Mario and Backes, "
        "Michael}, booktitle={NDSS}, year={2019}}"
    )

    revision: ClassVar[int] = 3

    pairs: Pairs = 20_000

    def traits(self) -> Traits:
        return Traits(wants={"out_shadows"})

    def fitted(self, view: View, rng: Rng) -> Callable[[Array, Array], Array]:
        shadow, record = draw_pairs(view, self.pairs, rng)
        weights = logistic(
            _largest(log_softmax(view.shadows.at("logits", shadow, record))),
            view.member[shadow, record],
        )
        return lambda log_p, label: odds(_largest(log_p), weights)


def _largest(log_p: Array) -> Array:
    """The three largest probabilities [A, 3] (all of them where there are fewer classes)."""
    return np.asarray(np.exp(np.sort(log_p, -1)[..., :-4:-1]))
