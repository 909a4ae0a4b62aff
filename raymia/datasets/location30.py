"""Location30 in the files of its authors, or the .npz that circulates."""

from dataclasses import dataclass
from typing import ClassVar

from raymia.point.schedule import Training
from raymia.readers import published
from raymia.records.data import Data, Dataset

SOURCE = "location.tgz of github.com/jjy1994/MemGuard"


@dataclass(frozen=True, kw_only=True)
class Location30(Dataset):
    """5,010 people as 446 zeros and ones, the places that they visited, in 30 clusters.

    `path`: the published archive, a folder or the table of it, or the .npz with `features` and
    `labels`. Nothing of an archive is unpacked to the disk.

    Source: Shokri et al., Membership Inference Attacks Against Machine Learning Models, S&P 2017.

    Shapes: x [5,010, 446] of 0 and 1 (no constants). Raises: SweepError where the file is
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

    path: str = "data/location30.tgz"

    def read(self) -> Data:
        x, y = published.bits("location30", self.path, ("bangkok",), 446, SOURCE)
        published.expected("location30", x, y, (5_010, 446), 30)
        return Data("location30", x, y, 30, image=False)

    def training(self, records: int) -> Training:
        return Training(
            epochs=100, batch_size=64, lr=0.1, milestones=((0.5, 0.1), (0.8, 0.01)), scale="none"
        )
