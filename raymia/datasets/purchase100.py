"""Purchase100 in the files of its authors, or the .npz that circulates."""

from dataclasses import dataclass
from typing import ClassVar

from raymia.readers.published import Bits


@dataclass(frozen=True, kw_only=True)
class Purchase100(Bits):
    """197,324 purchase histories as 600 zeros and ones, 100 classes of customers.

    `path`: the published archive, a folder or the table of it, or the .npz with `features` and
    `labels`. Nothing of an archive is unpacked to the disk.

    Source: Shokri et al., Membership Inference Attacks Against Machine Learning Models, S&P 2017.

    Shapes: x [197,324, 600] of 0 and 1 (no constants). Raises: SweepError where the file is
    missing or holds other records.
    """

    name: ClassVar[str] = "purchase100"
    tables: ClassVar[tuple[str, ...]] = ("dataset_purchase",)
    size: ClassVar[tuple[int, int]] = (197_324, 600)
    classes: ClassVar[int] = 100
    origin: ClassVar[str] = "dataset_purchase.tgz of github.com/privacytrustlab/datasets"
    batch: ClassVar[int] = 256

    path: str = "data/purchase100.tgz"
