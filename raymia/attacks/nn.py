from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np

from raymia.attack.attack import Array
from raymia.attack.learned import Learned, perceptron
from raymia.point.schedule import Training
from raymia.point.space import Range
from raymia.signals.view import log_softmax

if TYPE_CHECKING:
    from raymia.training.network import Network


@dataclass(frozen=True)
class Nn(Learned):
    """A network that learns from the shadows to tell members from non-members by prediction and
    label.

    Input: softmax [C] and one-hot label [C]; 128-64-64 with dropout 0.2; two outputs;
    cross-entropy, batches of 256. Score: the log-odds of "member". `optimizer`: `adam` at
    0.003, a tenth from half, a hundredth from three quarters of the epochs; `sgd` with momentum
    0.9 and weight decay 5e-4 at 0.1, a tenth from 30%, a hundredth from 60%, a thousandth from
    90%; `sgd_cifar` at 0.01, a tenth from half, a hundredth from three quarters. The papers'
    form is `{optimizer: sgd, epochs: 100, pairs: 0}`, on CIFAR-10 and SVHN with `sgd_cifar`.

    Source: the shadow attack of Shokri et al., S&P 2017, in the form of SRCM and CRL's code.

    Departures: dropout is off when scoring (the released script leaves it on); a network that
    has collapsed is trained again; Adam and 50 epochs by default, since SGD needs more steps
    than a fixed number of pairs gives: docs/attacks.md has the measured AUCs.
    """

    cite: ClassVar[str] = (
        "@inproceedings{shokri2017membership, title={Membership Inference Attacks Against Machine "
        "Learning Models}, author={Shokri, Reza and Stronati, Marco and Song, Congzheng and "
        "Shmatikov, Vitaly}, booktitle={IEEE Symposium on Security and Privacy}, year={2017}}"
    )
    standard: ClassVar[bool] = True

    optimizer: Literal["adam", "sgd", "sgd_cifar"] = "adam"
    epochs: Annotated[int, Range(10, 200, least=1)] = 50

    def inputs(self, said: dict[str, Array], label: Array) -> Array:
        p = np.exp(log_softmax(said["logits"]))
        return np.concatenate([p, np.eye(p.shape[-1])[label]], -1)

    def network(self, inputs: int) -> "Network":
        return perceptron(inputs, (128, 64, 64), dropout=0.2, last_activation=False)

    def training(self) -> Training:
        late = ((0.5, 0.1), (0.75, 0.01))
        if self.optimizer == "adam":
            return Training(
                self.epochs, 256, optimizer="adam", lr=0.003, weight_decay=0.0, milestones=late
            )
        if self.optimizer == "sgd_cifar":
            return Training(self.epochs, 256, lr=0.01, weight_decay=5e-4, milestones=late)
        return Training(
            self.epochs,
            256,
            lr=0.1,
            weight_decay=5e-4,
            milestones=((0.3, 0.1), (0.6, 0.01), (0.9, 0.001)),
        )
