from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from raymia.point.space import Range
from raymia.training.defense import Batch, Clock, Defense, Rng, Traits


@dataclass(frozen=True)
class LabelSmoothing(Defense):
    """Targets move towards the uniform distribution: (1 - epsilon) t + epsilon / C.

    The loss is (1 - epsilon) CE + epsilon mean_c(-log p_c). Raises attacks on outputs more
    often than it lowers them.

    Source: Szegedy et al., CVPR 2016; as a defense in Kaya, Hong & Dumitras 2020 (alpha there,
    up to 0.99), RelaxLoss and SRCM.

    Neutral: epsilon 0.
    """

    neutral: ClassVar[Mapping[str, object] | None] = {"epsilon": 0.0}
    cite: ClassVar[str] = (
        "@inproceedings{szegedy2016rethinking, title={Rethinking the Inception Architecture for "
        "Computer Vision}, author={Szegedy, Christian and Vanhoucke, Vincent and Ioffe, Sergey and "
        "Shlens, Jon and Wojna, Zbigniew}, booktitle={CVPR}, year={2016}}"
    )

    epsilon: Annotated[float, Range(0.01, 0.99, log=True, least=0.0, most=1.0)] = 0.1

    def traits(self) -> Traits:
        return Traits(mixes_targets=True)

    def batch(self, batch: Batch, rngs: Sequence[Rng], clock: Clock) -> Batch:
        return batch._replace(
            target=(1 - self.epsilon) * batch.target + self.epsilon / batch.target.shape[-1]
        )
