"""Your own images."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from raymia.readers import folders, pictures
from raymia.records.data import Data, OwnDataset, encode, existing

Floats = float | list[float] | tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class ImageFolder(OwnDataset):
    """Your own images, in one folder a class, or in parts of a split that hold such folders.

    Folders that hold folders of the same names are parts (train and test, folds, whatever they
    are called) and merged, train first. All formats that Pillow reads are read, at any depth
    below a class, links followed; hidden files and folders, and files of other kinds, are left
    out and listed. Pictures are turned as their EXIF orientation says; what is transparent is
    laid on white; of several frames the first is read.

    They are decoded once and kept as arrays in `cache` (by default in raymia/ of XDG_CACHE_HOME
    or ~/.cache), under a name made of all files' contents. `size` resizes to size x size
    (bilinear); without it all images must have the same size. `mean` and `std`, one number or
    one a channel, are constants and not fitted, because statistics of all records would carry
    non-members into every model.

    Source: yours.

    Shapes: x [N, 3, H, W] uint8, or [N, 1, H, W] with `grayscale`; by part, class and path in
    sorted order. Raises: SweepError naming the file or folder: a class without a picture, an
    image that does not decode or has another size, a class that a part lacks, parts beside
    classes.
    """

    image: ClassVar[bool | None] = True

    path: str
    size: int | None = None
    grayscale: bool = False
    mean: Floats = 0.5
    std: Floats = 0.25
    cache: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size is not None and self.size < 1:
            raise ValueError(f"size: got {self.size}; at least 1 is allowed")

    def read(self) -> Data:
        root = existing(self.path, "image_folder", "folder")
        found = folders.find(root, lambda ending: ending in pictures.endings())
        y, names = encode([name for _, name in found.pictures], "image_folder")
        paths = [path for path, _ in found.pictures]
        x, done = pictures.decoded(paths, self.size, self.grayscale, self.cache)
        mean, std = (tuple(np.atleast_1d(c).tolist()) for c in (self.mean, self.std))
        notes = (*found.said(), *done)
        return Data("image_folder", x, y, len(names), True, mean, std, names, notes=notes)
