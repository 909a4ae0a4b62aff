from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from raymia.lazy import convolutions
from raymia.point.space import Range
from raymia.training.architecture import Architecture

if TYPE_CHECKING:
    from raymia.training.network import Network


@dataclass(frozen=True)
class Resnet110(Architecture):
    """ResNet-110 for CIFAR: stages of 16, 32 and 64 channels with 18 basic blocks each, 1x1
    convolutions where the shape changes, average pooling.

    `width` 16 is the published network (1.73 M parameters, 253 MMAC at 32x32).

    Source: He et al., CVPR 2016, section 4.2; used by Li, Li & Ribeiro.
    """

    revision: ClassVar[int] = 2
    images: ClassVar[bool] = True
    least_side: ClassVar[int] = 8
    cite: ClassVar[str] = (
        "@inproceedings{he2016resnet, title={Deep Residual Learning for Image Recognition}, "
        "author={He, Kaiming and Zhang, Xiangyu and Ren, Shaoqing and Sun, Jian}, "
        "booktitle={CVPR}, year={2016}}"
    )

    width: Annotated[int, Range(4, 64, least=1)] = 16
    norm: Literal["batch", "group"] = "batch"

    def build(self, shape: tuple[int, ...], classes: int) -> "Network":
        net = convolutions.thin_resnet(shape[0], 110, classes, self.width)
        return convolutions.with_norm(net, self.norm)
