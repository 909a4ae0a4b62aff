from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from raymia.lazy import modules, torch
from raymia.lazy import network as networks
from raymia.point.space import Range
from raymia.training.defense import Defense, Traits

if TYPE_CHECKING:
    from raymia.training.network import Network


@dataclass(frozen=True)
class Dropout(Defense):
    """Single activations are dropped with probability p in training, and the rest scaled by 1 /
    (1 - p).

    `where: head` is one dropout before the last linear layer, as in RelaxLoss; `where: convs`
    is one after every convolution (before what follows it), as in Kaya.

    Source: Srivastava et al., JMLR 2014; as a defense in Kaya, Hong & Dumitras 2020, section 3,
    and in RelaxLoss (p 0.5).

    Neutral: p 0.

    Departures: Kaya leaves the order of dropout and activation open: dropout comes first; of
    ReLU both orders are the same.
    """

    neutral: ClassVar[Mapping[str, object] | None] = {"p": 0.0}
    cite: ClassVar[str] = (
        "@article{srivastava2014dropout, title={Dropout: A Simple Way to Prevent Neural Networks "
        "from Overfitting}, author={Srivastava, Nitish and Hinton, Geoffrey and Krizhevsky, Alex "
        "and Sutskever, Ilya and Salakhutdinov, Ruslan}, journal={JMLR}, year={2014}}"
    )

    p: Annotated[float, Range(0.05, 0.9, least=0.0, most=0.99)] = 0.5
    where: Literal["head", "convs"] = "head"

    def traits(self) -> Traits:
        return Traits(wants={"convolutions"} if self.where == "convs" else set())

    def network(self, network: Network) -> Network:
        if not self.p:
            return network
        if self.where == "convs":
            return networks.after_convolutions(network, lambda: modules.Dropout(self.p))
        return network.with_head(lambda head: torch.nn.Sequential(modules.Dropout(self.p), head))
