"""Your own arrays."""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from raymia.errors import SweepError
from raymia.readers import archives
from raymia.records.data import EMPTY, Data, OwnDataset, encode, existing, guarded
from raymia.records.groups import Groups, by

Array = npt.NDArray[Any]
Floats = float | list[float] | tuple[float, ...]
OVERSHOOT = 0.01  # how far pixels may lie outside [0, 1], as resizing leaves them: they are clipped


@dataclass(frozen=True, kw_only=True)
class Arrays(OwnDataset):
    """Your own arrays: an .npz file of records and labels.

    `x` and `y`: their names in the file. Images are [N, C, H, W], or [N, H, W, C] with `layout:
    channels_last`; left out, the layout is taken from the axis that has 1 to 4 channels, and
    asked for where both or neither have. `mean` and `std` of pixels, one number or one a
    channel; they are constants and not fitted. `groups`: an array of the file [N] by whose values,
    numbers or texts, people are told apart where it is shown who is exposed; no feature.

    Source: yours, written by `numpy.savez(path, x=x, y=y)`.

    Shapes: x [N, features], or images with pixels in [0, 1] or 0..255; y [N] or [N, 1], whole
    numbers or texts, taken as 0..C-1 in sorted order, or one-hot [N, C]. Raises: SweepError for
    another shape or type. Pickled objects are not read.
    """

    path: str
    x: str = "x"
    y: str = "y"
    layout: Literal["channels_first", "channels_last"] | None = None
    mean: Floats = 0.5
    std: Floats = 0.25
    groups: str | None = None

    def read(self) -> Data:
        (x, labels, people), notes = self._arrays(), list[str]()
        groups = None if people is None else _groups(str(self.groups), people, len(labels))
        y, names = encode(_flat(labels, notes), "arrays")
        if x.ndim not in (2, 4) or x.dtype.kind not in "biuf":
            hint = "; x[:, None] makes grey images [N, 1, H, W] of these" * (x.ndim == 3)
            raise SweepError(
                "dataset arrays: x is numbers [N, features], or images [N, C, H, W] or "
                f"[N, H, W, C], got {x.dtype} {x.shape}{hint}"
            )
        if x.ndim == 2:
            # a float64 beyond float32 becomes inf, which Data refuses with its place
            with np.errstate(over="ignore"):
                flat = x.astype(np.float32)
            _look(x, flat, notes)
            said = tuple(notes)
            return Data(
                "arrays", flat, y, len(names), False, names=names, notes=said, groups=groups
            )
        x = _pixels(self._channels_first(x, notes), notes)
        mean, std = (tuple(np.atleast_1d(c).tolist()) for c in (self.mean, self.std))
        said = tuple(notes)
        return Data("arrays", x, y, len(names), True, mean, std, names, notes=said, groups=groups)

    def _channels_first(self, x: Array, notes: list[str]) -> Array:
        few = [1 <= side <= 4 for side in (x.shape[1], x.shape[3])]
        layout = self.layout
        if layout is None:
            if few[0] == few[1]:
                raise SweepError(
                    f"dataset arrays: x is {list(x.shape)}: channels first or last? Set "
                    "arrays.layout to channels_first or channels_last"
                )
            layout = "channels_first" if few[0] else "channels_last"
        if layout == "channels_first":
            return x
        notes.append(f"x {list(x.shape)} was read as channels last")
        return np.ascontiguousarray(x.transpose(0, 3, 1, 2))

    def _arrays(self) -> tuple[Array, Array, Array | None]:
        """Records, labels, and where they are asked for, groups."""
        path = existing(self.path, "arrays")
        with guarded("arrays", path):
            with open(path, "rb") as opened:  # says what is in the way, where it may not be read
                opened.read(1)
            if not zipfile.is_zipfile(path):
                raise SweepError(
                    f"dataset arrays: {str(path)!r} is not an .npz file, or it is cut off"
                )
            archives.plain_zip(path)
            with np.load(path, allow_pickle=False) as file:
                self._check_names(path, list(file.files))
                return (
                    _array(path, file, self.x, "astype('float32')"),
                    _array(path, file, self.y, "astype(str)"),
                    None if self.groups is None else _array(path, file, self.groups, "astype(str)"),
                )

    def _check_names(self, path: Path, held: list[str]) -> None:
        knobs = ("x", "y") if self.groups is None else ("x", "y", "groups")
        missing = [knob for knob in knobs if getattr(self, knob) not in held]
        if missing:
            wanted = " and ".join(getattr(self, knob) for knob in missing)
            raise SweepError(
                f"dataset arrays: {str(path)!r} has no {wanted}, it holds "
                f"{', '.join(sorted(held)) or 'nothing'}; set "
                + " and ".join(f"arrays.{knob}" for knob in missing)
            )


def _array(path: Path, file: Any, name: str, plain: str) -> Array:
    """One array of the file. Raises ValueError where it holds Python objects: to read those is
    to run what they say.
    """
    try:
        array: Array = file[name]
        return array
    except ValueError as error:
        if "Object arrays" not in str(error):
            raise
        raise SweepError(
            f"dataset arrays: {str(path)!r} cannot be read: {name} holds "
            f"Python objects; save them with {name}.{plain}"
        ) from None


def _groups(name: str, values: Array, records: int) -> Groups:
    """Numbers are written as whole ones where they are; NaN and "" are a group, too."""
    flat = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
    if flat.shape != (records,) or flat.dtype.kind not in "biufUS":
        raise SweepError(
            f"dataset arrays: groups are numbers or texts [N], one for each of {records} records, "
            f"got {name} {values.dtype} {list(values.shape)}"
        )
    numbers = flat.dtype.kind in "iuf"
    if flat.dtype.kind == "f":
        each = [EMPTY if v != v else f"{v:.0f}" if v % 1 == 0 else str(v) for v in flat.tolist()]
    else:
        each = [text or EMPTY for text in flat.astype(str).tolist()]
    return by(name, each, numbers, "arrays")


def _look(x: Array, flat: npt.NDArray[np.float32], notes: list[str]) -> None:
    """Says which column counts the records. Raises SweepError where whole numbers of a column
    are closer than float32 can tell.
    """
    if not np.isfinite(flat).all():
        return  # which Data refuses with its place
    large = np.flatnonzero((abs(flat) >= 2**24).any(0))
    for i in large.tolist() if x.dtype.kind in "iuf" else []:
        kept, apart = len(np.unique(flat[:, i])), len(np.unique(x[:, i]))
        if kept < apart and (x[:, i] == np.round(x[:, i])).all():
            raise SweepError(
                f"dataset arrays: column {i} of x holds {apart} whole numbers of which float32 "
                f"tells {kept} apart; subtract a constant when you write the file, or leave it out"
            )
    steps = np.diff(np.sort(flat, axis=0), axis=0)
    for i in np.flatnonzero((steps == 1).all(0)).tolist() if len(x) > 1 else []:
        notes.append(f"column {i} of x counts the records: an index?")


def _flat(labels: Array, notes: list[str]) -> Array:
    """Labels [N], of [N, 1] or one-hot [N, C] too."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        notes.append(f"y {list(labels.shape)} was read as [{len(labels)}]")
        return np.asarray(labels[:, 0])
    if labels.ndim == 2 and labels.dtype.kind in "biuf" and labels.shape[1] > 1:
        ones = labels == 1
        if not ((labels == 0) | ones).all() or not (ones.sum(1) == 1).all():
            raise SweepError(
                f"dataset arrays: y is {list(labels.shape)} and not one-hot (one 1 in each row, "
                "else 0): write the classes, y.argmax(1) for example"
            )
        notes.append(f"y {list(labels.shape)} is one-hot: the class is the place of the 1")
        return np.asarray(labels.argmax(1))
    return labels


def _pixels(x: Array, notes: list[str]) -> Array:
    """Bytes where they are that, else float32 in [0, 1]."""
    if x.dtype == np.uint8 or not x.size:
        return x
    if x.dtype.kind == "b":
        return x.astype(np.float32)
    low, high = float(x.min()), float(x.max())
    if 0 <= low and 1 < high <= 255 and (x == np.round(x)).all():
        notes.append(f"pixels are whole numbers {low:g}..{high:g}: read as bytes 0..255")
        return x.astype(np.uint8)
    out: Array = x.astype(np.float32)
    if -OVERSHOOT <= low and high <= 1 + OVERSHOOT and (low < 0 or high > 1):
        outside = int(((x < 0) | (x > 1)).sum())
        notes.append(f"{outside} pixels a little outside [0, 1] were clipped ({low!r} to {high!r})")
        return out.clip(0, 1)
    if low < -OVERSHOOT or high > 1 + OVERSHOOT:
        cure = (
            "x / 255" if low >= 0 and high <= 255 else "(x + 1) / 2" if low >= -1 else "bring them"
        )
        raise SweepError(
            f"dataset arrays: pixels must be in [0, 1], or 0..255 as whole numbers; got {low!r} "
            f"to {high!r}: {cure} when you write the file"
        )
    return out
