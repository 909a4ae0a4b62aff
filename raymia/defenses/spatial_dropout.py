from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from raymia.lazy import modules
from raymia.lazy import network as networks
from raymia.point.space import Range
from raymia.training.defense import Defense, Traits

if TYPE_CHECKING:
    from raymia.training.network import Network


@dataclass(frozen=True)
class SpatialDropout(Defense):
    """Whole channels are dropped with probability q after every convolution in training, the
    rest scaled by 1 / (1 - q).

    Source: Tompson et al., CVPR 2015; as a defense in Kaya, Hong & Dumitras 2020, section 3.

    Neutral: q 0.

    Departures: Kaya leaves the order of dropout and activation open: dropout comes first; of
    ReLU both orders are the same.
    """

    neutral: ClassVar[Mapping[str, object] | None] = {"q": 0.0}
    cite: ClassVar[str] = (
        "@inproceedings{tompson2015spatial, title={Efficient Object Localization Using "
        "Convolutional Networks}, author={Tompson, Jonathan and Goroshin, Ross and Jain, Arjun and "
        "LeCun, Yann and Bregler, Christoph}, booktitle={CVPR}, year={2015}}"
    )

    q: Annotated[float, Range(0.05, 0.95, least=0.0, most=0.99)] = 0.25

    def traits(self) -> Traits:
        return Traits(wants={"convolutions"})

    def network(self, network: Network) -> Network:
        return (
            networks.after_convolutions(
                network, lambda: modules.Dropout(self.q, True, "spatial_dropout")
            )
            if self.q
            else network
        )
