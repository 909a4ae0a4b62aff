"""One attack on groups of records, pooled over targets: what an average over all of them hides.

Scores come calibrated, so that all targets share one scale. Members of a group are told from
non-members of the same group. Records are clusters: what one record says at several targets is
added before it is squared (Obuchowski 1997).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from raymia.records.groups import FEWEST
from raymia.verdict import low_fpr, metrics
from raymia.verdict.metrics import Bools, Floats, Rate

FPR = 0.01
LEVEL = 0.95
Codes = NDArray[np.int64]


class Numbers(NamedTuple):
    """Of a group: judged records, and of them members and others (non-members), which count once
    a target; the accuracy on others; the AUC; the TPR where one in a hundred others of the group
    is called a member. None where there are too few.
    """

    records: int
    members: int
    others: int
    accuracy: Rate | None
    auc: Rate | None
    tpr: Rate | None


def numbers(
    scores: Floats, member: Bools, on: Bools, right: Bools, code: Codes, groups: int
) -> list[Numbers]:
    """Each group's own, as if there were no other records. Shapes: scores, member, on (judged),
    right [T, S]; code [S] in 0..groups-1.
    """
    parts = [code == k for k in range(groups)]
    return [_of(scores[:, p], member[:, p], on[:, p], right[:, p]) for p in parts]


def _of(scores: Floats, member: Bools, on: Bools, right: Bools) -> Numbers:
    inside, outside = on & member, on & ~member
    sizes = int(on.any(0).sum()), int(inside.sum()), int(outside.sum())
    if sizes[0] < FEWEST:
        return Numbers(*sizes, None, None, None)
    low = low_fpr.tpr(scores, member, on, FPR, low_fpr.drawn(on.shape[1]))
    return Numbers(
        *sizes, accuracy(right, outside), auc(scores, member, on), low[0] if low else None
    )


def accuracy(right: Bools, on: Bools, level: float = LEVEL) -> Rate | None:
    """The share of right ones [T, S] among the judged; None of fewer than 10 records."""
    count, records = int(on.sum()), int(on.any(0).sum())
    if records < FEWEST:
        return None
    value = float(right[on].mean())
    moved = np.where(on, right - value, 0.0) / np.sqrt(count * (count - 1))
    return Rate(value, *metrics.interval(value, moved.sum(0), level, records))


def auc(scores: Floats, member: Bools, on: Bools, level: float = LEVEL) -> Rate | None:
    """P(a member scores higher than a non-member) + P(tie)/2; None where fewer than 10 records are
    members anywhere, or non-members.
    """
    fewest = min(int((on & side).any(0).sum()) for side in (member, ~member))
    if fewest < FEWEST:
        return None
    value = metrics.auc(scores[on], member[on])
    moved = np.zeros(scores.shape)
    moved[on] = metrics.influence(scores[on], member[on])
    return Rate(value, *metrics.interval(value, moved.sum(0), level, fewest))


def clearly_more(
    scores: Floats, member: Bools, on: Bools, code: Codes, groups: int
) -> dict[int, tuple[Rate, Rate]]:
    """Of each group that is more exposed than all other records: its AUC, and theirs. The
    intervals do not overlap at a level that holds for all groups together (Bonferroni): where
    none is more exposed, one is named in fewer than 5 of 100 cases.
    """
    masks = [on & (code == k) for k in range(groups)]
    able = [k for k, mask in enumerate(masks) if auc(scores, member, mask) is not None]
    found = {}
    for k in able:
        level = 1 - (1 - LEVEL) / len(able)
        own, rest = (auc(scores, member, m, level) for m in (masks[k], on & ~masks[k]))
        if own and rest and own.lo is not None and rest.hi is not None and own.lo > rest.hi:
            found[k] = own, rest
    return found
