"""Your own table."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from raymia.errors import SweepError
from raymia.point.catalog import suggest
from raymia.point.schedule import Training
from raymia.records.data import Data, Dataset, encode, existing

if TYPE_CHECKING:
    import pandas as pd

UNKNOWN = frozenset(("na", "n/a", "nan", "-nan", "#n/a", "<na>", "null", "none"))
MOST_CATEGORIES = 1000  # more distinct texts than this are names or dates, not categories


@dataclass(frozen=True, kw_only=True)
class Table(Dataset):
    """Your own table: a .csv file, several, or a folder of train.csv and test.csv; they are merged.

    `label` is a column's name or its index (from 0; -1 is the last). Columns of numbers are
    taken as they are, a column of text becomes a column of 0 and 1 for each category, sorted.
    Spaces around a text are not part of it; words such as NA, None or null are texts, not empty
    cells. Nothing is scaled: a mean fitted on all records would carry non-members into every
    model. Scale with constants that you knew before, or bin, when you write the file.

    Source: yours. The recipe is a start, taken from no paper.

    Raises: SweepError naming file, column and line where a cell is empty, not a number among
    numbers, or not finite; where two columns have one name.
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
                raise SweepError(
                    f"dataset table: {str(files[0])!r} and {str(file)!r} do not have the same "
                    "columns"
                )
        lines = [
            f"{str(f)!r}, line {i + 1 + self.header}"
            for f, frame in zip(files, frames, strict=True)
            for i in range(len(frame))
        ]
        frame = pd.concat(frames, ignore_index=True)
        label = self._label(list(frame.columns))
        for name in frame.columns:
            _complete(frame[name], lines)
        y, names = encode(_labels(frame[label], lines), "table")
        blocks = [_features(frame[name], lines) for name in frame.columns if name != label]
        x = np.concatenate([np.empty((len(frame), 0), np.float32), *blocks], axis=1)
        return Data("table", x, y, len(names), image=False, names=names)

    def _files(self) -> list[Path]:
        if not isinstance(self.path, str):
            if not self.path:
                raise SweepError(
                    "dataset table: path is an empty list; at least one .csv file is needed"
                )
            return [existing(path, "table") for path in self.path]
        folder = Path(self.path).expanduser()
        if folder.is_dir():
            return [existing(str(folder / name), "table") for name in ("train.csv", "test.csv")]
        return [existing(self.path, "table")]

    def _label(self, columns: list[Any]) -> Any:
        if isinstance(self.label, str):
            if self.label not in columns:
                raise SweepError(
                    f"dataset table: there is no column {self.label!r}; "
                    f"{suggest(self.label, map(str, columns))}"
                )
            return self.label
        if not -len(columns) <= self.label < len(columns):
            raise SweepError(
                f"dataset table: label: {self.label} given, there are columns 0..{len(columns) - 1}"
            )
        return columns[self.label]

    def training(self) -> Training:
        return Training(epochs=100, batch_size=256, lr=0.1, milestones=((0.5, 0.1), (0.8, 0.01)))


def _read(file: Path, header: bool) -> "pd.DataFrame":
    """One file. Blank lines stay, as empty records, so that the lines in messages are those of
    the file.
    """
    import pandas as pd
    from pandas.api.types import is_numeric_dtype

    options: dict[str, Any] = {
        "index_col": False,
        "skip_blank_lines": False,
        "low_memory": False,
        "skipinitialspace": True,
    }
    # NA is a country and None an answer: texts like others
    options |= {"keep_default_na": False, "na_values": [""]}
    try:
        with warnings.catch_warnings():
            # what pandas warns of is a line with too many cells, which it would cut
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame: pd.DataFrame = pd.read_csv(file, header=0 if header else None, **options)
            # read again, as cells: pandas would call the second of two columns `a` a.1
            heads = (
                pd.read_csv(file, header=None, nrows=1, dtype=str, **options) if header else None
            )
    except (
        pd.errors.ParserError,
        pd.errors.ParserWarning,
        pd.errors.EmptyDataError,
        UnicodeDecodeError,
    ) as error:
        raise SweepError(
            f"dataset table: {str(file)!r} cannot be read: {' '.join(str(error).split())}"
        ) from None
    if heads is not None:
        frame.columns = _heads(file, heads.iloc[0].tolist(), list(frame.columns))
    for i, kind in enumerate(frame.dtypes):
        if not is_numeric_dtype(kind):
            frame.isetitem(i, frame.iloc[:, i].map(_stripped).array)
    return frame


def _heads(file: Path, cells: list[Any], names: list[str]) -> "pd.Index[Any]":
    """The names of the columns; one without a name keeps what pandas calls it, by its place."""
    import pandas as pd

    given = [cell.strip() if isinstance(cell, str) else "" for cell in cells]
    for name in given:
        if name and given.count(name) > 1:
            places = [i for i, other in enumerate(given) if other == name]
            raise SweepError(
                f"dataset table: {str(file)!r}: columns {places[0]} and {places[1]} are both named "
                f"{name!r}"
            )
    return pd.Index([cell or name for cell, name in zip(given, names, strict=True)])


def _stripped(cell: Any) -> Any:
    """A text without the spaces around it; one of spaces alone is an empty cell."""
    return (cell.strip() or None) if isinstance(cell, str) else cell


def _named(column: "pd.Series[Any]") -> str:
    """The column's name, quoted, or its index: a plain value, whatever kind of number pandas
    keeps it as.
    """
    return repr(column.name if isinstance(column.name, str) else int(str(column.name)))


def _complete(column: "pd.Series[Any]", lines: list[str]) -> None:
    empty = np.flatnonzero(column.isna().to_numpy())
    if len(empty):
        raise SweepError(
            f"dataset table: column {_named(column)} of {lines[empty[0]]} is empty; fill it or "
            "leave the record out"
        )


def _column(column: "pd.Series[Any]") -> npt.NDArray[Any]:
    """A column as numpy numbers, or texts."""
    from pandas.api.types import is_numeric_dtype

    return (
        column.to_numpy() if is_numeric_dtype(column) else column.to_numpy(dtype=object).astype(str)
    )


def _labels(column: "pd.Series[Any]", lines: list[str]) -> npt.NDArray[Any]:
    """The cells of the labels. Among numbers, a word for what is unknown is no class of its own."""
    cells = _column(column)
    if cells.dtype.kind == "U":
        unknown = np.array([cell.lower() in UNKNOWN for cell in cells])
        if unknown.any() and not unknown.all() and np.isfinite(_numbers(cells)[~unknown]).all():
            raise _among(column, lines, cells, int(np.flatnonzero(unknown)[0]))
    return cells


def _numbers(cells: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Texts as numbers; NaN for those that are none."""
    import pandas as pd

    return pd.to_numeric(pd.Series(cells), errors="coerce").to_numpy(dtype=np.float64)


def _among(
    column: "pd.Series[Any]", lines: list[str], cells: npt.NDArray[Any], at: int
) -> SweepError:
    cell = str(cells[at])
    return SweepError(
        f"dataset table: column {_named(column)} of {lines[at]}: {cell!r} stands among numbers"
    )


def _features(column: "pd.Series[Any]", lines: list[str]) -> npt.NDArray[np.float32]:
    """[N, 1] of numbers, or [N, categories] of 0 and 1."""
    cells = _column(column)
    text = cells.dtype.kind == "U"
    values = _numbers(cells) if text else cells
    number = ~np.isnan(values)
    # texts that are all numbers are whole ones beyond 64 bits: pandas has no column for them
    if number.all() or not text:
        with np.errstate(over="ignore"):
            numbers = values.astype(np.float32)[:, None]
        endless = np.flatnonzero(~np.isfinite(numbers))
        if len(endless):
            raise SweepError(
                f"dataset table: column {_named(column)} of {lines[endless[0]]} is not finite: "
                f"{cells[endless[0]]}"
            )
        return numbers
    # one slip of the pen would turn a column of numbers into thousands of categories
    if number.any():
        raise _among(column, lines, cells, int(np.flatnonzero(~number)[0]))
    categories, code = np.unique(cells, return_inverse=True)
    if len(categories) > MOST_CATEGORIES:
        raise SweepError(
            f"dataset table: column {_named(column)} has {len(categories)} texts; at most "
            f"{MOST_CATEGORIES} are allowed"
        )
    return np.eye(len(categories), dtype=np.float32)[code]
