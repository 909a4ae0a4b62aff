"""A file of cells as texts: CSV in whatever packing, or Parquet. Nothing is guessed: what does
not look as declared is refused with the knob that says otherwise.
"""

import bz2
import csv
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from raymia.errors import SweepError
from raymia.readers.archives import Stream, inner, within
from raymia.records.data import guarded

Texts = npt.NDArray[np.object_]

_OTHERS = {";": "';'", "\t": '"\\t"', "|": "'|'"}  # separators, as a sweep file spells them
_PARQUET, _ARROW, _EXCEL = b"PAR1", b"ARROW1", b"[Content_Types].xml"
_LOOKED_AT = 100  # lines that are looked at for a separator
_RECORDS = 2000  # that a first line is compared with

_PACKED: dict[str, tuple[bytes, Callable[[IO[bytes]], Stream]]] = {
    ".gz": (b"\x1f\x8b", gzip.open),
    ".bz2": (b"BZh", bz2.open),
    ".xz": (b"\xfd7zXZ\x00", lzma.open),
    ".zip": (b"PK\x03\x04", lambda packed: _unzipped(packed)),
    ".zst": (b"\x28\xb5\x2f\xfd", lambda packed: _unzstd(packed)),
}


@dataclass(frozen=True)
class Dialect:
    """How a file is written. None: the usual, as long as the file looks so."""

    header: bool | None = None
    separator: str | None = None
    encoding: str | None = None
    quote: str = '"'


@dataclass(frozen=True, eq=False)
class Cells:
    """The cells of a file [N, columns], stripped of the spaces around them; empty ones are "".

    `names`: of the columns; `nameless`: the places of those that have none in the file;
    `lines`: where each record begins, from 1.
    """

    path: Path
    names: list[Any]
    nameless: frozenset[int]
    texts: Texts
    lines: list[int]
    notes: tuple[str, ...] = ()

    def place(self, record: int) -> str:
        return f"{str(self.path)!r}, line {self.lines[record]}"


def read(path: Path, dialect: Dialect) -> Cells:
    """Raises SweepError naming file, line and knob."""
    with guarded("table", path):
        raw = _unpacked(path, path.read_bytes())
        if raw.startswith(_PARQUET):
            return _parquet(path, raw)
        if raw.startswith(_ARROW) or _EXCEL in raw[:4096]:
            raise _wrong(path, "an Excel or Arrow file; save it as CSV or Parquet")
        return _csv(path, _decoded(path, raw, dialect.encoding), dialect)


def _wrong(path: Path, said: str) -> SweepError:
    return SweepError(f"dataset table: {str(path)!r} cannot be read: {said}")


def _unpacked(path: Path, raw: bytes) -> bytes:
    """The bytes of the file inside a packed one, by what they are and not by their name."""
    for ending, (magic, unpack) in _PACKED.items():
        if raw.startswith(magic):
            if ending == ".zip" and _EXCEL in raw[:4096]:
                return raw
            return within(unpack(io.BytesIO(raw)), len(raw))
        if path.name.lower().endswith(ending):
            raise _wrong(path, f"it is no {ending} file; is it plain, or a web page?")
    return raw


def _unzipped(packed: IO[bytes]) -> Stream:
    file = zipfile.ZipFile(packed)
    inside = [
        name
        for name in file.namelist()
        if not name.endswith("/") and not name.startswith("__MACOSX/")
    ]
    if len(inside) != 1:
        raise ValueError(f"the zip holds {len(inside)} files; one is allowed, unpack it")
    inner(inside[0])
    return file.open(inside[0])


def _unzstd(packed: IO[bytes]) -> Stream:
    try:
        import zstandard
    except ImportError:
        raise ValueError("a .zst file needs the package zstandard; install or unpack it") from None
    out: Stream = zstandard.ZstdDecompressor().stream_reader(packed)
    return out


def _decoded(path: Path, raw: bytes, encoding: str | None) -> str:
    """As UTF-8, or what a byte order mark says, where no encoding is given."""
    if encoding is None:
        marked = raw.startswith((b"\xff\xfe", b"\xfe\xff"))
        encoding = "utf-16" if marked else "utf-8-sig"
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise _wrong(
            path,
            f"byte 0x{raw[error.start]:02x} in line {line} is no {error.encoding}; set "
            "table.encoding, to latin-1, cp1252 or utf-16 for example",
        ) from None
    except LookupError:
        raise SweepError(
            f"dataset table: encoding: got {encoding!r}; the name of an encoding that Python "
            "knows is allowed (utf-8, latin-1, utf-16, ...)"
        ) from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise _wrong(path, f"a zero byte in line {line}; set table.encoding, to utf-16-le perhaps")
    return text


def _csv(path: Path, text: str, dialect: Dialect) -> Cells:
    if dialect.separator is None:
        _check_separator(path, text)
    rows, lines, blank = _rows(path, text, dialect)
    if not rows:
        raise _wrong(path, "it holds no line")
    header = _header(path, rows, dialect.header)
    names: list[Any] = list(range(len(rows[0])))
    nameless: frozenset[int] = frozenset()
    if header:
        given = [cell.strip() for cell in rows.pop(0)]
        lines.pop(0)
        _no_name_twice(path, given)
        names = [name or f"Unnamed: {i}" for i, name in enumerate(given)]
        nameless = frozenset(i for i, name in enumerate(given) if not name)
    texts = np.empty((len(rows), len(names)), dtype=object)
    for i, row in enumerate(rows):
        texts[i] = [cell.strip() for cell in row]
    notes = (f"{path.name}: {blank} blank lines left out",) if blank else ()
    return Cells(path, names, nameless, texts, lines, notes)


def _check_separator(path: Path, text: str) -> None:
    """Raises SweepError where another separator than the comma stands in every line alike."""
    seen = [line for line in text.splitlines()[:_LOOKED_AT] if line.strip()]

    def each(mark: str) -> set[int]:
        return {line.count(mark) for line in seen}

    commas = each(",")
    for mark, spelled in {**_OTHERS, " ": "' '"}.items():
        count = each(mark)
        regular = len(count) == 1 and min(count) > 0
        if mark == " ":
            regular = regular and commas == {0}
        if regular and (len(commas) > 1 or min(count) >= min(commas)):
            raise _wrong(
                path,
                f"its cells seem to be separated by {spelled}, which stands {min(count)} times in "
                f"each line; set table.separator to {spelled}, or to ','",
            )


def _rows(path: Path, text: str, dialect: Dialect) -> tuple[list[list[str]], list[int], int]:
    """The records, the line in which each begins, and how many lines are blank."""
    separator, quoted = dialect.separator or ",", dialect.quote != "none"
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=separator,
        quotechar=dialect.quote if quoted else None,
        quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
        skipinitialspace=True,
        strict=True,
    )
    rows: list[list[str]] = []
    lines: list[int] = []
    before = blank = 0
    try:
        for row in reader:
            begun, before = before + 1, reader.line_num
            if not row:
                blank += 1
                continue
            if rows and len(row) != len(rows[0]):
                raise _wrong(path, _ragged(begun, len(row), len(rows[0]), bool(lines[1:])))
            if before > begun and (cell := _swallowed(row, separator, len(row))) is not None:
                raise _wrong(
                    path,
                    f"a quote that opens in line {begun} closes in line {before}: the cell "
                    f"{cell[:20]!r}... holds whole records; mend it, or set table.quote to none",
                )
            rows.append(row)
            lines.append(begun)
    except csv.Error as error:
        raise _wrong(
            path,
            f"the record that begins in line {before + 1}: {error} (a stray quote?); mend it, or "
            "set table.quote to none",
        ) from None
    return rows, lines, blank


def _ragged(line: int, cells: int, expected: int, later: bool) -> str:
    if not later and cells == expected + 1:
        return (
            f"line {line} has {cells} cells and the header {expected} names: the first cells "
            "are names of records; write a name for them"
        )
    return f"line {line} has {cells} cells, those before it {expected}"


def _swallowed(row: Sequence[str], separator: str, cells: int) -> str | None:
    """A cell in which other records lie, as between two stray quotes."""
    for cell in row:
        pieces = cell.splitlines()
        counts = [piece.count(separator) for piece in pieces]
        # of a record with all its cells, the quotes stand in one column: around them lie the
        # separators of one line
        if len(pieces) > 1 and counts[0] + counts[-1] == cells - 1:
            return cell
    return None


def _header(path: Path, rows: list[list[str]], asked: bool | None) -> bool:
    """Whether the first line holds names. Raises SweepError where it does not look so."""
    first = [cell.strip() for cell in rows[0]]
    looked_at = rows[1 : 1 + _RECORDS]
    columns = list(zip(*[[c.strip() for c in row] for row in looked_at], strict=True))
    if asked is False:
        if len(rows) > 2 and _names_among(first, columns):
            raise _wrong(
                path,
                f"header: false, and its first line looks like names ({', '.join(first[:3])}); "
                "leave header out",
            )
        return False
    if asked is None and columns:
        like = sum(_like(cell, column) for cell, column in zip(first, columns, strict=True))
        if _counting(first):
            like -= sum(map(_is_number, first))
        if like and 2 * like >= len(first):
            raise _wrong(
                path,
                f"its first line looks like a record and not like names ({', '.join(first[:3])}); "
                "set table.header to false, or to true if these are names",
            )
    return True


def _like(cell: str, column: Sequence[str]) -> bool:
    """Whether a cell of the first line looks like those below it."""
    if not cell:
        return False
    if _is_number(cell):
        return True
    return cell in column


def _counting(cells: Sequence[str]) -> bool:
    """Whether the numbers among names count: 0, 1, 2 or 1990, 1995, 2000."""
    numbers = [cell for cell in cells if _is_number(cell)]
    if len(numbers) < 2 or not all(n.isdecimal() for n in numbers):
        return False
    steps = set(np.diff([int(n) for n in numbers]).tolist())
    return len(steps) == 1 and min(steps) > 0 and (len(numbers) > 2 or steps == {1})


def _names_among(first: Sequence[str], columns: Sequence[Sequence[str]]) -> bool:
    """Whether a first record is one of names: new in each column of a few texts."""
    few = [
        cell not in column
        for cell, column in zip(first, columns, strict=True)
        if not _is_number(cell)
        and not any(map(_is_number, column))
        and 2 * len(set(column)) <= len(column)
    ]
    numbers = [
        cell for cell, column in zip(first, columns, strict=True) if all(map(_is_number, column))
    ]
    named = [bool(cell) and not _is_number(cell) for cell in numbers]
    return len(few) + len(named) > 1 and all(few) and all(named)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return cell.lower() not in ("nan", "inf", "infinity")


def _no_name_twice(path: Path, given: Sequence[str]) -> None:
    for name in given:
        if name and given.count(name) > 1:
            places = [i for i, other in enumerate(given) if other == name]
            raise SweepError(
                f"dataset table: {str(path)!r}: columns {places[0]} and {places[1]} are both named "
                f"{name!r}"
            )


def _parquet(path: Path, raw: bytes) -> Cells:
    import pyarrow as pa
    from pyarrow import parquet

    found = parquet.read_table(io.BytesIO(raw))
    names = list(found.column_names)
    _no_name_twice(path, names)
    texts = np.empty((found.num_rows, len(names)), dtype=object)
    for i, name in enumerate(names):
        column = found.column(i)
        if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
            try:
                column = column.cast(pa.string())
            except pa.ArrowInvalid as error:
                raise _wrong(path, f"column {name!r}: {error}") from None
        texts[:, i] = ["" if cell is None else cell.strip() for cell in column.to_pylist()]
    index = frozenset(i for i, name in enumerate(names) if str(name).startswith("__index_level_"))
    return Cells(path, names, index, texts, list(range(1, found.num_rows + 1)))
