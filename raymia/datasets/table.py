"""Your own table."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from raymia.catalog import suggest
from raymia.data import Data, Dataset, encode, existing
from raymia.errors import SweepError
from raymia.schedule import Training

if TYPE_CHECKING:
    import pandas as pd

MOST_CATEGORIES = 1000  # more distinct texts than this are names or dates, not categories


@dataclass(frozen=True, kw_only=True)
class Table(Dataset):
    """Your own table: a .csv file, several, or a folder of train.csv and test.csv; they are merged.

    `label` is a column's name or its index (from 0; -1 is the last). Columns of numbers are taken as they are, a
    column of text becomes a column of 0 and 1 for each category, sorted. Nothing is scaled: a mean fitted on all
    records would carry non-members into every model. Scale with constants that you knew before, or bin, when you
    write the file.

    Source: yours. The recipe is a start, taken from no paper.

    Raises: SweepError naming file, column and line where a cell is empty, not a number among numbers, or not finite.
    """

    image: ClassVar[bool | None] = False

    path: str | list[str] | tuple[str, ...]  # a point read from a row has tuples
    label: int | str
    header: bool = True

    def read(self) -> Data:
        import pandas as pd

        files = self._files()
        frames = [_read(file, self.header) for file in files]
        for file, frame in zip(files[1:], frames[1:], strict=True):
            if list(frame.columns) != list(frames[0].columns):
                raise SweepError(f"dataset table: {str(files[0])!r} and {str(file)!r} do not have the same columns")
        lines = [
            f"{str(f)!r}, line {i + 1 + self.header}" for f, frame in zip(files, frames, strict=True) for i in range(len(frame))
        ]
        frame = pd.concat(frames, ignore_index=True)
        label = self._label(list(frame.columns))
        for name in frame.columns:
            _complete(frame[name], lines)
        y, classes = encode(_column(frame[label]), "table")
        blocks = [_features(frame[name], lines) for name in frame.columns if name != label]
        x = np.concatenate([np.empty((len(frame), 0), np.float32), *blocks], axis=1)
        return Data("table", x, y, classes, image=False)

    def _files(self) -> list[Path]:
        if not isinstance(self.path, str):
            if not self.path:
                raise SweepError("dataset table: path is an empty list; at least one .csv file is needed")
            return [existing(path, "table") for path in self.path]
        folder = Path(self.path).expanduser()
        if folder.is_dir():
            return [existing(str(folder / name), "table") for name in ("train.csv", "test.csv")]
        return [existing(self.path, "table")]

    def _label(self, columns: list[Any]) -> Any:
        if isinstance(self.label, str):
            if self.label not in columns:
                raise SweepError(f"dataset table: there is no column {self.label!r}; {suggest(self.label, map(str, columns))}")
            return self.label
        if not -len(columns) <= self.label < len(columns):
            raise SweepError(f"dataset table: label: {self.label} given, there are columns 0..{len(columns) - 1}")
        return columns[self.label]

    def training(self) -> Training:
        return Training(epochs=100, batch_size=256, lr=0.1, milestones=((0.5, 0.1), (0.8, 0.01)))


def _read(file: Path, header: bool) -> "pd.DataFrame":
    """One file. Blank lines stay, as empty records, so that the lines in messages are those of the file."""
    import pandas as pd

    options: dict[str, Any] = {"index_col": False, "skip_blank_lines": False, "low_memory": False}
    try:
        with warnings.catch_warnings():
            # what pandas warns of is a line with too many cells, which it would cut
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame: pd.DataFrame = pd.read_csv(file, header=0 if header else None, skipinitialspace=True, **options)
            return frame
    except (pd.errors.ParserError, pd.errors.ParserWarning, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise SweepError(f"dataset table: {str(file)!r} cannot be read: {' '.join(str(error).split())}") from None


def _complete(column: "pd.Series[Any]", lines: list[str]) -> None:
    empty = np.flatnonzero(column.isna().to_numpy())
    if len(empty):
        raise SweepError(
            f"dataset table: column {column.name!r} of {lines[empty[0]]} is empty; fill it or leave the record out"
        )


def _column(column: "pd.Series[Any]") -> npt.NDArray[Any]:
    """A column as numpy numbers, or texts."""
    from pandas.api.types import is_numeric_dtype

    return column.to_numpy() if is_numeric_dtype(column) else column.to_numpy(dtype=object).astype(str)


def _features(column: "pd.Series[Any]", lines: list[str]) -> npt.NDArray[np.float32]:
    """[N, 1] of numbers, or [N, categories] of 0 and 1."""
    import pandas as pd

    cells = _column(column)
    if cells.dtype.kind != "U":
        with np.errstate(over="ignore"):
            numbers = cells.astype(np.float32)[:, None]
        endless = np.flatnonzero(~np.isfinite(numbers))
        if len(endless):
            raise SweepError(f"dataset table: column {column.name!r} of {lines[endless[0]]} is not finite: {cells[endless[0]]}")
        return numbers
    number = pd.to_numeric(pd.Series(cells), errors="coerce").notna().to_numpy()
    if number.any():  # one slip of the pen would turn a column of numbers into thousands of categories
        at = int(np.flatnonzero(~number)[0])
        raise SweepError(f"dataset table: column {column.name!r} of {lines[at]}: {cells[at]!r} stands among numbers")
    categories, code = np.unique(cells, return_inverse=True)
    if len(categories) > MOST_CATEGORIES:
        raise SweepError(
            f"dataset table: column {column.name!r} has {len(categories)} texts; at most {MOST_CATEGORIES} are allowed"
        )
    return np.eye(len(categories), dtype=np.float32)[code]
