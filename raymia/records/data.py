"""Data: records, labels and how to scale them. The instances stand in `datasets/`, one file each.

Nothing is ever fitted on the records (no mean, no standardisation): what is fitted on all of
them carries non-members into the training of every model, and what is fitted on members tells
who they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from raymia.errors import SweepError
from raymia.point import catalog
from raymia.point.schedule import Training
from raymia.point.space import Part
from raymia.streams import key, stream

LEAST_RECORDS = 8  # coin's two halves, less the reserve, still hold a few records each


@dataclass(frozen=True, eq=False)
class Data:
    """The audited records, checked when made.

    Shapes: x [N, *shape], y [N]; images are [N, C, H, W]; mean and std have one number, or one
    for each channel. Units: x of images is in [0, 1] as float32, or 0..255 as uint8 (the
    network divides by 255); other x is float32 as it comes. The network applies (x - mean) /
    std; both are constants of the data set's file. y is int64 in 0..classes-1; `names` are the
    labels as they stood in the file, where that is known. Raises: SweepError, one line, where
    the records are not that.
    """

    name: str
    x: npt.NDArray[Any]
    y: npt.NDArray[np.int64]
    classes: int
    image: bool
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    names: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        problem = _problem(self)
        if problem:
            raise SweepError(f"dataset {self.name}: {problem}")

    def __len__(self) -> int:
        return len(self.y)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one record."""
        return self.x.shape[1:]

    def sha256(self) -> str:
        """What the models can see of the data, as hex. The name is not in it: the same arrays
        are the same data.
        """
        return self._sha256

    @cached_property
    def _sha256(self) -> str:
        facts: list[str | memoryview] = [repr((self.classes, self.image, self.mean, self.std))]
        for array in (self.x, self.y):
            facts += [repr((array.dtype.str, array.shape)), np.ascontiguousarray(array).data]
        return key(*facts)


def _problem(data: Data) -> str:
    """What is wrong with the records; empty where nothing is."""
    x, y = data.x, data.y
    if x.dtype not in (np.float32, np.uint8) or y.dtype != np.int64 or y.ndim != 1 or x.ndim < 2:
        return (
            f"x must be float32 or uint8 [N, ...] and y int64 [N], got {x.dtype} {x.shape} and "
            f"{y.dtype} {y.shape}"
        )
    if len(x) != len(y):
        return f"x has {len(x)} records and y has {len(y)} labels"
    if len(y) < LEAST_RECORDS:
        return f"has {len(y)} records; at least {LEAST_RECORDS} are needed"
    if data.image and x.ndim != 4:
        return f"images must be [N, C, H, W], got {x.shape}"
    if not data.image and x.dtype == np.uint8:
        return "uint8 is for images; other records are float32"
    if 0 in x.shape:
        return f"a record of shape {data.shape} is empty"
    if y.min() < 0 or y.max() >= data.classes:
        return f"labels must be in 0..{data.classes - 1}, got {y.min()}..{y.max()}"
    if len(np.unique(y)) < 2:
        return (
            f"every record has the label {repr(data.names[y[0]]) if data.names else y[0]}; at "
            "least 2 classes are needed"
        )
    return _scale_problem(data)


def _scale_problem(data: Data) -> str:
    x, channels = data.x, data.x.shape[1] if data.image else 1
    if len(data.mean) not in (1, channels) or len(data.std) not in (1, channels):
        return (
            f"mean and std need 1 or {channels} numbers, got {len(data.mean)} and {len(data.std)}"
        )
    if not np.isfinite([*data.mean, *data.std]).all() or min(data.std) <= 0:
        return f"mean must be finite and std above 0, got {data.mean} and {data.std}"
    if x.dtype == np.uint8:
        return ""
    finite = np.isfinite(x)
    if not finite.all():
        where = np.argwhere(~finite)[0]
        return (
            f"record {where[0]} holds {x[tuple(where)]} at {tuple(map(int, where[1:]))}; finite "
            "numbers are allowed"
        )
    if data.image and not (x.min() >= 0 and x.max() <= 1):
        return f"pixels must be in [0, 1], or uint8; got {x.min():g} to {x.max():g}"
    return ""


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Where records come from. `records` takes that many, drawn by the seed; without it, all.

    A subclass writes `read`, and its own `training`. `image` is None where only the file can
    say. `cite` is BibTeX.
    """

    image: ClassVar[bool | None] = None
    cite: ClassVar[str] = ""
    revision: ClassVar[int] = 1

    records: int | None = None

    def __post_init__(self) -> None:
        if self.records is not None and self.records < LEAST_RECORDS:
            raise ValueError(f"records: got {self.records}; at least {LEAST_RECORDS} is allowed")

    def read(self) -> Data:
        """All records, in the order of the source, train before test. Raises SweepError where
        they cannot be read.
        """
        raise NotImplementedError

    def load(self, seed: int) -> Data:
        """The records of this sweep."""
        data = self.read()
        return data if self.records is None else take(data, self.records, seed)

    def training(self) -> Training:
        """The data set's own recipe; the sweep file overrides it field by field."""
        return Training()


def load(part: Part, seed: int) -> Data:
    """The records that a sweep's `dataset` names. Raises SweepError where there are none."""
    dataset: Dataset = catalog.made("datasets", part)
    return dataset.load(seed)


def take(data: Data, records: int, seed: int) -> Data:
    """That many records, drawn by the seed, in the order of the source; a larger draw holds the
    smaller one.

    Not stratified: a draw that looks at labels couples the records, and membership must not
    depend on other records.
    """
    if records > len(data):
        raise SweepError(f"dataset {data.name}: records: {records} asked, there are {len(data)}")
    chosen = np.sort(stream(seed, "records").permutation(len(data))[:records])
    return replace(data, x=data.x[chosen], y=data.y[chosen])


def existing(path: str, dataset: str, what: str = "file") -> Path:
    """The path, relative to the current folder, `~` expanded. Raises SweepError where nothing
    is there.
    """
    found = Path(path).expanduser()
    if not (found.is_dir() if what == "folder" else found.is_file()):
        raise SweepError(
            f"dataset {dataset}: there is no {what} {str(found)!r} (relative to "
            f"{str(Path.cwd())!r})"
        )
    return found


def encode(
    labels: Sequence[Any] | npt.NDArray[Any], dataset: str
) -> tuple[npt.NDArray[np.int64], tuple[Any, ...]]:
    """Labels (whole numbers or texts) as 0..C-1 in sorted order, and the C labels. Raises
    SweepError for other labels.
    """
    given = np.asarray(labels)
    if given.ndim != 1 or given.dtype.kind not in "biufUS":
        raise SweepError(
            f"dataset {dataset}: labels are whole numbers or texts [N], got {given.dtype} "
            f"{given.shape}"
        )
    if given.dtype.kind == "f":
        _whole(given, dataset)
    names, y = np.unique(given, return_inverse=True)
    return y.astype(np.int64), tuple(names.tolist())


def _whole(labels: npt.NDArray[Any], dataset: str) -> None:
    """Nothing where every label is a whole number."""
    endless = np.flatnonzero(~np.isfinite(labels))
    if len(endless):
        got = "NaN" if np.isnan(labels[endless[0]]) else str(labels[endless[0]])
        raise SweepError(
            f"dataset {dataset}: labels are whole numbers or texts, got {got} in record "
            f"{endless[0]}"
        )
    broken = np.flatnonzero(labels != np.round(labels))
    if len(broken):
        got = (
            f"fractions (a regression target?), the first of them {labels[broken[0]]} in record "
            f"{broken[0]}"
        )
        raise SweepError(f"dataset {dataset}: labels are whole numbers or texts, got {got}")
