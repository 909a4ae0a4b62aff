from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np

from raymia.attack.attack import Array, Traits
from raymia.attack.learned import Learned, two_branches
from raymia.point.schedule import Training
from raymia.point.space import Range
from raymia.signals.view import log_softmax

if TYPE_CHECKING:
    from raymia.training.network import Network


@dataclass(frozen=True)
class NnFused(Learned):
    """A large network that learns from known members of the target itself, by prediction and
    label in two branches.

    Prediction: 1024-512-64; label: 128-64; both: 512-256-128-64; squared error; Adam 1e-3,
    batches of 64, 40 epochs. It knows a tenth of the target's members and non-members, and is
    not judged on them.

    Source: Nasr, Shokri & Houmansadr, CCS 2018, in the form of SELENA's code.

    Departures: two outputs and a softmax for their one and a sigmoid; torch's initial weights
    for their N(0, 0.01), and 1e-3 and 40 epochs for their 1e-4 and 150 to 200: with theirs the
    network never left a constant on a few hundred known records (measured); one that has
    collapsed is trained again.
    """

    cite: ClassVar[str] = (
        "@inproceedings{nasr2018machine, title={Machine Learning with Membership Privacy using "
        "Adversarial Regularization}, author={Nasr, Milad and Shokri, Reza and Houmansadr, Amir}, "
        "booktitle={ACM CCS}, year={2018}}"
    )
    revision: ClassVar[int] = 5
    squared: ClassVar[bool] = True
    fused: ClassVar[bool] = False  # measured: two at once take twice as long as one after the other

    epochs: Annotated[int, Range(10, 200, least=1)] = 40
    counts: bool = True

    def traits(self) -> Traits:
        return Traits(informed=True, counts=self.counts)

    def inputs(self, said: dict[str, Array], label: Array) -> Array:
        p = np.exp(log_softmax(said["logits"]))
        return np.concatenate([p, np.eye(p.shape[-1])[label]], -1)

    def network(self, inputs: int) -> "Network":
        return two_branches(inputs // 2, (1024, 512, 64), (128, 64), (512, 256, 128, 64))

    def training(self, pairs: int) -> Training:
        return Training(self.epochs, 64, optimizer="adam", lr=1e-3, weight_decay=0.0, milestones=())
