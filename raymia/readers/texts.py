"""Texts as numbers of words, and the vectors that stand for them."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from raymia.errors import SweepError

Array = npt.NDArray[Any]
# before a space: a point that ends no abbreviation, or another mark; a bracket may close after it
_SHORT = "".join(rf"(?<!\b{re.escape(word)})" for word in ("e.g.", "i.e.", "al.", "cf.", "vs."))
_END = re.compile(_SHORT + r"(?:(?<=[.!?])|(?<=[.!?][\"')\]]))\s+")
# n't and 's are words of their own, as GloVe has them; then what hyphens, points and strokes
# join; then single marks
_WORD = re.compile(r"n't\b|'(?:s|re|ve|ll|d|m)\b|\w+?(?=n't\b)|\w+(?:[-./]\w+|,\d+)*|[^\w\s]")


def sentences(text: str) -> list[list[str]]:
    """The words of each sentence, lower-case."""
    return [words for part in _END.split(text.lower()) if (words := _WORD.findall(part))]


def rows(dataset: str, name: str, content: bytes, head: Sequence[str]) -> Iterator[list[str]]:
    """The records of a CSV file in UTF-8 whose first line is `head`. Raises SweepError naming the
    line.
    """
    try:
        reader = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        for i, row in enumerate(reader):
            if i == 0 and row != list(head):
                raise SweepError(
                    f"dataset {dataset}: {name!r} begins with {','.join(row)[:60]!r}; "
                    f"{','.join(head)!r} was published"
                )
            if len(row) != len(head):
                raise SweepError(
                    f"dataset {dataset}: {name!r}, line {reader.line_num}: {len(row)} cells; "
                    f"{len(head)} were published"
                )
            if i:
                yield row
    except (csv.Error, UnicodeDecodeError) as error:
        raise SweepError(f"dataset {dataset}: {name!r} is no CSV file in UTF-8: {error}") from None


def numbered(
    documents: Sequence[Sequence[Sequence[str]]], shape: tuple[int, int], known: dict[str, int]
) -> Array:
    """Documents as numbers of words, float32 [N, sentences, words]; what is longer is cut off. 0 is
    padding, and every word that is not `known`.
    """
    x = np.zeros((len(documents), *shape), np.float32)
    for i, document in enumerate(documents):
        for j, sentence in enumerate(document[: shape[0]]):
            for k, word in enumerate(sentence[: shape[1]]):
                x[i, j, k] = known.get(word, 0)
    return x


def vectors(
    dataset: str, place: Path, wanted: set[str], words: int, size: int
) -> tuple[dict[str, int], Array]:
    """The number of each wanted word that the file has, from 1 in its order, and the vectors
    float32 [1 + those, size]; the first is 0, of no word.

    A file in GloVe's format: a word and `size` numbers a line, of `words` words; plain, or a zip
    that holds one such file of that size (as `glove.6B.50d.txt` in `glove.6B.zip`). Raises
    SweepError where it is another.
    """
    known: dict[str, int] = {}
    held = [np.zeros(size, np.float32)]
    count = 0
    for count, line in enumerate(_lines(dataset, place, size), 1):
        word, _, numbers = line.rstrip("\n").partition(" ")
        if numbers.count(" ") != size - 1:
            raise SweepError(
                f"dataset {dataset}: {str(place)!r}, line {count}: no word with {size} numbers"
            )
        if word in wanted and word not in known:
            try:
                held.append(np.array(numbers.split(" "), np.float32))
            except ValueError:
                raise SweepError(
                    f"dataset {dataset}: {str(place)!r}, line {count}: no numbers"
                ) from None
            known[word] = len(known) + 1
    if count != words:
        raise SweepError(
            f"dataset {dataset}: {str(place)!r} holds {count} words; {words} were published"
        )
    return known, np.stack(held)


def _lines(dataset: str, place: Path, size: int) -> Iterator[str]:
    try:
        if not zipfile.is_zipfile(place):
            with open(place, encoding="utf-8", newline="\n") as lines:
                yield from lines
            return
        with zipfile.ZipFile(place) as archive:
            names = [name for name in archive.namelist() if name.endswith(f".{size}d.txt")]
            if len(names) != 1:
                raise SweepError(
                    f"dataset {dataset}: {str(place)!r} holds {len(names)} files *.{size}d.txt; "
                    "one was published"
                )
            with archive.open(names[0]) as packed:
                yield from io.TextIOWrapper(packed, encoding="utf-8", newline="\n")
    except UnicodeDecodeError as error:
        raise SweepError(
            f"dataset {dataset}: {str(place)!r} is no text in UTF-8: {error}"
        ) from None
