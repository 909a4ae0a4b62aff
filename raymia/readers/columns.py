"""From texts to numbers: what a column is, and whether it can be what it looks like.

A text that is no category (a number as people write it, a date, an identifier) would become a
column for each record, and a model that learns them by heart; so would an identifier.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from raymia.errors import SweepError
from raymia.readers.cells import Texts
from raymia.records.data import EMPTY

Floats = npt.NDArray[np.float64]
UNKNOWN = frozenset(("na", "n/a", "nan", "-nan", "#n/a", "<na>", "null", "none"))
MOST_CATEGORIES = 1000  # more distinct texts than this are names, not categories
ENOUGH = 20  # with fewer records, that every cell is another one says nothing
EXACT = 2**24  # whole numbers below are exact in float32

_N = r"[-+\u2212\u2013]?\d[\d.,'\u00a0\u202f ]*(?:[eE][-+]?\d+)?"
_CURRENCY = r"(?:[$\u20ac\u00a3\u00a5]|usd|eur|gbp)"
_UNIT = r"(?!st$|nd$|rd$|th$)[a-z\u00b5\u03bc\u00b0/]{1,5}[23\u00b2\u00b3]?"
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_DAY = (
    r"(?:\d{4}[-/.]\d\d?(?:[-/.]\d\d?)?|\d\d?[-/.]\d\d?[-/.]\d{2,4}"
    rf"|\d\d?[- ]?{_MONTH}\.?[- ,]*\d{{2,4}}|{_MONTH}\.? ?\d\d?,? ?\d{{2,4}})"
)
_TIME = r"\d\d?:\d\d(?::\d\d(?:\.\d+)?)?(?: ?[ap]m)?"
_ZONE = r"(?: ?(?:z|utc|gmt|[-+]\d\d:?\d\d))?"
# what a text may be that is no category -> its pattern
_KINDS: tuple[tuple[str, str], ...] = (
    (
        "numbers with commas",
        r"[-+]?\d+(?:[. ']\d{3})*,\d+(?:e[-+]?\d+)?|[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?",
    ),
    ("numbers with separated thousands", r"[-+]?\d{1,3}(?:[.'\u00a0\u202f ]\d{3})+(?:,\d+)?"),
    ("percentages", rf"{_N} ?[%\u2030]"),
    ("amounts of money", rf"[-+]?{_CURRENCY} ?{_N}|{_N} ?{_CURRENCY}"),
    ("numbers with a typographic minus", rf"[\u2212\u2013]{_N}"),
    ("hexadecimal numbers", r"[-+]?0x[0-9a-f]+"),
    ("negative numbers in brackets", rf"\({_N}\)"),
    ("dates or times", rf"{_DAY}(?:[t ,]+{_TIME})?{_ZONE}|{_TIME}"),
)
_WITH_UNITS = (
    ("numbers with units", rf"{_N} ?{_UNIT}"),
    ("fractions", r"\d+ ?/ ?\d+"),
)


@dataclass(frozen=True)
class Format:
    """How numbers are written, and what the sweep file says of columns by name."""

    decimal: str | None = None
    thousands: str | None = None
    categories: frozenset[Any] = frozenset()
    numbers: frozenset[Any] = frozenset()
    missing: str = "refuse"


@dataclass(frozen=True, eq=False)
class Column:
    """A column of all files. `place(i)` says where record i stands, `files` [N] in which file
    it does.
    """

    name: Any
    nameless: bool
    texts: Texts
    place: Callable[[int], str]
    files: npt.NDArray[np.int64]

    def wrong(self, said: str, record: int | None = None) -> SweepError:
        where = "" if record is None else f" of {self.place(record)}"
        return SweepError(f"dataset table: column {self.name!r}{where} {said}")


def numbers(texts: Texts, form: Format) -> Floats:
    """Texts as numbers; NaN for those that are none."""
    import pandas as pd

    if form.decimal == "," or form.thousands:
        point, group = re.escape(form.decimal or "."), re.escape(form.thousands or "")
        whole = rf"\d{{1,3}}(?:{group}\d{{3}})+|\d+" if group else r"\d+"
        right = re.compile(rf"[-+]?(?:(?:{whole})(?:{point}\d*)?|{point}\d+)(?:[eE][-+]?\d+)?")
        plain = [
            t.replace(form.thousands or "\0", "").replace(form.decimal or ".", ".")
            if right.fullmatch(t)
            else ""
            for t in texts
        ]
        texts = np.array(plain, dtype=object)
    found: Floats = pd.to_numeric(pd.Series(texts, dtype=object), errors="coerce").to_numpy(
        dtype=np.float64
    )
    return found


def features(column: Column, form: Format) -> tuple[npt.NDArray[np.float32], dict[str, Any]] | None:
    """[N, 1] of numbers, or [N, categories] of 0 and 1, and what it is in words; None where
    every cell is empty. Raises SweepError with the knob that cures it.
    """
    texts, empty = column.texts, column.texts == ""
    if empty.all():
        return None
    asked = column.name in form.categories
    values = np.full(len(texts), np.nan)
    if not asked:
        values[~empty] = numbers(texts[~empty], form)
    number = ~np.isnan(values)
    if empty.any() and (number.any() or form.missing == "refuse"):
        first = int(np.flatnonzero(empty)[0])
        bins = "bin the column and " * bool(number.any())
        cure = f"fill it, leave the record out, or {bins}set table.missing to category"
        raise column.wrong(f"is empty; {cure}", first)
    if number[~empty].all():
        return _numbers(column, values, form)
    if number.any() or column.name in form.numbers:
        raise _among(column, int(np.flatnonzero(~number)[0]))
    if not asked:
        _check_categories(column, [str(t) for t in texts[~empty]])
    categories, code = np.unique(texts.astype(str), return_inverse=True)
    counts = np.bincount(code)
    said = {
        "name": column.name,
        "kind": "categories",
        "categories": {
            c or EMPTY: int(n) for c, n in zip(categories.tolist(), counts, strict=True)
        },
    }
    return np.eye(len(categories), dtype=np.float32)[code], said


def _among(column: Column, record: int) -> SweepError:
    cell = str(column.texts[record])
    return SweepError(
        f"dataset table: column {column.name!r} of {column.place(record)}: {cell!r} stands among "
        "numbers; write a number (table.decimal and table.thousands say how), or name the column "
        "in table.categories"
    )


def _numbers(
    column: Column, values: Floats, form: Format
) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
    with np.errstate(over="ignore"):
        out = values.astype(np.float32)
    endless = np.flatnonzero(~np.isfinite(out))
    if len(endless):
        raise column.wrong(f"is not finite: {column.texts[endless[0]]}", int(endless[0]))
    if column.name not in form.numbers:
        _check_numbers(column, values)
    whole = bool((values == np.round(values)).all())
    if not whole or abs(values).max() >= EXACT:
        _check_apart(column, values, out, whole)
    said = {
        "name": column.name,
        "kind": "whole numbers" if whole else "numbers",
        "low": float(values.min()),
        "high": float(values.max()),
    }
    return out[:, None], said


def _check_apart(column: Column, values: Floats, out: npt.NDArray[np.float32], whole: bool) -> None:
    """Raises SweepError where float32 makes one of whole numbers that differ, or of most others."""
    cells = zip(column.texts, values, strict=True)
    apart = len({_integer(t, v) for t, v in cells}) if whole else len(np.unique(values))
    kept = len(np.unique(out))
    if kept < (apart if whole else apart / 2):
        raise column.wrong(
            f"holds {apart} numbers of which float32 tells {kept} apart ({values.min():.15g} to "
            f"{values.max():.15g}); subtract a constant when you write the file, or leave it out "
            f"by table.drop: [{column.name!r}]"
        )


def _integer(text: str, value: float) -> int:
    """A whole number, exact where the text spells it."""
    return int(text) if re.fullmatch(r"[-+]?\d+", text) else int(value)


def _check_numbers(column: Column, values: Floats) -> None:
    """Raises SweepError where the numbers are codes, or name the records."""
    cure = f"leave it out by table.drop: [{column.name!r}]"
    codes = sorted(t for t in set(column.texts.tolist()) if re.fullmatch(r"0\d+", t))
    if codes:
        raise column.wrong(
            f"holds codes with leading zeros ({codes[0]!r}); name it in table.categories, or in "
            "table.numbers if they are numbers"
        )
    each = [values[column.files == file] for file in np.unique(column.files)]
    if not (values == np.round(values)).all() or any(
        len(np.unique(one)) < len(one) for one in each
    ):
        return
    counts = all(len(one) > 1 and (np.diff(np.sort(one)) == 1).all() for one in each)
    if column.nameless and (counts or len(values) >= ENOUGH):
        raise column.wrong(
            "has no name in the file and another whole number in every record: an index, which "
            f"pandas writes unless told index=False; {cure}, or name it in table.numbers"
        )
    if len(values) >= ENOUGH:
        what = "counts the records" if counts else "is another whole number in every record"
        raise column.wrong(
            f"{what} ({values[0]:g}, {values[1]:g}, ...): an identifier? {cure}, or name it in "
            "table.numbers"
        )


def _check_categories(column: Column, texts: Sequence[str]) -> None:
    """Raises SweepError where the texts are no categories."""
    distinct = sorted(set(texts))
    cure = (
        f"leave it out by table.drop: [{column.name!r}], or name it in table.categories if each "
        "text is a category"
    )
    shown = f"{distinct[0][:30]!r}, {distinct[-1][:30]!r}"
    if kind := _no_category(distinct):
        told = {
            "numbers with commas": "set table.decimal, or table.thousands, to ','; or ",
            "numbers with separated thousands": "set table.thousands to the mark between them, or ",
        }.get(kind, "write plain numbers, or ")
        raise column.wrong(f"holds {kind} as texts ({shown}); {told}{cure}")
    if len(texts) >= ENOUGH and 2 * len(distinct) > len(texts):
        raise column.wrong(
            f"has {len(distinct)} texts in {len(texts)} records ({shown}): names, identifiers or "
            f"free text; {cure}"
        )
    words = sum(len(t.split()) for t in distinct) / len(distinct)
    if len(distinct) > ENOUGH and words >= 5:
        raise column.wrong(
            f"has {len(distinct)} texts of {words:.0f} words each ({shown}): free text; {cure}"
        )
    if len(distinct) > MOST_CATEGORIES:
        raise column.wrong(
            f"has {len(distinct)} texts; at most {MOST_CATEGORIES} are allowed, {cure}"
        )


def _no_category(distinct: Sequence[str]) -> str:
    """What the texts are if not categories; empty where they may be."""
    kinds = _KINDS + (_WITH_UNITS if len(distinct) > 10 else ())
    for kind, pattern in kinds:
        right = re.compile(pattern, re.IGNORECASE)
        if 20 * sum(bool(right.fullmatch(t)) for t in distinct) >= 19 * len(distinct):
            return kind
    return ""


def labels(column: Column, form: Format) -> npt.NDArray[Any]:
    """The cells of the labels: whole numbers where all are such without leading zeros, else
    texts. Raises SweepError where one is empty, or two differ by little.
    """
    texts = column.texts
    if (texts == "").any():
        first = int(np.flatnonzero(texts == "")[0])
        raise column.wrong("is empty; a record without a label must be left out", first)
    if column.name in form.categories:
        return _apart(column, texts.astype(str))
    values = numbers(texts, form)
    unknown = np.array([t.lower() in UNKNOWN for t in texts])
    if unknown.any() and not unknown.all() and np.isfinite(values[~unknown]).all():
        raise _among(column, int(np.flatnonzero(unknown)[0]))
    if np.isnan(values).any() or any(re.fullmatch(r"[-+]?0\d+", t) for t in texts):
        return _apart(column, texts.astype(str))
    if all(re.fullmatch(r"[-+]?\d+", t) for t in texts):
        whole = [int(t) for t in texts]
        small = -(2**63) <= min(whole) and max(whole) < 2**63
        return np.array(whole, dtype=np.int64 if small else object)
    return values


def _apart(column: Column, texts: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The texts, where no two labels differ by spaces, a final dot or case alone."""
    seen: dict[str, str] = {}
    for name in np.unique(texts).tolist():
        plain = " ".join(name.casefold().rstrip(". ").split())
        if plain in seen:
            places = [int(np.flatnonzero(texts == n)[0]) for n in (seen[plain], name)]
            raise column.wrong(
                f"holds the labels {seen[plain]!r} ({column.place(places[0])}) and {name!r} "
                f"({column.place(places[1])}), which differ by spaces, a final dot or case alone: "
                "write one label in one way"
            )
        seen[plain] = name
    return texts
