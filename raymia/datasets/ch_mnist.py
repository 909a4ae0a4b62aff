"""CH-MNIST in the tiles of its authors, or in the tables that circulate."""

from dataclasses import dataclass
from typing import ClassVar

from raymia.point.schedule import Training
from raymia.readers import published, tiles
from raymia.records.data import Data, Dataset

NAMES = ("TUMOR", "STROMA", "COMPLEX", "LYMPHO", "DEBRIS", "MUCOSA", "ADIPOSE", "EMPTY")
TILES, SIDE = 5000, 150
ORIGIN = (
    "Kather_texture_2016_image_tiles_5000.zip of zenodo.org/records/53169, or a table such as "
    "hmnist_64_64_L.csv of kaggle.com/datasets/kmader/colorectal-histology-mnist,"
)


@dataclass(frozen=True, kw_only=True)
class ChMnist(Dataset):
    """5,000 tiles of stained colorectal tissue, 8 classes of 625.

    `path`: the published zip of tiles, or the folder that it becomes; or a table of Kaggle's
    (hmnist_8_8, _28_28 or _64_64, _L or _RGB, .csv), which must be of `size` and `grayscale`.
    Nothing of an archive is unpacked to the disk. No constants: pixels in [0, 1]. Every network
    for images runs on it; resnet20 is that of the recipe.

    Source: Kather et al., Multi-class texture analysis in colorectal cancer histology, Scientific
    Reports 6:27988, 2016. The recipe is that of Chen, Yu & Fritz, ICLR 2022, for pictures.

    Shapes: x [5000, 1, size, size] uint8, or [5000, 3, size, size] without `grayscale`; tiles by
    class and name, a table in its order. Raises: SweepError where the files are missing, hold
    other records, or a table of another size.

    Departures: Chen, Yu & Fritz report results on it and name neither resolution nor network. 64x64
    in grey, the default, is a choice of ours: it is the table that public code of such attacks
    reads. Tiles are made smaller bilinearly and grey by Pillow, so that they are near the table's
    pixels and not the same.
    """

    image: ClassVar[bool | None] = True
    known: ClassVar[bool] = True
    cite: ClassVar[str] = """@article{kather2016texture,
  title = {Multi-class texture analysis in colorectal cancer histology},
  author = {Kather, Jakob Nikolas and Weis, Cleo-Aron and Bianconi, Francesco and
            Melchers, Susanne M. and Schad, Lothar R. and Gaiser, Timo and Marx, Alexander and
            Z{\\"o}llner, Frank Gerrit},
  journal = {Scientific Reports},
  volume = {6},
  year = {2016}
}"""

    path: str = "data/Kather_texture_2016_image_tiles_5000.zip"
    size: int = 64
    grayscale: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.size <= SIDE:
            raise ValueError(f"size: got {self.size}; at least 1 and at most {SIDE} is allowed")

    def read(self) -> Data:
        place = published.there("ch_mnist", self.path, ORIGIN)
        channels = 1 if self.grayscale else 3
        shape = (channels, self.size, self.size)
        if place.suffix.lower() == ".csv":
            x, y = tiles.table("ch_mnist", place, shape)
        else:
            folders = [f"{i:02}_{name}" for i, name in enumerate(NAMES, 1)]
            x, y = tiles.decoded("ch_mnist", place, folders, SIDE, shape)
        published.expected("ch_mnist", x, y, (TILES, *shape), len(NAMES))
        return Data("ch_mnist", x, y, len(NAMES), image=True, names=NAMES)

    def training(self, records: int) -> Training:
        steps = ((150, 0.1), (225, 0.01))
        return Training(300, 128, lr=0.1, weight_decay=1e-4, milestones=steps)
