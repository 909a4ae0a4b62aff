from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from raymia.lazy import convolutions, modules, network, torch
from raymia.point.space import Range
from raymia.training.architecture import Architecture

if TYPE_CHECKING:
    from raymia.training.network import Network

PLAN = ((1,), (2,), (4, 4), (8, 8), (8, 8))  # channels in widths; a 2x2 max-pool after each stage


@dataclass(frozen=True)
class Vgg11(Architecture):
    """VGG-11 with BatchNorm: eight 3x3 convolutions, five max-pools.

    `form: hidden` goes on with dropout, a layer of 512, ReLU, dropout, a layer of 512 whose
    output *before* its ReLU is the feature, and the last layer (9.76 M parameters, 153 MMAC at
    32x32 and 10 classes); `linear` has the last layer alone.

    Source: Simonyan & Zisserman, ICLR 2015, configuration A; `hidden` as SRCM and CRL use it,
    `linear` as RelaxLoss does.
    """

    revision: ClassVar[int] = 2
    images: ClassVar[bool] = True
    least_side: ClassVar[int] = 32
    cite: ClassVar[str] = (
        "@inproceedings{simonyan2015vgg, title={Very Deep Convolutional Networks for Large-Scale "
        "Image Recognition}, author={Simonyan, Karen and Zisserman, Andrew}, booktitle={ICLR}, "
        "year={2015}}"
    )

    form: Literal["hidden", "linear"] = "hidden"
    width: Annotated[int, Range(4, 128, least=1)] = 64
    norm: Literal["batch", "group"] = "batch"

    def build(self, shape: tuple[int, ...], classes: int) -> "Network":
        nn, (before, height, across) = torch.nn, shape
        layers: list[torch.nn.Module] = []
        for stage in PLAN:
            for times in stage:
                layers += convolutions.normed(before, times * self.width, bias=True)
                before = times * self.width
            convolutions.pool(layers)
        layers.append(nn.Flatten())
        flat, wide = before * (height // 32) * (across // 32), 8 * self.width
        if self.form == "linear":
            net = network.classifier(nn.Sequential(*layers), flat, classes)
        else:
            layers += [modules.Dropout(0.5, part=""), nn.Linear(flat, wide), nn.ReLU()]
            layers += [modules.Dropout(0.5, part=""), nn.Linear(wide, wide)]
            head = nn.Sequential(nn.ReLU(), nn.Linear(wide, classes))
            net = network.Network(nn.Sequential(*layers), head, wide, classes)
        convolutions.he(net)
        return convolutions.with_norm(net, self.norm)
