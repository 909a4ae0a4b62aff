"""CIFAR-100 in the files of its authors, as torchvision reads and downloads them."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from raymia.point.schedule import Training
from raymia.readers import published
from raymia.records.data import Data, Dataset


@dataclass(frozen=True, kw_only=True)
class Cifar100(Dataset):
    """60,000 colour photographs of 32x32 pixels, 100 classes; `root` holds cifar-100-python.

    Source: Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009. The recipe is
    that of Fang & Kim for ResNet18: lr 0.01 in the first epoch, then 0.1, 0.01 from epoch 51, 0.001
    from epoch 81. They augment by crop and flip, which `training.augment` asks for.

    Shapes: x [60000, 3, 32, 32] uint8, the 50,000 of the train file first. Raises: SweepError where
    the files are missing or not the authors' (checked by md5), and `download` is false.
    """

    image: ClassVar[bool | None] = True
    known: ClassVar[bool] = True
    cite: ClassVar[str] = """@techreport{cifar100,
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
            "cifar100", "CIFAR100", "cifar-100-python", self.root, self.download, sets
        )
        pixels = np.concatenate([p.data for p in held])  # [N, H, W, C]
        y = np.concatenate([np.asarray(p.targets, dtype=np.int64) for p in held])
        x = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
        published.expected("cifar100", x, y, (60_000, 3, 32, 32), 100)
        mean, std = (0.5070, 0.4865, 0.4409), (0.2673, 0.2564, 0.2761)
        return Data("cifar100", x, y, 100, image=True, mean=mean, std=std)

    def training(self, records: int) -> Training:
        steps = ((1, 10.0), (50, 1.0), (80, 0.1))
        return Training(epochs=100, batch_size=256, lr=0.01, milestones=steps)
