"""How the page writes numbers, measures and points."""

from collections.abc import Mapping
from typing import Any

from raymia.point import columns
from raymia.point.objectives import ACCURACY, AUC, CANARY, EPSILON, TPR, upper
from raymia.point.point import strength
from raymia.results.row import Row
from raymia.verdict.metrics import Rate

MEASURES = {
    ACCURACY.column: "accuracy",
    AUC.column: "attack AUC",
    TPR.column: "TPR at FPR 1%",
    "max_tpr_at_fpr_0.001": "TPR at FPR 0.1%",
    "advantage": "advantage",
    CANARY: "canary TPR at FPR 1%",
    columns.canary("auc"): "canary AUC",
    EPSILON: "lower bound of epsilon",
}


def measure(name: str) -> str:
    return MEASURES.get(name, name.replace("_", " "))


def arm(defense: str) -> str:
    """`no defense`, or the parts of the recipe."""
    return "no defense" if defense == "none" else defense.replace("+", " + ")


def named(row: Row) -> str:
    """`mmd weight=1.73`; of several parts `srcm d=1 r1=10 + relaxloss alpha=0.5`."""
    if row.defense == "none":
        return arm(row.defense)
    own = {
        part: strength({k: v for k, v in row.knobs.items() if k.startswith(f"{part}.")})
        for part in row.defense.split("+")
    }
    return " + ".join(f"{part} {at}".strip() for part, at in own.items())


def number(value: float | None, digits: int = 3) -> str:
    return "" if value is None else f"{round(value, digits) or 0.0:.{digits}f}"


def interval(numbers: Mapping[str, Any], name: str) -> str:
    """`0.612 (0.590 to 0.634)`; empty where unknown."""
    value, low, high = (numbers.get(column) for column in columns.with_ends(name))
    if value is None or low is None or high is None:
        return number(value)
    return f"{value:.3f} ({low:.3f} to {high:.3f})"


def rate(one: Rate | None) -> str:
    """The same of a rate."""
    return "" if one is None else interval({"": one.value, "_lo": one.lo, "_hi": one.hi}, "")


def highest(numbers: Mapping[str, Any], name: str) -> float | None:
    """The largest that a measure may be: what a gate goes by where it is known, else the upper
    end of its interval, else the number itself.
    """
    ends = (upper(name), columns.ends(name)[1], name)
    known = (value for end in ends if (value := numbers.get(end)) is not None)
    return next(known, None)
