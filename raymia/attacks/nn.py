from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np

from raymia.attack import Array
from raymia.attacker import Learned, perceptron
from raymia.schedule import Training
from raymia.signals import log_softmax
from raymia.space import Range

if TYPE_CHECKING:
    from raymia.modules import Network


@dataclass(frozen=True)
class Nn(Learned):
    """A network that learns from the shadows to tell members from non-members by prediction and label.

    Input: softmax [C] and one-hot label [C]; 128-64-64 with dropout 0.2; two outputs; cross-entropy, SGD momentum 0.9, weight
    decay 5e-4, batches of 256, at 0.01, a tenth from half, a hundredth from three quarters of the epochs. Score: the log-odds
    of "member". `{epochs: 100, pairs: 0}` is the papers' form.

    Source: the shadow attack of Shokri et al., S&P 2017, in the form of SRCM and CRL's code.

    Departures: dropout is off when scoring (the released script leaves it on); a network that has collapsed is trained again;
    50 epochs by default (on the undefended quickstart 30 to 100 epochs all give an AUC of 0.51 to 0.52).
    """

    cite: ClassVar[str] = (
        "@inproceedings{shokri2017membership, title={Membership Inference Attacks Against Machine Learning Models}, "
        "author={Shokri, Reza and Stronati, Marco and Song, Congzheng and Shmatikov, Vitaly}, booktitle={IEEE "
        "Symposium on Security and Privacy}, year={2017}}"
    )
    standard: ClassVar[bool] = True

    epochs: Annotated[int, Range(10, 200, least=1)] = 50

    def inputs(self, said: dict[str, Array], label: Array) -> Array:
        p = np.exp(log_softmax(said["logits"]))
        return np.concatenate([p, np.eye(p.shape[-1])[label]], -1)

    def network(self, inputs: int) -> "Network":
        return perceptron(inputs, (128, 64, 64), dropout=0.2, last_activation=False)

    def training(self) -> Training:
        return Training(self.epochs, 256, lr=0.01, weight_decay=5e-4, milestones=((0.5, 0.1), (0.75, 0.01)))
