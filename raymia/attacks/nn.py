from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from raymia.attack import Array
from raymia.attacker import Learned, perceptron
from raymia.schedule import Training

if TYPE_CHECKING:
    from raymia.modules import Network


@dataclass(frozen=True)
class Nn(Learned):
    """A network that learns from the shadows to tell members from non-members by prediction and label.

    Input: softmax [C] and one-hot label [C]; 128-64-64 with dropout 0.2; two outputs; cross-entropy, SGD momentum 0.9, weight
    decay 5e-4, batches of 256, 100 epochs at 0.01, a tenth from half, a hundredth from three quarters. Score: the probability
    of "member". `pairs: 0` trains on all pairs, as the papers do.

    Source: the shadow attack of Shokri et al., S&P 2017, in the form of SRCM and CRL's code.

    Departures: dropout is off when scoring (the released script leaves it on).
    """

    standard: ClassVar[bool] = True

    epochs: int = 100

    def __post_init__(self) -> None:
        if self.pairs < 0 or self.epochs < 1:
            raise ValueError(f"pairs 0 or more and epochs 1 or more are allowed, got {self.pairs} and {self.epochs}")

    def inputs(self, log_p: Array, label: Array) -> Array:
        return np.concatenate([np.exp(log_p), np.eye(log_p.shape[-1])[label]], -1)

    def network(self, inputs: int) -> "Network":
        return perceptron(inputs, (128, 64, 64), dropout=0.2, last_activation=False)

    def training(self) -> Training:
        return Training(self.epochs, 256, lr=0.01, weight_decay=5e-4, milestones=((0.5, 0.1), (0.75, 0.01)))
