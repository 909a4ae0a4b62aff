from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np

from raymia.attack.attack import Array
from raymia.attack.learned import Learned, falling, perceptron
from raymia.point.schedule import Training
from raymia.point.space import Range
from raymia.signals.view import log_softmax

if TYPE_CHECKING:
    from raymia.training.network import Network

FEW = 6_000  # pairs, up to which whole records in a batch are worth more than many steps


@dataclass(frozen=True)
class Nn(Learned):
    """A network that learns from the shadows to tell members from non-members by prediction and
    label.

    Input: softmax [C] and one-hot label [C]; 128-64-64; two outputs; cross-entropy. Score: the
    log-odds of "member". `optimizer`: `adam`, falling to 0 epoch by epoch, no dropout; up to 6,000
    pairs at 0.0035, 9 epochs of batches of 192 that cut no record but at their ends, beyond at
    0.003, batches of 128, 16 epochs, unless `epochs` says otherwise. The others, of 50 epochs,
    have batches of 256, dropout 0.2, momentum 0.9 and weight decay 5e-4: `sgd` at 0.1, a tenth from
    30%, a hundredth from 60%, a thousandth from 90%; `sgd_cifar` at 0.01, a tenth from half, a
    hundredth from three quarters of the epochs. The papers' form is `{optimizer: sgd, epochs:
    100, pairs: 0}`, on CIFAR-10 and SVHN with `sgd_cifar`.

    Source: the shadow attack of Shokri et al., S&P 2017, in the form of SRCM and CRL's code.

    Departures: dropout is off when scoring (the released script leaves it on); a network that
    has collapsed is trained again; Adam without dropout by default, since SGD needs more steps
    than a fixed number of pairs gives; few pairs are drawn as couples of a member and a non-member
    and stand in the batches by record: docs/attacks.md has the measured AUCs.
    """

    cite: ClassVar[str] = (
        "@inproceedings{shokri2017membership, title={Membership Inference Attacks Against Machine "
        "Learning Models}, author={Shokri, Reza and Stronati, Marco and Song, Congzheng and "
        "Shmatikov, Vitaly}, booktitle={IEEE Symposium on Security and Privacy}, year={2017}}"
    )
    revision: ClassVar[int] = 7
    standard: ClassVar[bool] = True
    beta2: ClassVar[float] = 0.99

    optimizer: Literal["adam", "sgd", "sgd_cifar"] = "adam"
    epochs: Annotated[int | None, Range(5, 200, least=1)] = None

    def inputs(self, said: dict[str, Array], label: Array) -> Array:
        p = np.exp(log_softmax(said["logits"]))
        return np.concatenate([p, np.eye(p.shape[-1])[label]], -1)

    def by_record(self, pairs: int) -> bool:
        return self.optimizer == "adam" and pairs <= FEW

    def network(self, inputs: int) -> "Network":
        # shadows know the target's records: to learn single ones by heart is power
        dropout = 0.0 if self.optimizer == "adam" else 0.2
        return perceptron(inputs, (128, 64, 64), dropout, last_activation=False)

    def training(self, pairs: int) -> Training:
        if self.optimizer == "adam":
            few = self.by_record(pairs)
            epochs, batch, lr = (9, 192, 0.0035) if few else (16, 128, 0.003)
            return falling(self.epochs or epochs, batch, lr)
        sharp = ((0.3, 0.1), (0.6, 0.01), (0.9, 0.001))
        late = ((0.5, 0.1), (0.75, 0.01))
        lr, steps = (0.1, sharp) if self.optimizer == "sgd" else (0.01, late)
        return Training(self.epochs or 50, 256, lr=lr, weight_decay=5e-4, milestones=steps)
