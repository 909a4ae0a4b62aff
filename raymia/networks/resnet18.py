from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from raymia.lazy import convolutions, network, torch
from raymia.point.space import Range
from raymia.training.architecture import Architecture

if TYPE_CHECKING:
    from raymia.training.network import Network


@dataclass(frozen=True)
class Resnet18(Architecture):
    """ResNet-18 with the CIFAR stem: 3x3 stride-1 convolution, no max-pool, basic blocks
    2-2-2-2, average pooling.

    `width` 64 is the published network (11.17 M parameters at 10 classes, features 512 = 8 x
    width).

    Source: He et al., CVPR 2016; the CIFAR form used by SRCM and CRL (semantics of their
    `resnet.py`).
    """

    revision: ClassVar[int] = 2
    images: ClassVar[bool] = True
    cite: ClassVar[str] = (
        "@inproceedings{he2016resnet, title={Deep Residual Learning for Image Recognition}, "
        "author={He, Kaiming and Zhang, Xiangyu and Ren, Shaoqing and Sun, Jian}, "
        "booktitle={CVPR}, year={2016}}"
    )

    width: Annotated[int, Range(4, 128, least=1)] = 64

    def build(self, shape: tuple[int, ...], classes: int) -> "Network":
        nn, w = torch.nn, self.width
        layers: list[torch.nn.Module] = convolutions.normed(shape[0], w)
        before = w
        for stage in range(4):
            for stride in (2 if stage else 1, 1):
                layers.append(convolutions.basic_block(before, w << stage, stride))
                before = w << stage
        backbone = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        return network.classifier(backbone, before, classes)
