"""Several runs of a point as one, where a sweep asks for them (`search.repeats`)."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from raymia.point import columns
from raymia.point.objectives import ACCURACY, PRIVACY, upper
from raymia.results.row import Row
from raymia.verdict.metrics import spread_interval

SAID = (
    "Of a point’s several runs (search.repeats) the page shows the mean, by the number of the "
    "first; brackets and bars are 95% t intervals over the runs, and “at most” is their upper "
    "end. What is read from signals is of the first run. The CSVs, and the table of all trials, "
    "have each run for itself."
)


def asked(sweep: str) -> bool:
    """Whether the text of a sweep file asks for several runs of each point."""
    found = re.search(r"^[^#\n]*\brepeats:\s*(\d+)", sweep, re.MULTILINE)
    return found is not None and int(found[1]) > 1


def together(rows: Sequence[Row]) -> dict[int, list[Row]]:
    """The finished runs of each point by the number of the first; what is not done is alone."""
    first: dict[object, int] = {}
    found: dict[int, list[Row]] = {}
    for row in rows:
        knobs = tuple(sorted((k, repr(v)) for k, v in row.knobs.items()))
        point: object = (row.dataset, row.network, row.defense, knobs)
        if row.state != "done":
            point = row.trial
        found.setdefault(first.setdefault(point, row.trial), []).append(row)
    return found


def mean(runs: Sequence[Row]) -> Row:
    """The first run with the means of all: intervals are over the runs, of accuracy and what is
    searched by; others are left out, since a mean of ends is no end.
    """
    if len(runs) == 1:
        return runs[0]
    names = dict.fromkeys(name for row in runs for name in row.numbers)
    judged = [name for name in (ACCURACY.column, *PRIVACY) if name in names]
    left = {end for name in names for end in (*columns.ends(name), upper(name))}
    known = {n: [v for row in runs if (v := row.numbers.get(n)) is not None] for n in names}
    numbers: dict[str, float | None] = {
        name: sum(values) / len(values) if values else None
        for name, values in known.items()
        if name not in left
    }
    for name in judged:
        low, high = spread_interval(known[name]) or (None, None)
        numbers |= columns.interval(name, numbers[name], low, high)
    notes = list(dict.fromkeys(note for row in runs for note in row.notes))
    worst = max((row.worst_attack for row in runs), key=lambda a: numbers.get(columns.auc(a)) or 0)
    return replace(runs[0], numbers=numbers, notes=notes, worst_attack=worst)


def confirmed(runs: Mapping[int, Sequence[Row]], again: Mapping[str, Row]) -> dict[str, Row]:
    """What was confirmed of any run of a point stands for the point."""
    found = dict(again)
    for mine in runs.values():
        known = [again[row.digest] for row in mine if row.digest in again]
        if known:
            found[mine[0].digest] = known[0]
    return found
