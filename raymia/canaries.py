"""Planted records, whose membership the split draws as any other's: the worst case, which averages over records hide.

Source: Aerni, Zhang & Tramer, Evaluations of Machine Learning Privacy Defenses are Misleading, CCS 2024.

Departures: elsewhere in raymia a TPR stands only where 10 / FPR non-members can say; here from 1 / FPR on, one false positive.
Canaries are few, so they are pooled over targets, and the same canary may be a non-member of several targets: those are not
independent, and the Clopper-Pearson interval takes them and the threshold as if they were.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from raymia import columns, metrics
from raymia.data import Data
from raymia.errors import SweepError
from raymia.split import AUDITED, Split
from raymia.streams import stream

KINDS = ("mislabelled", "blank", "out_of_distribution", "near_duplicates")
MOST_SHARE = 0.5  # of the judged records may be planted
FPR = 0.001

Array = np.ndarray[Any, Any]
Kinds = npt.NDArray[np.int8]  # [S]: 0 for a record of the data, else 1 + its place in KINDS


def places(canaries: Mapping[str, int], split: Split, *key: object) -> Kinds:
    """Which records are planted ones, and of which kind: drawn among the audited records on which some target is judged.

    Raises SweepError where there are too few.
    """
    kinds = np.zeros(split.member.shape[1], np.int8)
    free = np.flatnonzero((split.role == AUDITED) & split.judged.any(0))
    count, most = sum(canaries.values()), int(MOST_SHARE * len(free))
    if count > most:
        raise SweepError(f"canaries: got {dict(canaries)}; at most {most} in all, half of the judged records, are allowed")
    order = stream(*key, "canaries").permutation(free)
    for i, kind in enumerate(KINDS):
        take, order = order[: canaries.get(kind, 0)], order[canaries.get(kind, 0) :]
        kinds[take] = i + 1
    return kinds


def plant(data: Data, kinds: Kinds, *key: object) -> Data:
    """The data with the planted records in the places of some of its own.

    mislabelled: its own x, another label. blank: one value everywhere, another in each. out_of_distribution: values of the
    whole data set, drawn one by one. near_duplicates: another record, moved by a hundredth of the data's range. The labels
    of blank and out_of_distribution ones are drawn.
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


def numbers(
    scores: Mapping[str, Array], member: Array, judged: Mapping[str, Array], kinds: Kinds, worst: str
) -> dict[str, float | None]:
    """Columns on the planted records, pooled over targets: AUC and TPR at 0.1% FPR of every attack, and of `worst`.

    `worst` was chosen on the other records. The TPR is empty where fewer than 1 / FPR non-members are planted; its
    Clopper-Pearson interval takes the threshold as given. Shapes: scores and judged by attack [T, S], member [T, S].
    """
    out: dict[str, float | None] = {}
    for name, score in scores.items():
        on = judged[name] & (kinds > 0)
        if not (on & member).any() or not (on & ~member).any():
            continue
        out[columns.canary("auc", name)] = metrics.auc(score[on], member[on])
        rate = tpr(score[on], member[on], FPR)
        cells = (None, None, None) if rate is None else (rate.value, rate.lo, rate.hi)
        for column, value in columns.interval(f"tpr_at_fpr_{FPR}", *cells).items():
            out[columns.canary(column, name)] = value
            if name == worst:
                out[columns.canary(column)] = value
    return out


def tpr(score: Array, member: Array, fpr: float) -> metrics.Rate | None:
    """The largest TPR at an FPR of at most `fpr`; None where a single false positive is more than that."""
    outside = np.sort(score[~member])[::-1]
    allowed = int(fpr * len(outside) + 1e-9)
    if not allowed:
        return None
    hits, of = int((score[member] > outside[allowed]).sum()) if allowed < len(outside) else int(member.sum()), int(member.sum())
    return metrics.Rate(hits / of, *metrics.clopper_pearson(hits, of))


def problem(asked: Mapping[str, Any] | Collection[str]) -> str:
    """What is wrong with the names of a `canaries` mapping; empty where nothing is."""
    unknown = [name for name in asked if name not in KINDS]
    return f"no such canary {unknown[0]!r}; allowed: {', '.join(KINDS)}" if unknown else ""
