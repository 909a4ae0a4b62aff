"""Your own table."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from raymia.errors import SweepError
from raymia.point.catalog import suggest
from raymia.readers import cells, columns
from raymia.readers.cells import Cells, Dialect
from raymia.readers.columns import Column, Format
from raymia.records import groups as grouped
from raymia.records.data import EMPTY, Data, OwnDataset, encode, existing

Names = list[str | int] | tuple[str | int, ...]


@dataclass(frozen=True, kw_only=True)
class Table(OwnDataset):
    """Your own table: a CSV or Parquet file, several, or a folder of train and test; merged.

    `label` is a column's name or its index (from 0; -1 is the last). Columns of numbers are
    taken as they are (`training.scale` standardises them), a column of text becomes a column
    of 0 and 1 for each category, sorted. Spaces around a text are not part of it; words such as
    NA, None or null are texts, not empty cells. Labels with leading zeros are texts.

    How the file is written: `header` (whether its first line names the columns), `separator`
    (","), `decimal` ("."), `thousands` (none), `encoding` (UTF-8, or what a byte order mark
    says), `quote` ('"'; none: quotes are letters). Left out, the usual is taken and refused
    where the file does not look so; what is written here is believed. CSV may be packed (gz,
    bz2, xz, zip of one file).

    `drop`: columns that are no features. `categories`: columns whose texts or numbers are
    categories whatever they look like; `numbers`: columns of numbers that look like identifiers
    or codes. `missing`: `category` makes the empty cells of a column of categories one more.
    `groups`: the column by whose values people are told apart where it is shown who is exposed;
    a feature like others, unless `drop` has it, too.

    Source: yours.

    Raises: SweepError naming file, column and line, and the knob that cures it, where a cell is
    empty, not a number among numbers, or not finite; where a column of texts is none of
    categories (dates, numbers as people write them, identifiers, free text), where whole
    numbers are other ones in every record, or stand closer than float32 can tell; where two
    columns have one name, two labels differ by little, or a quote swallows records.
    """

    image: ClassVar[bool | None] = False

    path: str | list[str] | tuple[str, ...]  # a point read from a row has tuples
    label: int | str
    header: bool | None = None
    separator: str | None = None
    decimal: Literal[".", ","] | None = None
    thousands: str | None = None
    encoding: str | None = None
    quote: str = '"'
    drop: Names = ()
    categories: Names = ()
    numbers: Names = ()
    missing: Literal["refuse", "category"] = "refuse"
    groups: int | str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, value in (("separator", self.separator), ("thousands", self.thousands)):
            if value is not None and len(value) != 1:
                raise ValueError(f"{name}: got {value!r}; one character is allowed")
        if self.quote != "none" and len(self.quote) != 1:
            raise ValueError(f"quote: got {self.quote!r}; one character, or none, is allowed")
        if self.thousands is not None and self.thousands == (self.decimal or "."):
            raise ValueError(
                f"thousands: got {self.thousands!r}; another mark than that of decimals is allowed"
            )

    def read(self) -> Data:
        dialect = Dialect(self.header, self.separator, self.encoding, self.quote)
        files = [cells.read(file, dialect) for file in self._files()]
        _same_columns(files)
        names = files[0].names
        label = self._found(names, self.label, "label")
        people = None if self.groups is None else self._found(names, self.groups, "groups")
        given = {
            knob: frozenset(self._found(names, one, f"{knob}.{i}") for i, one in enumerate(listed))
            for knob, listed in (
                ("drop", self.drop),
                ("categories", self.categories),
                ("numbers", self.numbers),
            )
        }
        form = Format(
            self.decimal, self.thousands, given["categories"], given["numbers"], self.missing
        )
        if not sum(len(file.texts) for file in files):
            raise SweepError(f"dataset table: {str(files[0].path)!r} holds no record")
        texts = np.concatenate([file.texts for file in files])
        place, which = _place(files), np.repeat(range(len(files)), [len(f.texts) for f in files])

        def column(i: int) -> Column:
            nameless = any(i in file.nameless for file in files)
            return Column(names[i], nameless, texts[:, i], place, which)

        y, classes = encode(columns.labels(column(names.index(label)), form), "table")
        blocks, said, notes = [np.empty((len(texts), 0), np.float32)], [], _merged(files)
        for i, name in enumerate(names):
            if name == label or name in given["drop"]:
                notes += [f"column {name!r} left out (table.drop)"] * (name != label)
                continue
            found = columns.features(column(i), form)
            if found is None:
                notes.append(f"column {name!r} left out: every cell is empty")
                continue
            blocks.append(found[0])
            said.append(found[1])
        x = np.concatenate(blocks, axis=1)
        if not x.shape[1]:
            raise SweepError(
                f"dataset table: a record is empty: there is no column beside {label!r}"
            )
        return Data(
            "table",
            x,
            y,
            len(classes),
            image=False,
            names=classes,
            columns=tuple(said),
            notes=tuple(notes),
            groups=None if people is None else _groups(column(names.index(people)), form),
        )

    def _files(self) -> list[Path]:
        if not isinstance(self.path, str):
            if not self.path:
                raise SweepError(
                    "dataset table: path is an empty list; at least one .csv file is needed"
                )
            return [existing(path, "table") for path in self.path]
        folder = Path(os.path.expanduser(self.path))
        if folder.is_dir():
            kind = "parquet" if (folder / "train.parquet").is_file() else "csv"
            return [existing(str(folder / f"{part}.{kind}"), "table") for part in ("train", "test")]
        return [existing(self.path, "table")]

    def _found(self, names: Sequence[Any], wanted: int | str, knob: str) -> Any:
        """The name of a column that is given by name or place."""
        if isinstance(wanted, str):
            if wanted not in names:
                raise SweepError(
                    f"dataset table: {knob}: there is no column {wanted!r}; "
                    f"{suggest(wanted, map(str, names))}"
                )
            return wanted
        if not -len(names) <= wanted < len(names):
            raise SweepError(
                f"dataset table: {knob}: {wanted} given, there are columns 0..{len(names) - 1}"
            )
        return names[wanted]


def _groups(column: Column, form: Format) -> grouped.Groups:
    """The cells of the column, whatever they are; empty ones are a group, too."""
    told = column.texts[column.texts != ""]
    numbers = bool(len(told)) and not np.isnan(columns.numbers(told, form)).any()
    cells = [text or EMPTY for text in column.texts.tolist()]
    return grouped.by(str(column.name), cells, numbers, "table")


def _same_columns(files: Sequence[Cells]) -> None:
    for file in files[1:]:
        if file.names != files[0].names:
            raise SweepError(
                f"dataset table: {str(files[0].path)!r} and {str(file.path)!r} do not have the "
                "same columns"
            )


def _place(files: Sequence[Cells]) -> Callable[[int], str]:
    """Where a record of the merged files stands."""

    def place(record: int) -> str:
        for file in files:
            if record < len(file.texts):
                return file.place(record)
            record -= len(file.texts)
        raise IndexError(record)

    return place


def _merged(files: Sequence[Cells]) -> list[str]:
    notes = [note for file in files for note in file.notes]
    if len(files) > 1:
        parts = ", ".join(f"{file.path.name} ({len(file.texts)} records)" for file in files)
        notes.append(f"merged: {parts}")
    return notes
