from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np

from raymia.attack.attack import Array
from raymia.attack.learned import Learned, falling, perceptron
from raymia.point.schedule import Training
from raymia.point.space import Range

if TYPE_CHECKING:
    from raymia.training.network import Network


@dataclass(frozen=True)
class NnSorted(Learned):
    """A network that learns from the shadows to tell members from non-members by the sorted
    logits, without the label.

    C-100-2, cross-entropy, Adam at 0.01, falling to 0 epoch by epoch, batches of 128, 30 epochs.
    Score: the log-odds of "member".

    Source: the `NN` attack of Chen, Yu & Fritz, RelaxLoss, ICLR 2022, and its code.

    Departures: two outputs and a softmax for their one and a sigmoid; their Adam takes 200 epochs
    of batches of 256 at 1e-3, for the same AUC (measured); their driver attacks with plain shadows,
    here that is `attacker: plain`; a network that has collapsed is trained again.
    """

    cite: ClassVar[str] = (
        "@inproceedings{chen2022relaxloss, title={RelaxLoss: Defending Membership Inference "
        "Attacks without Losing Utility}, author={Chen, Dingfan and Yu, Ning and Fritz, Mario}, "
        "booktitle={ICLR}, year={2022}}"
    )

    revision: ClassVar[int] = 5
    labelled: ClassVar[bool] = False
    beta2: ClassVar[float] = 0.99

    epochs: Annotated[int, Range(10, 400, least=1)] = 30

    def inputs(self, said: dict[str, Array], label: Array) -> Array:
        return np.sort(said["logits"], -1)[..., ::-1]

    def network(self, inputs: int) -> "Network":
        return perceptron(inputs, (100,))

    def training(self, pairs: int) -> Training:
        return falling(self.epochs, 128, 0.01)
