"""Street View House Numbers in its authors' files, as torchvision reads and downloads them."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from raymia.point.schedule import Training
from raymia.readers import published
from raymia.records.data import Data, Dataset


@dataclass(frozen=True, kw_only=True)
class Svhn(Dataset):
    """99,289 photographs of house numbers, 32x32 pixels in colour, 10 digits; `root` holds
    train_32x32.mat and test_32x32.mat (without the extra ones).

    Source: Netzer et al., Reading Digits in Natural Images with Unsupervised Feature Learning,
    2011. The recipe is that of Fang & Kim, UAI 2024. No constants of its own: pixels in [0, 1].

    Shapes: x [99289, 3, 32, 32] uint8, the 73,257 of the train file first. Raises: SweepError where
    the files are missing or not the authors' (checked by md5), and `download` is false.
    """

    image: ClassVar[bool | None] = True
    known: ClassVar[bool] = True
    cite: ClassVar[str] = """@inproceedings{svhn,
  title = {Reading Digits in Natural Images with Unsupervised Feature Learning},
  author = {Netzer, Yuval and Wang, Tao and Coates, Adam and Bissacco, Alessandro and Wu, Bo and
            Ng, Andrew Y.},
  booktitle = {NIPS Workshop on Deep Learning and Unsupervised Feature Learning},
  year = {2011}
}"""

    root: str = "data"
    download: bool = False

    def read(self) -> Data:
        sets = [{"split": split} for split in ("train", "test")]
        held = published.parts("svhn", "SVHN", "train_32x32.mat", self.root, self.download, sets)
        x = np.concatenate([p.data for p in held])  # [N, C, H, W] as torchvision gives them
        y = np.concatenate([np.asarray(p.labels, dtype=np.int64) for p in held])
        published.expected("svhn", x, y, (99_289, 3, 32, 32), 10)
        return Data("svhn", np.ascontiguousarray(x), y, 10, image=True)

    def training(self, records: int) -> Training:
        steps = ((10, 0.1), (30, 0.01))
        return Training(epochs=40, batch_size=256, lr=0.1, milestones=steps)
