"""What the attacks find among the planted records.

Source: Aerni, Zhang & Tramer, Evaluations of Machine Learning Privacy Defenses are Misleading,
CCS 2024.

Departures: elsewhere in raymia a TPR stands only where 10 / FPR non-members can say; here from
1 / FPR on, one false positive. Canaries are few, so they are pooled over targets, and the same
canary may be a non-member of several targets: those are not independent, and the
Clopper-Pearson interval takes them and the threshold as if they were.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from raymia.point import columns
from raymia.records.canaries import Kinds
from raymia.verdict import metrics

Array = np.ndarray[Any, Any]


def numbers(
    scores: Mapping[str, Array],
    member: Array,
    judged: Mapping[str, Array],
    kinds: Kinds,
    worst: str,
) -> dict[str, float | None]:
    """Columns on the planted records, pooled over targets: AUC and TPR at 1% and 0.1% FPR of
    every attack, and of `worst`.

    `worst` was chosen on the other records. A TPR is empty where fewer than 1 / FPR non-members
    are planted; its Clopper-Pearson interval takes the threshold as given. Shapes: scores
    (calibrated) and judged by attack [T, S], member [T, S].
    """
    out: dict[str, float | None] = {}
    for name, score in scores.items():
        on = judged[name] & (kinds > 0)
        if not (on & member).any() or not (on & ~member).any():
            continue
        found: dict[str, float | None] = {"auc": metrics.auc(score[on], member[on])}
        for fpr in metrics.RATES:
            found |= metrics.cells(f"tpr_at_fpr_{fpr}", tpr(score[on], member[on], fpr))
        for attack in (name, *[""] * (name == worst)):
            out |= {columns.canary(column, attack): value for column, value in found.items()}
    return out


def tpr(score: Array, member: Array, fpr: float) -> metrics.Rate | None:
    """The largest TPR at an FPR of at most `fpr`; None where a single false positive is more
    than that.
    """
    outside = np.sort(score[~member])[::-1]
    allowed = int(fpr * len(outside) + 1e-9)
    if not allowed:
        return None
    hits, of = (
        int((score[member] > outside[allowed]).sum())
        if allowed < len(outside)
        else int(member.sum()),
        int(member.sum()),
    )
    return metrics.Rate(hits / of, *metrics.clopper_pearson(hits, of))
