from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from raymia.lazy import convolutions, network, torch
from raymia.point.space import Range
from raymia.training.architecture import Architecture

if TYPE_CHECKING:
    from raymia.training.network import Network

PLAN = ((1, 1), (2, 2), (4, 4, 4), (8, 8, 8), (8, 8, 8))


@dataclass(frozen=True)
class Vgg16(Architecture):
    """VGG-16 without normalisation: 13 3x3 convolutions, five max-pools, one linear layer.

    Source: Simonyan & Zisserman, ICLR 2015, configuration D, with a single linear layer as Li, Li
    & Ribeiro, CODASPY 2021, use it on CIFAR.
    """

    revision: ClassVar[int] = 2
    images: ClassVar[bool] = True
    least_side: ClassVar[int] = 32
    cite: ClassVar[str] = (
        "@inproceedings{simonyan2015vgg, title={Very Deep Convolutional Networks for Large-Scale "
        "Image Recognition}, author={Simonyan, Karen and Zisserman, Andrew}, booktitle={ICLR}, "
        "year={2015}}"
    )

    width: Annotated[int, Range(4, 128, least=1)] = 64

    def build(self, shape: tuple[int, ...], classes: int) -> "Network":
        before, (height, across) = shape[0], shape[1:]
        layers: list[torch.nn.Module] = []
        for stage in PLAN:
            for times in stage:
                layers += convolutions.plain(before, times * self.width)
                before = times * self.width
            convolutions.pool(layers)
        flat = before * (height // 32) * (across // 32)
        backbone = torch.nn.Sequential(*layers, torch.nn.Flatten())
        net = network.classifier(backbone, flat, classes)
        convolutions.he(net)
        return net
