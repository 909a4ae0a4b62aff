from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np

from raymia.attack.attack import Array, Traits
from raymia.attack.learned import Learned, perceptron
from raymia.point.schedule import Training
from raymia.point.space import Range
from raymia.signals.view import log_softmax

if TYPE_CHECKING:
    from raymia.training.network import Network


@dataclass(frozen=True)
class Salem(Learned):
    """A network that learns from known members of the target itself, by its three largest
    probabilities. No shadows.

    3-64-2, cross-entropy, Adam 0.01, weight decay 1e-7, batches of 100, 100 epochs. It knows a
    tenth of the target's members and non-members, and is not judged on them.

    Source: the attack of Salem et al., NDSS 2019, as Kaya, Hong & Dumitras, arXiv:2006.05336,
    use it. Neither says how large the network and the known set are; the network is that of Li,
    Li & Ribeiro, CODASPY 2021.

    Departures: one softmax (the last authors' code applies it twice); a network that has
    collapsed is trained again.
    """

    cite: ClassVar[str] = (
        "@inproceedings{salem2019mlleaks, title={ML-Leaks: Model and Data Independent Membership "
        "Inference Attacks and Defenses on Machine Learning Models}, author={Salem, Ahmed and "
        "Zhang, Yang and Humbert, Mathias and Berrang, Pascal and Fritz, Mario and Backes, "
        "Michael}, booktitle={NDSS}, year={2019}}"
    )
    revision: ClassVar[int] = 5
    labelled: ClassVar[bool] = False

    epochs: Annotated[int, Range(10, 200, least=1)] = 100
    counts: bool = True

    def traits(self) -> Traits:
        return Traits(informed=True, counts=self.counts)

    def inputs(self, said: dict[str, Array], label: Array) -> Array:
        return np.asarray(np.exp(np.sort(log_softmax(said["logits"]), -1)[..., :-4:-1]))

    def network(self, inputs: int) -> "Network":
        return perceptron(inputs, (64,))

    def training(self, pairs: int) -> Training:
        return Training(
            self.epochs, 100, optimizer="adam", lr=0.01, weight_decay=1e-7, milestones=()
        )
