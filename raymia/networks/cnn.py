from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from raymia.lazy import network, torch
from raymia.point.space import Range
from raymia.training.architecture import Architecture

if TYPE_CHECKING:
    from raymia.training.network import Network


@dataclass(frozen=True)
class Cnn(Architecture):
    """Two convolutions with pooling and a hidden layer: a small network for small images.

    `width` channels, then twice as many; 3x3 kernels, padding 1, 2x2 max pooling after each (before
    its ReLU: the same numbers, sooner); a
    hidden layer of 4 x `width`.

    Source: raymia's own, from no paper.
    """

    revision: ClassVar[int] = 2
    images: ClassVar[bool] = True
    least_side: ClassVar[int] = 4

    width: Annotated[int, Range(4, 256, least=1)] = 32

    def build(self, shape: tuple[int, ...], classes: int) -> "Network":
        nn, (channels, height, width), w = torch.nn, shape, self.width
        flat = 2 * w * (height // 4) * (width // 4)
        backbone = nn.Sequential(
            *(nn.Conv2d(channels, w, 3, padding=1), nn.MaxPool2d(2), nn.ReLU()),
            *(nn.Conv2d(w, 2 * w, 3, padding=1), nn.MaxPool2d(2), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(flat, 4 * w), nn.ReLU()),
        )
        return network.classifier(backbone, 4 * w, classes)
