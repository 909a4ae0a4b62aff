"""Texas100 in the files of its authors, or the .npz that circulates."""

from dataclasses import dataclass
from typing import ClassVar

from raymia.readers.published import Bits


@dataclass(frozen=True, kw_only=True)
class Texas100(Bits):
    """67,330 hospital stays as 6,169 zeros and ones, the 100 most frequent procedures.

    `path`: the published archive, a folder or the table of it, or the .npz with `features` and
    `labels`. Nothing of an archive is unpacked to the disk.

    Source: Shokri et al., Membership Inference Attacks Against Machine Learning Models, S&P 2017.

    Shapes: x [67,330, 6,169] of 0 and 1 (no constants). Raises: SweepError where the file is
    missing or holds other records.
    """

    name: ClassVar[str] = "texas100"
    tables: ClassVar[tuple[str, ...]] = ("feats", "labels")
    size: ClassVar[tuple[int, int]] = (67_330, 6_169)
    classes: ClassVar[int] = 100
    origin: ClassVar[str] = "dataset_texas.tgz of github.com/privacytrustlab/datasets"
    batch: ClassVar[int] = 128

    path: str = "data/texas100.tgz"
