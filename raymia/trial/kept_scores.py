"""The scores of single records of a trial as one compressed file, beside its row.

Attacks are deterministic: where the file is missing or damaged, they are made again.
"""

import io
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from raymia.trial.judge import Verdict

Array = np.ndarray[Any, Any]
_WHAT = ("scores", "calibrated", "log_ratio")


def place(digest: str) -> str:
    """Where it stands in a results folder."""
    return f"scores/{digest}.npz"


def by_column(verdicts: Iterable[Verdict]) -> Iterator[list[Verdict]]:
    """What each attack found at all of its targets, which come one after the other."""
    return (list(own) for _, own in groupby(verdicts, key=lambda one: one.column))


def packed(verdicts: Iterable[Verdict]) -> bytes:
    """The file of what all attacks found."""
    arrays: dict[str, Array] = {}
    for i, own in enumerate(by_column(verdicts)):
        arrays[f"{i}.column"] = np.array(own[0].column)
        arrays[f"{i}.targets"] = np.array([one.target for one in own])
        arrays |= {f"{i}.{what}": values for what, values in _narrow(own).items()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def unpacked(content: bytes, column: str | None = None) -> list[Verdict]:
    """What all attacks, or one, found; nothing where the file is damaged."""
    found = []
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            for i in range(sum(name.endswith(".column") for name in file.files)):
                name = str(file[f"{i}.column"])
                if column in (None, name):
                    there = [what for what in _WHAT if f"{i}.{what}" in file.files]
                    stacked = {what: file[f"{i}.{what}"] for what in there}
                    targets = file[f"{i}.targets"].tolist()
                    found += [_verdict(name, t, k, stacked) for k, t in enumerate(targets)]
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, zlib.error):
        return []
    return found


def rounded(own: Sequence[Verdict]) -> list[Verdict]:
    """What one attack found, in the digits in which it is kept."""
    stacked = _narrow(own)
    return [_verdict(one.column, one.target, k, stacked) for k, one in enumerate(own)]


def _narrow(own: Sequence[Verdict]) -> dict[str, Array]:
    """Of all targets, [T, S] each: NaN where nothing was asked; what no target has is not there."""
    found = {}
    for what in _WHAT:
        values = [getattr(one, what) for one in own]
        if any(value is not None for value in values):
            nothing = np.full(own[0].scores.shape, np.nan)
            found[what] = _short(np.stack([nothing if v is None else v for v in values]))
    return found


def _short(values: Array) -> Array:
    """In float32 where that keeps the order of all of them and ties no two: every AUC, of one
    target or of all, stays the same to the last bit.
    """
    on = np.isfinite(values)
    with np.errstate(over="ignore", under="ignore"):
        short = values.astype(np.float32)
    kept = np.isfinite(short[on]).all() and _count(short[on]) == _count(values[on])
    return short if kept else values


def _count(values: Array) -> int:
    return len(np.unique(values))


def _verdict(column: str, target: int, k: int, stacked: Mapping[str, Array]) -> Verdict:
    """Of the k-th target, in float64; its line stands in the row."""
    values = {what: array[k].astype(np.float64) for what, array in stacked.items()}
    scores = values.pop("scores")
    there = {what: v for what, v in values.items() if np.isfinite(v).any()}
    return Verdict(column, target, scores, {}, {}, "", **there)
