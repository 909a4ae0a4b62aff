"""Data: records, labels and how to scale them. The instances stand in `datasets/`, one file each.

Nothing is fitted on all records here (no mean, no standardisation): it would carry non-members
into the training of every model. What `training.scale` fits, it fits on the defender's own.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from raymia.errors import RaymiaError, SweepError
from raymia.point import catalog
from raymia.point.schedule import Training
from raymia.point.space import Part
from raymia.records import copied
from raymia.records.groups import Groups
from raymia.records.split import Units
from raymia.streams import key, stream

LEAST_RECORDS = 8  # coin's two halves, less the reserve, still hold a few records each
# labels with more values than that, and so few records of each, are no classes
MANY_CLASSES, LEAST_OF_A_NUMBER, LEAST_OF_A_TEXT = 20, 10, 3
EMPTY = "(empty)"  # how the categories of a column name its empty cells


@dataclass(frozen=True, eq=False)
class Data:
    """The audited records, checked when made.

    Shapes: x [N, *shape], y [N]; images are [N, C, H, W]; mean and std have one number, or one
    for each channel. Units: x of images is in [0, 1] as float32, or 0..255 as uint8 (the
    network divides by 255); other x is float32 as it comes. The network applies (x - mean) /
    std; both are constants of the data set's file. y is int64 in 0..classes-1; `names` are the
    labels as they stood in the file, where that is known. `columns` says what became of each
    column of a table, `notes` what else was done with the files, a sentence each: both are for
    people, and in no hash. `copies`: `group` where all copies of a record share its membership.
    `taken` [N]: the place of each record among those that were read, where some were left out.
    `vectors` [V, D] float32 are constants, too: where they are given, x holds words, whole numbers
    from 0 to V - 1, and the network sees their vectors. `groups`: of people, by a column of theirs;
    nothing is trained or attacked by them.
    Raises: SweepError, one line, where the records are not that.
    """

    name: str
    x: npt.NDArray[Any]
    y: npt.NDArray[np.int64]
    classes: int
    image: bool
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    names: tuple[Any, ...] = ()
    columns: tuple[Mapping[str, Any], ...] = ()
    notes: tuple[str, ...] = ()
    copies: str = "keep"
    taken: npt.NDArray[np.int64] | None = None
    vectors: npt.NDArray[np.float32] | None = None
    groups: Groups | None = None

    def __post_init__(self) -> None:
        problem = _problem(self)
        if problem:
            raise SweepError(f"dataset {self.name}: {problem}")

    def __len__(self) -> int:
        return len(self.y)

    @property
    def rows(self) -> npt.NDArray[np.int64]:
        """The number [N] of each record in its source, from 0: all files in their order."""
        return np.arange(len(self)) if self.taken is None else self.taken

    @property
    def settled(self) -> bool:
        """Whether its own constants are all that `training.scale: auto` wants."""
        return self.image or self.vectors is not None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one record."""
        return self.x.shape[1:]

    @cached_property
    def units(self) -> Units:
        """How many records there are; where copies are grouped, which [N] share a membership,
        numbered from 0.
        """
        if self.copies != "group":
            return len(self.y)
        return tuple(np.unique(copied.firsts(self.x, self.y), return_inverse=True)[1].tolist())

    def sha256(self) -> str:
        """What the models can see of the data, as hex, and groups where there are some: they are
        kept with the signals. The name is not in it: the same arrays are the same data.
        """
        return self._sha256

    @cached_property
    def _sha256(self) -> str:
        facts: list[str | memoryview] = [repr((self.classes, self.image, self.mean, self.std))]
        facts += ["grouped"] * (self.copies == "group")
        seen = (self.x, self.y) if self.vectors is None else (self.x, self.y, self.vectors)
        for array in seen:
            facts += [repr((array.dtype.str, array.shape)), np.ascontiguousarray(array).data]
        if self.groups is not None:
            facts += [repr((self.groups.column, self.groups.names)), self.groups.code.data]
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
    if data.groups is not None and len(data.groups.code) != len(y):
        return f"has {len(y)} records and groups of {len(data.groups.code)}"
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
        return (
            f"pixels must be in [0, 1], or uint8 0..255; got {float(x.min())!r} to "
            f"{float(x.max())!r}"
        )
    return "" if data.vectors is None else _words_problem(data, data.vectors)


def _words_problem(data: Data, vectors: npt.NDArray[np.float32]) -> str:
    if data.image or vectors.ndim != 2 or vectors.dtype != np.float32 or not vectors.size:
        return f"words need vectors float32 [V, D], got {vectors.dtype} {vectors.shape}"
    if not np.isfinite(vectors).all():
        return "a vector of a word is not finite"
    wrong = (data.x != np.floor(data.x)) | (data.x < 0) | (data.x >= len(vectors))
    if wrong.any():
        where = np.argwhere(wrong)[0]
        return (
            f"record {where[0]} holds {data.x[tuple(where)]:g} at {tuple(map(int, where[1:]))}; "
            f"the number of a word, 0..{len(vectors) - 1}, is allowed"
        )
    return ""


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Where records come from. `records` takes that many, drawn by the seed; without it, all.

    A subclass writes `read`, and its own `training`. `image` is None where only the file can
    say. `words`: its records are numbers of words. `known`: the same records wherever it is read,
    of which it is known that networks learn them. `cite` is BibTeX.
    """

    image: ClassVar[bool | None] = None
    words: ClassVar[bool] = False
    known: ClassVar[bool] = False
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

    def training(self, records: int) -> Training:
        """The data set's own recipe for so many records; the sweep file overrides it field by
        field.
        """
        return Training()


@dataclass(frozen=True, kw_only=True)
class OwnDataset(Dataset):
    """Data of one's own: files that nobody has checked before.

    `copies`: what becomes of records that are equal in every feature and label: `drop` keeps
    the first of each, `keep` all, `group` all, with the same membership for all copies of a
    record. A copy of a member that is judged as a non-member makes attacks look weak and the
    network accurate.
    """

    copies: Literal["drop", "keep", "group"] = "drop"

    def load(self, seed: int) -> Data:
        data = _treated(self.read(), self.copies)
        return data if self.records is None else take(data, self.records, seed)

    def training(self, records: int) -> Training:
        """A recipe that learns: Adam, in batches of the largest power of two that is at most
        1/25 of the records, from 4 to 256: 1,000 steps or more, where half of them are members.
        """
        batch = 4
        while 2 * batch <= min(256, records // 25):
            batch *= 2
        return Training(epochs=100, batch_size=batch, optimizer="adam", lr=1e-3)


def _treated(data: Data, copies: str) -> Data:
    """The records with their copies dropped, kept or grouped, and a sentence that says so."""
    first = copied.firsts(data.x, data.y)
    single = first == np.arange(len(data))
    count = int((~single).sum())
    if not count:
        return data
    if copies == "drop" and single.sum() < LEAST_RECORDS:
        raise SweepError(
            f"dataset {data.name}: {count} of {len(data)} records are exact copies of others, and "
            f"at least {LEAST_RECORDS} must be left; set copies: keep"
        )
    done = {"drop": "left out", "keep": "kept", "group": "kept, each with its record's membership"}
    said = f"{count} of {len(data)} records are exact copies of others: {done[copies]}"
    data = replace(data, copies=copies, notes=(*data.notes, f"{said} (copies: {copies})"))
    if copies != "drop":
        return data
    return _only(data, np.flatnonzero(single))


def load(part: Part, seed: int) -> Data:
    """The records that a sweep's `dataset` names. Raises SweepError where there are none."""
    dataset: Dataset = catalog.made("datasets", part)
    with guarded(part.name):
        return dataset.load(seed)


@contextlib.contextmanager
def guarded(dataset: str, path: Path | None = None) -> Iterator[None]:
    """Whatever reading a file raises becomes one line. Raises SweepError naming the file."""
    try:
        yield
    except RaymiaError:
        raise
    except Exception as error:  # decoders raise nearly anything on damaged bytes
        at = getattr(error, "filename", None) if path is None else path
        what = f"dataset {dataset}: " + ("it" if at is None else repr(str(at)))
        raise SweepError(f"{what} cannot be read: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, EOFError):
        return "it is cut off"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    said = " ".join("".join(c if c.isprintable() else " " for c in str(error)).split())
    return f"{said[:300] or 'no reason given'} ({type(error).__name__})"


def take(data: Data, records: int, seed: int) -> Data:
    """That many records, drawn by the seed, in the order of the source; a larger draw holds the
    smaller one.

    Not stratified: a draw that looks at labels couples the records, and membership must not
    depend on other records.
    """
    if records > len(data):
        raise SweepError(f"dataset {data.name}: records: {records} asked, there are {len(data)}")
    chosen = np.sort(stream(seed, "records").permutation(len(data))[:records])
    return _only(data, chosen)


def _only(data: Data, chosen: npt.NDArray[np.int64]) -> Data:
    groups = None if data.groups is None else data.groups.only(chosen)
    taken = data.rows[chosen]
    return replace(data, x=data.x[chosen], y=data.y[chosen], taken=taken, groups=groups)


def existing(path: str, dataset: str, what: str = "file") -> Path:
    """The path, relative to the current folder, `~` expanded. Raises SweepError where nothing
    is there.
    """
    found = Path(os.path.expanduser(path))
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
    large = given.dtype == object and all(type(one) is int for one in given.tolist())
    if given.ndim != 1 or not (given.dtype.kind in "biufUS" or large):
        raise SweepError(
            f"dataset {dataset}: labels are whole numbers or texts [N], got {given.dtype} "
            f"{given.shape}"
        )
    if given.dtype.kind == "f":
        _whole(given, dataset)
    names, y = np.unique(given, return_inverse=True)
    _few_enough(len(names), len(y), given.dtype.kind not in "US", dataset)
    return y.astype(np.int64), tuple(names.tolist())


def _few_enough(classes: int, records: int, numbers: bool, dataset: str) -> None:
    """Raises SweepError where labels with so many values are hardly classes."""
    each = LEAST_OF_A_NUMBER if numbers else LEAST_OF_A_TEXT
    if classes > MANY_CLASSES and classes * each > records:
        cure = ", or texts where numbers name classes" if numbers else ""
        raise SweepError(
            f"dataset {dataset}: the labels have {classes} values in {records} records, fewer than "
            f"{each} of each: a number to predict (regression), or names? Bin them, or give "
            f"another label{cure}"
        )


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
