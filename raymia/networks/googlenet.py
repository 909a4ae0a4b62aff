from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from raymia.lazy import convolutions, modules, network, torch
from raymia.training.architecture import Architecture

if TYPE_CHECKING:
    from raymia.training.network import Network

# 1x1; 1x1 then 3x3; 1x1 then two 3x3; pool then 1x1; None: a max-pool of stride 2
TABLE = (
    (64, 96, 128, 16, 32, 32),
    (128, 128, 192, 32, 96, 64),
    None,
    (192, 96, 208, 16, 48, 64),
    (160, 112, 224, 24, 64, 64),
    (128, 128, 256, 24, 64, 64),
    (112, 144, 288, 32, 64, 64),
    (256, 160, 320, 32, 128, 128),
    None,
    (256, 160, 320, 32, 128, 128),
    (384, 192, 384, 48, 128, 128),
)


@dataclass(frozen=True)
class Googlenet(Architecture):
    """GoogLeNet for small images: three stem convolutions without stride, a max-pool, nine
    inception modules with BatchNorm in which two 3x3 convolutions stand for the 5x5, average
    pooling, spatial dropout 0.4. 6.40 M parameters, 532 MMAC at 32x32 and 100 classes.

    Source: Szegedy et al., Going Deeper with Convolutions, CVPR 2015, table 1; the CIFAR form that
    CRL uses.
    """

    revision: ClassVar[int] = 2
    images: ClassVar[bool] = True
    least_side: ClassVar[int] = 4
    cite: ClassVar[str] = (
        "@inproceedings{szegedy2015going, title={Going Deeper with Convolutions}, "
        "author={Szegedy, Christian and Liu, Wei and Jia, Yangqing and Sermanet, Pierre and Reed, "
        "Scott and Anguelov, Dragomir and Erhan, Dumitru and Vanhoucke, Vincent and Rabinovich, "
        "Andrew}, booktitle={CVPR}, year={2015}}"
    )

    norm: Literal["batch", "group"] = "batch"

    def build(self, shape: tuple[int, ...], classes: int) -> "Network":
        nn, conv = torch.nn, convolutions.normed
        layers = [*conv(shape[0], 64), *conv(64, 64), *conv(64, 192), nn.MaxPool2d(3, 2, 1)]
        width = 192
        for row in TABLE:
            if row is None:
                layers.append(nn.MaxPool2d(3, 2, 1))
                continue
            one, before_two, two, before_three, three, pooled = row
            layers.append(
                convolutions.Branches(
                    nn.Sequential(*conv(width, one, 1, bias=True)),
                    nn.Sequential(
                        *conv(width, before_two, 1, bias=True), *conv(before_two, two, bias=True)
                    ),
                    nn.Sequential(
                        *conv(width, before_three, 1, bias=True),
                        *conv(before_three, three, bias=True),
                        *conv(three, three, bias=True),
                    ),
                    nn.Sequential(nn.MaxPool2d(3, 1, 1), *conv(width, pooled, 1, bias=True)),
                )
            )
            width = one + two + three + pooled
        drop = modules.Dropout(0.4, channels=True, part="")
        layers += [nn.AdaptiveAvgPool2d(1), drop, nn.Flatten()]
        net = network.classifier(nn.Sequential(*layers), width, classes)
        return convolutions.with_norm(net, self.norm)
