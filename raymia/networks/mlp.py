from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from raymia.lazy import network, torch
from raymia.point.space import Range
from raymia.training.architecture import Architecture

if TYPE_CHECKING:
    from raymia.training.network import Network


@dataclass(frozen=True)
class Mlp(Architecture):
    """A multilayer perceptron on the flattened input: `depth` hidden layers, the first of
    `width`, halved from layer to layer.

    Source: width 1024, depth 4, tanh is the Purchase100 network of SRCM and of Nasr et al.
    (1024-512-256-128); depth 3 with `tanh_logits` that of Li, Li & Ribeiro for Purchase and Texas,
    whose code puts a tanh on the logits, too.
    """

    width: Annotated[int, Range(8, 4096, least=1)] = 256
    depth: Annotated[int, Range(1, 8, least=1, most=64)] = 2
    activation: Literal["relu", "tanh"] = "relu"
    tanh_logits: bool = False

    def build(self, shape: tuple[int, ...], classes: int) -> "Network":
        sizes = [max(1, self.width >> i) for i in range(self.depth)]
        layers: list[torch.nn.Module] = [torch.nn.Flatten()]
        before = 1
        for side in shape:
            before *= side
        for size in sizes:
            act = torch.nn.ReLU() if self.activation == "relu" else torch.nn.Tanh()
            layers += [torch.nn.Linear(before, size), act]
            before = size
        net = network.classifier(torch.nn.Sequential(*layers), before, classes)
        if self.tanh_logits:
            return net.with_head(lambda head: torch.nn.Sequential(head, torch.nn.Tanh()))
        return net
