"""CIFAR-10 in the files of its authors, as torchvision reads and downloads them."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from raymia.point.schedule import Training
from raymia.readers import published
from raymia.records.data import Data, Dataset


@dataclass(frozen=True, kw_only=True)
class Cifar10(Dataset):
    """60,000 colour photographs of 32x32 pixels, 10 classes; `root` holds cifar-10-batches-py.

    Source: Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009. The recipe
    is that of Fang and Kim, AIES 2024, for ResNet18.

    Shapes: x [60000, 3, 32, 32] uint8, the 50,000 of the train files first, then the 10,000 of
    the test file. Raises: SweepError where the files are missing or not the authors' (checked
    by md5), and `download` is false.
    """

    image: ClassVar[bool | None] = True
    known: ClassVar[bool] = True
    cite: ClassVar[str] = """@techreport{cifar10,
  title = {Learning Multiple Layers of Features from Tiny Images},
  author = {Krizhevsky, Alex},
  institution = {University of Toronto},
  year = {2009}
}"""

    root: str = "data"
    download: bool = False

    def read(self) -> Data:
        sets = [{"train": train} for train in (True, False)]
        held = published.parts(
            "cifar10", "CIFAR10", "cifar-10-batches-py", self.root, self.download, sets
        )
        pixels = np.concatenate([p.data for p in held])  # [N, H, W, C]
        labels = np.concatenate([np.asarray(p.targets, dtype=np.int64) for p in held])
        x = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
        return Data(
            "cifar10",
            x,
            labels,
            10,
            image=True,
            mean=(0.4914, 0.4822, 0.4465),
            std=(0.2023, 0.1994, 0.2010),
        )

    def training(self, records: int) -> Training:
        return Training(epochs=100, batch_size=256, lr=0.01, milestones=((0.5, 0.1), (0.8, 0.01)))
