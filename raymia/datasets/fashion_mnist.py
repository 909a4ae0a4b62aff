"""The idx files of FashionMNIST, wherever they lie, or as torchvision downloads them."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from raymia.point.schedule import Training
from raymia.readers import published
from raymia.records.data import Data, Dataset


@dataclass(frozen=True, kw_only=True)
class FashionMnist(Dataset):
    """70,000 pictures of clothes of 28x28 grey pixels, 10 classes; `root` holds the four idx
    files, plain or .gz, or is where torchvision puts them.

    Source: Xiao, Rasul & Vollgraf, Fashion-MNIST, arXiv:1708.07747, 2017.

    Shapes: x [70000, 1, 28, 28] uint8, the 60,000 of the train files first. Raises: SweepError
    where the files are missing or not whole, and `download` is false.
    """

    image: ClassVar[bool | None] = True
    known: ClassVar[bool] = True
    cite: ClassVar[str] = """@article{fashionmnist,
  title = {Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms},
  author = {Xiao, Han and Rasul, Kashif and Vollgraf, Roland},
  journal = {arXiv:1708.07747},
  year = {2017}
}"""

    root: str = "data"
    download: bool = False

    def read(self) -> Data:
        if self.download:
            published.parts(
                "fashion_mnist", "FashionMNIST", "FashionMNIST", self.root, True, [{"train": True}]
            )
        x, y = published.idx("fashion_mnist", self.root, "FashionMNIST")
        x, y = np.ascontiguousarray(x[:, None]), y.astype(np.int64)
        published.expected("fashion_mnist", x, y, (70_000, 1, 28, 28), 10)
        return Data("fashion_mnist", x, y, 10, image=True, mean=(0.2860,), std=(0.3530,))

    def training(self, records: int) -> Training:
        return Training(epochs=30, batch_size=128, lr=0.05, milestones=((0.5, 0.1), (0.8, 0.01)))
