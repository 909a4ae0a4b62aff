"""Location30 in the files of its authors, or the .npz that circulates."""

from dataclasses import dataclass
from typing import ClassVar

from raymia.readers.published import Bits


@dataclass(frozen=True, kw_only=True)
class Location30(Bits):
    """5,010 people as 446 zeros and ones, the places that they visited, in 30 clusters.

    `path`: the published archive, a folder or the table of it, or the .npz with `features` and
    `labels`. Nothing of an archive is unpacked to the disk.

    Source: Shokri et al., Membership Inference Attacks Against Machine Learning Models, S&P 2017.

    Shapes: x [5,010, 446] of 0 and 1 (no constants). Raises: SweepError where the file is
    missing or holds other records.
    """

    name: ClassVar[str] = "location30"
    tables: ClassVar[tuple[str, ...]] = ("bangkok",)
    size: ClassVar[tuple[int, int]] = (5_010, 446)
    classes: ClassVar[int] = 30
    origin: ClassVar[str] = "location.tgz of github.com/jjy1994/MemGuard"
    batch: ClassVar[int] = 64

    path: str = "data/location30.tgz"
