from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from raymia.lazy import convolutions, network, torch
from raymia.point.space import Range
from raymia.training.architecture import Architecture

if TYPE_CHECKING:
    from raymia.training.network import Network


@dataclass(frozen=True)
class DensenetBc(Architecture):
    """DenseNet-BC for CIFAR: three dense blocks of (depth - 4) / 6 bottlenecks, each with
    `growth` new channels, channels halved between blocks, average pooling.

    growth 12, depth 100: 0.77 M parameters, 288 MMAC at 32x32; what SRCM and CRL name DenseNet-121
    is growth 12, depth 121 (19 bottlenecks a block, 1.02 M parameters, 376 MMAC).

    Source: Huang et al., Densely Connected Convolutional Networks, CVPR 2017; used by Li, Li &
    Ribeiro, SRCM and CRL.
    """

    revision: ClassVar[int] = 2
    images: ClassVar[bool] = True
    least_side: ClassVar[int] = 4
    cite: ClassVar[str] = (
        "@inproceedings{huang2017densenet, title={Densely Connected Convolutional Networks}, "
        "author={Huang, Gao and Liu, Zhuang and van der Maaten, Laurens and Weinberger, Kilian "
        "Q.}, booktitle={CVPR}, year={2017}}"
    )

    depth: Annotated[int, Range(10, 250, least=10)] = 100
    growth: Annotated[int, Range(2, 48, least=1)] = 12
    norm: Literal["batch", "group"] = "batch"

    def build(self, shape: tuple[int, ...], classes: int) -> "Network":
        nn, each, width = torch.nn, (self.depth - 4) // 6, 2 * self.growth
        layers: list[torch.nn.Module] = [nn.Conv2d(shape[0], width, 3, padding=1, bias=False)]
        for block in range(3):
            for _ in range(each):
                layers.append(_dense(width, self.growth))
                width += self.growth
            layers += [nn.BatchNorm2d(width), nn.ReLU()]
            if block < 2:
                half = width // 2
                layers += [nn.Conv2d(width, half, 1, bias=False), nn.AvgPool2d(2)]
                width = half
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        net = network.classifier(nn.Sequential(*layers), width, classes)
        convolutions.he(net)
        return convolutions.with_norm(net, self.norm)


def _dense(before: int, growth: int) -> "torch.nn.Module":
    """The channels that came, and `growth` new ones through a bottleneck of four times as many."""
    nn = torch.nn
    new = nn.Sequential(
        *(nn.BatchNorm2d(before), nn.ReLU(), nn.Conv2d(before, 4 * growth, 1, bias=False)),
        *(nn.BatchNorm2d(4 * growth), nn.ReLU()),
        nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False),
    )
    return convolutions.Branches(nn.Identity(), new)
