"""Planted records, whose membership the split draws as any other's: the worst case, which
averages over records hide.

Source: Aerni, Zhang & Tramer, Evaluations of Machine Learning Privacy Defenses are Misleading,
CCS 2024.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from raymia.errors import SweepError
from raymia.records.data import Data
from raymia.records.split import AUDITED, Split
from raymia.streams import stream

MISLABELLED = "mislabelled"
KINDS = (MISLABELLED, "blank", "out_of_distribution", "near_duplicates")
# by targets: half of 240 are no members, and hardly ever fewer than the 100 of an FPR of 1%
STANDARD = 240
MOST_SHARE = 0.5  # of the judged records may be planted

Kinds = npt.NDArray[np.int8]  # [S]: 0 for a record of the data, else 1 + its place in KINDS


def places(canaries: Mapping[str, int], split: Split, *key: object) -> Kinds:
    """Which records are planted ones, and of which kind: drawn among the audited records on
    which some target is judged.

    Raises SweepError where there are too few.
    """
    kinds = np.zeros(split.member.shape[1], np.int8)
    free = np.flatnonzero((split.role == AUDITED) & split.judged.any(0))
    count, most = sum(canaries.values()), int(MOST_SHARE * len(free))
    if count > most:
        raise SweepError(
            f"canaries: got {dict(canaries)}; at most {most} in all, half of the judged records, "
            "are allowed"
        )
    order = stream(*key, "canaries").permutation(free)
    for i, kind in enumerate(KINDS):
        take, order = order[: canaries.get(kind, 0)], order[canaries.get(kind, 0) :]
        kinds[take] = i + 1
    return kinds


def plant(data: Data, kinds: Kinds, *key: object) -> Data:
    """The data with the planted records in the places of some of its own.

    mislabelled: its own x, another label. blank: one value everywhere, another in each.
    out_of_distribution: values of the whole data set, drawn one by one. near_duplicates:
    another record, moved by a hundredth of the data's range. The labels of blank and
    out_of_distribution ones are drawn.
    """
    if not kinds.any():
        return data
    rng = stream(*key, "plant")
    x, y = data.x.copy(), data.y.copy()
    wrong, blank, strange, double = (np.flatnonzero(kinds == i + 1) for i in range(len(KINDS)))
    low, high = float(x.min()), float(x.max())
    y[wrong] = (y[wrong] + rng.integers(1, data.classes, len(wrong))) % data.classes
    x[blank] = np.linspace(low, high, len(blank)).reshape(-1, *(1,) * (x.ndim - 1)).astype(x.dtype)
    x[strange] = rng.choice(data.x.reshape(-1), (len(strange), *data.shape))
    for some in (blank, strange):
        y[some] = rng.integers(0, data.classes, len(some))
    twin = rng.choice(np.flatnonzero(kinds == 0), len(double), replace=False)
    moved = data.x[twin] + (high - low) / 100 * rng.standard_normal((len(double), *data.shape))
    x[double] = np.clip(moved.round() if x.dtype == np.uint8 else moved, low, high).astype(x.dtype)
    y[double] = data.y[twin]
    return replace(data, x=x, y=y)
