"""The idx files of MNIST, wherever they lie, or as torchvision downloads them."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from raymia.point.schedule import Training
from raymia.readers import published
from raymia.records.data import Data, Dataset


@dataclass(frozen=True, kw_only=True)
class Mnist(Dataset):
    """70,000 handwritten digits of 28x28 grey pixels, 10 classes; `root` holds the four idx
    files, plain or .gz, or is where torchvision puts them.

    Source: LeCun, Bottou, Bengio & Haffner, Gradient-Based Learning Applied to Document
    Recognition, 1998.

    Shapes: x [70000, 1, 28, 28] uint8, the 60,000 of the train files first. Raises: SweepError
    where the files are missing or not whole, and `download` is false.
    """

    image: ClassVar[bool | None] = True
    known: ClassVar[bool] = True
    cite: ClassVar[str] = """@article{mnist,
  title = {Gradient-Based Learning Applied to Document Recognition},
  author = {LeCun, Yann and Bottou, Leon and Bengio, Yoshua and Haffner, Patrick},
  journal = {Proceedings of the IEEE},
  year = {1998}
}"""

    root: str = "data"
    download: bool = False

    def read(self) -> Data:
        if self.download:
            published.parts("mnist", "MNIST", "MNIST", self.root, True, [{"train": True}])
        x, y = published.idx("mnist", self.root, "MNIST")
        x, y = np.ascontiguousarray(x[:, None]), y.astype(np.int64)
        published.expected("mnist", x, y, (70_000, 1, 28, 28), 10)
        return Data("mnist", x, y, 10, image=True, mean=(0.1307,), std=(0.3081,))

    def training(self, records: int) -> Training:
        return Training(epochs=30, batch_size=128, lr=0.05, milestones=((0.5, 0.1), (0.8, 0.01)))
