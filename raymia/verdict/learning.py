"""Whether a network learned anything: against the classifier that always says the most frequent
class.

Everybody has that classifier for free: its test accuracy is the share of that class, and it
tells nothing about its members (AUC 0.5). A point that is not more accurate is no use, however
private it is.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from raymia.point.objectives import ACCURACY
from raymia.verdict.maximum import accuracy_interval

MAJORITY, LEARNED, TRAIN = "majority", "learned", "train_accuracy"
LEVEL = 0.98  # two-sided: one end of the interval is a bound at 99%

Array = np.ndarray[Any, Any]
Cells = Mapping[str, Any]  # column of trials.csv -> value


def numbers(label: Array, right: Array, member: Array, judged: Array) -> dict[str, float]:
    """`majority`, the share of the most frequent class among the judged non-members, and
    `learned`, 1 where the train accuracy is above it (one-sided 99%), else 0.

    Means over targets. Shapes: label [S]; right, member and judged [T, S].
    """
    outside = judged & ~member
    shares = [np.bincount(label[on]).max() / on.sum() for on in outside]
    majority = float(np.mean(shares))
    train = accuracy_interval(right, judged & member, LEVEL).rate
    return {MAJORITY: majority, LEARNED: float(train.lo is not None and train.lo > majority)}


def useless(cells: Cells) -> bool:
    """Whether a finished trial is not more accurate than the most frequent class is frequent.
    False where one of the two is unknown.
    """
    accuracy, majority = cells.get(ACCURACY.column), cells.get(MAJORITY)
    return accuracy is not None and majority is not None and accuracy <= majority


def note(cells: Cells) -> str:
    """Why a row cannot stand on the front; empty where it can."""
    if not useless(cells):
        return ""
    return (
        f"not on the front: its test accuracy, {cells[ACCURACY.column]:.3f}, is not above the "
        f"share of the most frequent class, {cells[MAJORITY]:.3f}"
    )


def warning(trials: Iterable[Cells]) -> str:
    """What must be said before anything else of the trials of a sweep, in one or two sentences;
    empty where their networks learned.

    It is of the undefended trials where there are some that finished, else of all.
    """
    done = [t for t in trials if t.get("state") == "done" and t.get(LEARNED) is not None]
    bare = [t for t in done if t["defense"] == "none"]
    who = "the undefended network" if bare else "no network of this sweep"
    asked = bare or done
    if not asked or any(t[LEARNED] and not useless(t) for t in asked):
        return ""
    best = max(asked, key=lambda t: t[TRAIN])
    train, test, majority = best[TRAIN], best[ACCURACY.column], best[MAJORITY]
    if not best[LEARNED]:
        did = "did not learn" if bare else "learned"
        return (
            f"{who} {did}: its train accuracy, {train:.3f}, is not above the share of the most "
            f"frequent class, {majority:.3f}. No number below says anything about a defense. Bring "
            "the features to one scale, or change training.lr, training.optimizer or "
            "training.epochs, until it learns."
        )
    did = "learned nothing" if bare else "learned anything"
    return (
        f"{who} {did} that holds for other records: train accuracy {train:.3f}, test accuracy "
        f"{test:.3f}, most frequent class {majority:.3f}. A constant answer is as useful and tells "
        "nobody's membership. Look at the labels first: are they those of these records?"
    )
