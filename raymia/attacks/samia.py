from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np

from raymia.attack.attack import Array, Traits
from raymia.attack.learned import Learned, attentive
from raymia.attack.pairs import Pairs
from raymia.point.schedule import Training
from raymia.point.space import Range
from raymia.signals.view import log_softmax

if TYPE_CHECKING:
    from raymia.training.network import Network


@dataclass(frozen=True)
class Samia(Learned):
    """A transformer that learns from the shadows; each class is a token: probability,
    sensitivity, whether it is the label.

    The sensitivity of a class is how much its probability changes with the input
    (`signals.queries`). Three layers of 64 numbers, 4 heads, 128 inside, dropout 0.2; then
    64-2. Score: the log-odds of "member".

    Source: Yuan & Zhang, USENIX Security 2022 (SAMIA), and its code.

    Departures: sensitivity in float64, since its steps are 1e-3; features scaled by the drawn
    pairs' mean and deviation for a batch normalisation; dropout between layers only; Adam 1e-3,
    `pairs` and `epochs` are ours; a network that has collapsed is trained again.
    """

    cite: ClassVar[str] = (
        "@inproceedings{yuan2022pruning, title={Membership Inference Attacks and Defenses in "
        "Neural Network Pruning}, author={Yuan, Xiaoyong and Zhang, Lan}, booktitle={USENIX "
        "Security Symposium}, year={2022}}"
    )
    revision: ClassVar[int] = 5
    scaled: ClassVar[bool] = True
    fused: ClassVar[bool] = False  # measured: two at once take longer than one after the other

    pairs: Pairs = 4_000
    epochs: Annotated[int, Range(5, 100, least=1)] = 10

    def traits(self) -> Traits:
        return replace(super().traits(), needs={"logits", "sensitivity"})

    def inputs(self, said: dict[str, Array], label: Array) -> Array:
        p = np.exp(log_softmax(said["logits"]))
        return np.stack([p, said["sensitivity"], np.eye(p.shape[-1])[label]], -1).reshape(
            len(p), -1
        )

    def network(self, inputs: int) -> "Network":
        return attentive(inputs // 3, 3, width=64, layers=3, heads=4, inside=128, dropout=0.2)

    def training(self, pairs: int) -> Training:
        return Training(
            self.epochs, 128, optimizer="adam", lr=1e-3, weight_decay=0.0, milestones=((0.7, 0.1),)
        )
