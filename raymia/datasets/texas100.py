"""Texas100 in the files of its authors, or the .npz that circulates."""

from dataclasses import dataclass
from typing import ClassVar

from raymia.point.schedule import Training
from raymia.readers import published
from raymia.records.data import Data, Dataset

SOURCE = "dataset_texas.tgz of github.com/privacytrustlab/datasets"


@dataclass(frozen=True, kw_only=True)
class Texas100(Dataset):
    """67,330 hospital stays as 6,169 zeros and ones, the 100 most frequent procedures.

    `path`: the published archive, a folder or the table of it, or the .npz with `features` and
    `labels`. Nothing of an archive is unpacked to the disk.

    Source: Shokri et al., Membership Inference Attacks Against Machine Learning Models, S&P 2017.

    Shapes: x [67,330, 6,169] of 0 and 1 (no constants). Raises: SweepError where the file is
    missing or holds other records.
    """

    image: ClassVar[bool | None] = False
    known: ClassVar[bool] = True
    cite: ClassVar[str] = """@inproceedings{shokri2017membership,
  title = {Membership Inference Attacks Against Machine Learning Models},
  author = {Shokri, Reza and Stronati, Marco and Song, Congzheng and Shmatikov, Vitaly},
  booktitle = {IEEE Symposium on Security and Privacy},
  year = {2017}
}"""

    path: str = "data/texas100.tgz"

    def read(self) -> Data:
        x, y = published.bits("texas100", self.path, ("feats", "labels"), 6_169, SOURCE)
        published.expected("texas100", x, y, (67_330, 6_169), 100)
        return Data("texas100", x, y, 100, image=False)

    def training(self, records: int) -> Training:
        return Training(
            epochs=100, batch_size=128, lr=0.1, milestones=((0.5, 0.1), (0.8, 0.01)), scale="none"
        )
