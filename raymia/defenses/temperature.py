from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from raymia.point.space import Range
from raymia.training.defense import Defense, Owned, Release

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Temperature(Defense):
    """Releases softmax(z / T) in place of softmax(z). The order of the classes, so the label,
    is unchanged.

    Source: Shokri et al., S&P 2017, section VIII ("increase entropy of the prediction vector").

    Neutral: t 1.
    """

    neutral: ClassVar[Mapping[str, object] | None] = {"t": 1.0}
    cite: ClassVar[str] = (
        "@inproceedings{shokri2017membership, title={Membership Inference Attacks Against Machine "
        "Learning Models}, author={Shokri, Reza and Stronati, Marco and Song, Congzheng and "
        "Shmatikov, Vitaly}, booktitle={IEEE S\\&P}, year={2017}}"
    )

    t: Annotated[float, Range(1.0, 100.0, log=True, least=0.01, most=1000.0)] = 10.0

    def release(self, owned: Owned) -> Release:
        return lambda logits: logits / self.t

    def in_graph(self, logits: "Tensor") -> "Tensor":
        return logits / self.t
