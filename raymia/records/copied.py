"""Records that stand in the data more than once."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]


def firsts(x: Array, y: Array | None = None) -> Ints:
    """For each record [N] the place of the first one that is equal to it, in its label too
    where labels are given.
    """
    rows = np.ascontiguousarray(x.reshape(len(x), -1) + x.dtype.type(0))  # -0.0 is 0.0
    seen: dict[tuple[bytes, int], int] = {}
    label = np.zeros(len(x), np.int64) if y is None else y
    each = zip(rows, label.tolist(), strict=True)
    return np.array([seen.setdefault((r.tobytes(), one), i) for i, (r, one) in enumerate(each)])


def counts(x: Array, y: Array) -> tuple[int, int]:
    """How many records are copies of an earlier one, and how many are so but for their label."""
    places = np.arange(len(x))
    exact, alike = firsts(x, y) < places, firsts(x) < places
    return int(exact.sum()), int((alike & ~exact).sum())
