from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from raymia.lazy import convolutions, modules, network, torch
from raymia.point.space import Range
from raymia.training.architecture import Architecture

if TYPE_CHECKING:
    from raymia.training.network import Network

# kernel, expanded, out, squeeze-and-excite, activation, stride
TABLE = (
    (3, 16, 16, False, "RE", 1),
    (3, 64, 24, False, "RE", 2),
    (3, 72, 24, False, "RE", 1),
    (5, 72, 40, True, "RE", 2),
    (5, 120, 40, True, "RE", 1),
    (5, 120, 40, True, "RE", 1),
    (3, 240, 80, False, "HS", 2),
    (3, 200, 80, False, "HS", 1),
    (3, 184, 80, False, "HS", 1),
    (3, 184, 80, False, "HS", 1),
    (3, 480, 112, True, "HS", 1),
    (3, 672, 112, True, "HS", 1),
    (5, 672, 160, True, "HS", 2),
    (5, 960, 160, True, "HS", 1),
    (5, 960, 160, True, "HS", 1),
)
CLIP, DROP = 1280, 0.2


@dataclass(frozen=True)
class Mobilenetv3Large(Architecture):
    """MobileNetV3-Large with a 3x3 stride-1 stem for small images; torchvision's blocks.

    The feature is that of the hidden layer of 1280 (`feature: hidden`, as SRCM reads it), or the
    960 pooled channels before it (`pooled`, as CRL does; the head is then that layer, hard swish,
    dropout 0.2 and the last one). `width` multiplies all channels; at 1 it has 4.21 M parameters,
    20 MMAC at 32x32 and 10 classes.

    Source: Howard et al., Searching for MobileNetV3, ICCV 2019, table 1; stem as in SRCM.
    """

    revision: ClassVar[int] = 2
    images: ClassVar[bool] = True
    cite: ClassVar[str] = (
        "@inproceedings{howard2019mobilenetv3, title={Searching for {MobileNetV3}}, "
        "author={Howard, Andrew and Sandler, Mark and Chu, Grace and Chen, Liang-Chieh and Chen, "
        "Bo and Tan, Mingxing and Wang, Weijun and Zhu, Yukun and Pang, Ruoming and Vasudevan, "
        "Vijay and Le, Quoc V. and Adam, Hartwig}, booktitle={ICCV}, year={2019}}"
    )

    feature: Literal["hidden", "pooled"] = "hidden"
    width: Annotated[float, Range(0.25, 2.0, least=0.05)] = 1.0
    norm: Literal["batch", "group"] = "batch"

    def build(self, shape: tuple[int, ...], classes: int) -> "Network":
        from functools import partial

        from torchvision.models import mobilenetv3 as blocks

        nn, norm = torch.nn, partial(torch.nn.BatchNorm2d, eps=0.001, momentum=0.01)

        def conv(before: int, after: int, kernel: int) -> list[torch.nn.Module]:
            return [
                nn.Conv2d(before, after, kernel, padding=kernel // 2, bias=False),
                *(norm(after), nn.Hardswish()),
            ]

        def wide(channels: int) -> int:
            adjusted: int = blocks.InvertedResidualConfig.adjust_channels(channels, self.width)
            return adjusted

        layers, before = conv(shape[0], wide(16), 3), 16
        for kernel, expanded, after, squeeze, act, stride in TABLE:
            block = blocks.InvertedResidualConfig(
                before, kernel, expanded, after, squeeze, act, stride, 1, self.width
            )
            made = blocks.InvertedResidual(block, norm)
            # its own sum overwrites what came out of the block
            layers.append(convolutions.Sum(made.block) if made.use_res_connect else made.block)
            before = after
        last, clip = 6 * wide(before), wide(CLIP)
        layers += [*conv(wide(before), last, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        hidden = [nn.Linear(last, clip), nn.Hardswish(), modules.Dropout(DROP, part="")]
        if self.feature == "hidden":
            net = network.classifier(nn.Sequential(*layers, *hidden), clip, classes)
        else:
            head = nn.Sequential(*hidden, nn.Linear(clip, classes))
            net = network.Network(nn.Sequential(*layers), head, last, classes)
        for module in net.modules():
            if isinstance(module, nn.ReLU | nn.Hardswish | nn.Hardsigmoid):
                module.inplace = False
        convolutions.he(net)
        return convolutions.with_norm(net, self.norm)
