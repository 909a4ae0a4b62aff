from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from raymia.lazy import network, torch
from raymia.point.space import Range
from raymia.training.architecture import Architecture

if TYPE_CHECKING:
    from raymia.training.network import Network


@dataclass(frozen=True)
class Alexnet(Architecture):
    """AlexNet for CIFAR: five convolutions, the first of 11x11 with stride 4, three max-pools, one
    linear layer, no dropout.

    `width` 64 is the published network (2.47 M parameters, 15 MMAC at 32x32 and 10 classes).

    Source: Krizhevsky, Sutskever & Hinton, NeurIPS 2012, in the form of Li, Li & Ribeiro, CODASPY
    2021.
    """

    revision: ClassVar[int] = 2
    images: ClassVar[bool] = True
    least_side: ClassVar[int] = 29
    cite: ClassVar[str] = (
        "@inproceedings{krizhevsky2012alexnet, title={ImageNet Classification with Deep "
        "Convolutional Neural Networks}, author={Krizhevsky, Alex and Sutskever, Ilya and Hinton, "
        "Geoffrey E.}, booktitle={NeurIPS}, year={2012}}"
    )

    width: Annotated[int, Range(4, 128, least=1)] = 64

    def build(self, shape: tuple[int, ...], classes: int) -> "Network":
        nn, w = torch.nn, self.width
        backbone = nn.Sequential(
            *(nn.Conv2d(shape[0], w, 11, stride=4, padding=5), nn.MaxPool2d(2), nn.ReLU()),
            *(nn.Conv2d(w, 3 * w, 5, padding=2), nn.MaxPool2d(2), nn.ReLU()),
            *(nn.Conv2d(3 * w, 6 * w, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(6 * w, 4 * w, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(4 * w, 4 * w, 3, padding=1), nn.MaxPool2d(2), nn.ReLU()),
            nn.Flatten(),
        )
        with torch.no_grad():
            flat = backbone(torch.zeros(1, *shape)).shape[1]
        return network.classifier(backbone, flat, classes)
