from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from raymia.lazy import modules, network, torch
from raymia.training.architecture import Architecture

if TYPE_CHECKING:
    from raymia.training.network import Network


@dataclass(frozen=True)
class MnistCnn(Architecture):
    """Two 5x5 convolutions of 10 and 20 channels with max-pools, spatial dropout after the second,
    a layer of 50 with dropout: 21,840 parameters at 28x28 and 10 classes.

    Source: the network of PyTorch's first MNIST example, which Li, Li & Ribeiro, CODASPY 2021, use
    on MNIST (a convolutional network with spatial dropout; their text gives no sizes).
    """

    revision: ClassVar[int] = 2
    images: ClassVar[bool] = True
    least_side: ClassVar[int] = 16
    cite: ClassVar[str] = (
        "@inproceedings{li2021mmd, title={Membership Inference Attacks and Defenses in "
        "Classification Models}, author={Li, Jiacheng and Li, Ninghui and Ribeiro, Bruno}, "
        "booktitle={CODASPY}, year={2021}}"
    )

    def build(self, shape: tuple[int, ...], classes: int) -> "Network":
        nn, (channels, height, across) = torch.nn, shape
        sides = [((side - 4) // 2 - 4) // 2 for side in (height, across)]
        backbone = nn.Sequential(
            *(nn.Conv2d(channels, 10, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(10, 20, 5)),
            *(modules.Dropout(0.5, channels=True, part=""), nn.MaxPool2d(2), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(20 * sides[0] * sides[1], 50), nn.ReLU()),
            modules.Dropout(0.5, part=""),
        )
        return network.classifier(backbone, 50, classes)
