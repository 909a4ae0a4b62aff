"""Several runs of one point as one line: the mean, and how far the runs are apart."""

from collections import Counter
from collections.abc import Callable, Collection
from functools import cache

import numpy as np

from raymia.point import columns
from raymia.point.objectives import ACCURACY, PRIVACY
from raymia.report.query import Table, counts, in_order
from raymia.verdict.learning import Cells
from raymia.verdict.metrics import spread_interval

RUNS, SD = "runs", "_sd"
# the columns that say which run it is
_OF_A_RUN = ("digest", "signals", "reason", "notes", "worst_attack")


def repeated(trials: Table, shown: Collection[int]) -> bool:
    """Whether a point that is shown, by its places, has several finished runs."""
    point = _point(trials)
    runs = Counter(point(line) for line in trials.lines if line["state"] == "done")
    own = (trials.lines[i] for i in shown)
    return any(line["state"] == "done" and runs[point(line)] > 1 for line in own)


def means(trials: Table) -> Table:
    """One line a point, by its first trial: `runs`, and means over the finished ones. What is
    searched by has its standard deviation beside it (`test_accuracy_sd`, ddof 1), and the t
    interval over the runs in place of one over records; other intervals are left out, since a mean
    of ends is no end. Lines of a single run stay as they are, lines that are not done go.
    """
    point, points = _point(trials), dict[object, list[Cells]]()
    for line in (trials.lines[i] for i in in_order(trials.lines)):
        if line["state"] == "done":
            points.setdefault(point(line), []).append(line)
    judged = [name for name in (ACCURACY.column, *PRIVACY) if name in trials.names]
    ends = {end for name in trials.names for end in columns.ends(name)}
    lines = []
    for runs in points.values():
        line = {**runs[0], RUNS: len(runs)}
        if len(runs) > 1:
            for name in set(trials.names) - {"trial"}:
                if known := [run[name] for run in runs if counts(run[name])]:
                    line[name] = None if name in ends else float(np.mean(known))
            line |= {name: "" for name in _OF_A_RUN if name in line}
            for name in judged:
                each, (low, high) = [run[name] for run in runs], columns.ends(name)
                if low in line and None not in each:
                    line[low], line[high] = spread_interval(each) or (None, None)
        for name in judged:
            known = [run[name] for run in runs if run[name] is not None]
            line[f"{name}{SD}"] = float(np.std(known, ddof=1)) if len(known) > 1 else None
        lines.append(line)
    names = [*trials.names, RUNS, *(f"{name}{SD}" for name in judged)]
    for name in names:  # the mean of whole numbers is none
        if {type(line[name]) for line in lines} == {int, float}:
            for line in lines:
                line[name] = float(line[name])
    return Table(names, lines)


def _point(trials: Table) -> Callable[[Cells], tuple[object, ...]]:
    """What says of a line which point it is of."""

    @cache
    def names(defense: str | None) -> list[str]:
        parts = {"dataset", "network", "defense", *(defense or "").split("+")}
        return [name for name in trials.names if name.partition(".")[0] in parts]

    return lambda line: tuple(line[name] for name in names(line["defense"]))
