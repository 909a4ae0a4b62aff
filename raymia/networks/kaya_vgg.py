from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from raymia.lazy import convolutions, network, torch
from raymia.point.space import Choice
from raymia.training.architecture import Architecture

if TYPE_CHECKING:
    from raymia.training.network import Network

# channels of each stage, a 2x2 max-pool after it
PLANS = {
    4: ((128,), (256,)),
    7: ((64,), (128,), (256, 256), (512,)),
    9: ((64,), (128,), (256, 256), (512, 512), (512,)),
    10: ((64,), (128,), (256, 256), (512, 512), (512, 512)),
}


@dataclass(frozen=True)
class KayaVgg(Architecture):
    """The VGG-style networks of Kaya, Hong & Dumitras: 3x3 convolutions with BatchNorm, max-pools,
    a layer of 1024, and the last one. `layers` counts convolutions and linear layers.

    Source: Kaya, Hong & Dumitras, arXiv:2006.05336 (4 layers on Fashion-MNIST, 7 on CIFAR-10, 9 on
    CIFAR-100), and the authors' code of 2021 (4 layers, and 10 on CIFAR).

    Departures: the text of 2020 does not give the channels of 7 and 9 layers; they are those of
    the code's 10 layers with the last convolutions left out.
    """

    revision: ClassVar[int] = 2
    images: ClassVar[bool] = True
    cite: ClassVar[str] = (
        "@article{kaya2020effectiveness, title={On the Effectiveness of Regularization Against "
        "Membership Inference Attacks}, author={Kaya, Yigitcan and Hong, Sanghyun and Dumitras, "
        "Tudor}, journal={arXiv:2006.05336}, year={2020}}"
    )

    layers: Annotated[int, Choice((4, 7, 9, 10))] = 7
    norm: Literal["batch", "group"] = "batch"

    def smallest(self) -> int:
        return 1 << len(PLANS[self.layers])

    def build(self, shape: tuple[int, ...], classes: int) -> "Network":
        nn, (before, height, across), plan = torch.nn, shape, PLANS[self.layers]
        layers: list[torch.nn.Module] = []
        for stage in plan:
            for after in stage:
                layers += convolutions.normed(before, after, bias=True)
                before = after
            convolutions.pool(layers)
        flat = before * (height >> len(plan)) * (across >> len(plan))
        layers += [nn.Flatten(), nn.Linear(flat, 1024), nn.ReLU()]
        net = network.classifier(nn.Sequential(*layers), 1024, classes)
        return convolutions.with_norm(net, self.norm)
