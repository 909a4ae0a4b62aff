"""The points that no other beats on accuracy and leakage, and questions about them. Reads CSVs
alone; takes no lock.
"""

import csv
import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from raymia.errors import EnvironmentFault, SweepError
from raymia.point import columns
from raymia.point.catalog import suggest
from raymia.point.objectives import COLUMNS
from raymia.results.folder import Folder
from raymia.results.location import Location
from raymia.verdict import front as fronts
from raymia.verdict import learning
from raymia.verdict.learning import Cells

ACCURACY, AUC = COLUMNS
SHOWN = (".3g", ".4g", ".3f")  # how tables write knobs, budgets, and rates


class Written(NamedTuple):
    """The columns of a CSV in order, and the cells of its lines as they are written."""

    names: list[str]
    rows: list[list[str]]


class Table(NamedTuple):
    """The columns of a CSV in order, and its lines by column. No data frame: to import pandas
    takes as long as all else that a query does.
    """

    names: Sequence[str]
    lines: Sequence[Cells]


class Line(Mapping[str, Any]):
    """The cells of a line, typed when they are asked for: of 180 columns a query reads a dozen."""

    def __init__(self, names: Sequence[str], column: Callable[[str], Sequence[Any]], place: int):
        self._names, self._column, self._place = names, column, place

    def __getitem__(self, name: str) -> Any:
        return self._column(name)[self._place]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def front(lines: Sequence[Cells], minimise: str = AUC) -> list[int]:
    """The places of the lines that no other beats on accuracy and on the number to minimise, most
    accurate first; of equal ones that of the first trial.

    Only lines whose state is `done` and that have both numbers, finite, can stand on it, and of
    those the ones that are more accurate than a constant answer.
    """
    order, able = in_order(lines), eligible(lines, minimise)
    return [order[i] for i in fronts.front([able[i] for i in order])]


def in_order(lines: Sequence[Cells]) -> list[int]:
    """All places, by trial."""
    return sorted(range(len(lines)), key=lambda i: lines[i]["trial"])


def eligible(lines: Sequence[Cells], minimise: str = AUC) -> list[tuple[float, float]]:
    """Accuracy and the number to minimise of the lines that can stand on a front; of others NaN."""
    found = []
    for line in lines:
        cells = {name: number(line.get(name)) for name in (ACCURACY, minimise, learning.MAJORITY)}
        able = line.get("state", "done") == "done" and not learning.useless(cells)
        found.append((cells[ACCURACY], cells[minimise]) if able else (math.nan, math.nan))
    return found


def number(cell: Any) -> float:
    """A cell as a number; NaN where it is none."""
    try:
        return float(cell)
    except (TypeError, ValueError):
        return math.nan


def objective(trials: Table) -> str:
    """What the sweep of these trials weighs the accuracy against."""
    return next((str(line["objective"]) for line in trials.lines if line.get("objective")), AUC)


def read(folder: Path | str | Location) -> Table:
    """`trials.csv`, with the `confirmed_*` columns of `pareto.csv` where there are any; unknown
    cells are None.

    Raises SweepError where the folder has no `trials.csv`, EnvironmentFault where it does not
    parse.
    """
    return typed(written(folder))


def written(folder: Path | str | Location) -> Written:
    """The same as `read`, with the cells as they are written, unknown ones empty. Same errors."""
    kept = Folder(folder)
    table = _table(kept, "trials.csv")
    if table is None:
        there = kept.storage.names("trials")
        cure = f"`raymia report {folder}` rebuilds it" if there else "is it a results folder?"
        raise SweepError(f"{folder} has no trials.csv: {cure}")
    best = _table(kept, "pareto.csv") or Written([], [])
    places = [i for i, name in enumerate(best.names) if name.startswith(columns.CONFIRMED)]
    if not places:
        return table
    by, of = best.names.index("digest"), table.names.index("digest")
    found = {row[by]: [row[i] for i in places] for row in best.rows}
    unknown = [""] * len(places)
    rows = [row + found.get(row[of], unknown) for row in table.rows]
    return Written(table.names + [best.names[i] for i in places], rows)


def attacks(folder: Path | str | Location) -> Table:
    """`attacks.csv`. Raises SweepError where the folder has none."""
    found = _table(Folder(folder), "attacks.csv")
    if found is None:
        raise SweepError(f"{folder} has no attacks.csv: `raymia report {folder}` rebuilds it")
    return typed(found)


def left_out(folder: Path | str | Location, shown: int) -> str:
    """A sentence where there are more trials than the CSVs show; empty where there are not."""
    names = Folder(folder).storage.names("trials")
    files = {name.partition(".")[0] for name in names if name.endswith(".json")}
    absent = len(files) - shown
    if absent <= 0:
        return ""
    return (
        f"{absent} of the {len(files)} trials of {folder} are not in its CSVs: `raymia report "
        f"{folder}` says why"
    )


def _table(folder: Folder, name: str) -> Written | None:
    try:
        text = folder.table(name)
        if text is None:
            return None
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
        if len({len(row) for row in rows}) != 1:
            raise ValueError("it is empty, or its lines are not equally long")
    except (ValueError, csv.Error) as error:  # a torn file
        raise EnvironmentFault(
            f"{folder.path / name} cannot be read ({error}); `raymia report {folder.path}` "
            "rebuilds it"
        ) from None
    return Written(rows[0], rows[1:])


def typed(cells: Written) -> Table:
    """Written cells as numbers, truth values and texts, unknown ones None. The type of a column is
    that of all its cells.
    """
    texts = dict(zip(cells.names, zip(*cells.rows, strict=True), strict=False))

    @cache
    def column(name: str) -> Sequence[Any]:
        known = None if name in columns.TEXT else _meaning({*texts[name]} - {""})
        return [cell or None if known is None else known.get(cell) for cell in texts[name]]

    return Table(cells.names, [Line(cells.names, column, i) for i in range(len(cells.rows))])


def _meaning(cells: set[str]) -> dict[str, Any] | None:
    """Of all known cells of a column, what each means; None where they are texts."""
    letters = "".join(cells)
    with suppress(ValueError):
        numbers: dict[str, Any] = {cell: float(cell) for cell in cells}
        if letters.isascii() and not any(one in letters for one in "_nN"):  # no 1_000, no nan
            whole = not any(one in letters for one in ".eE")
            return {cell: int(cell) for cell in cells} if whole else numbers
    if {cell.lower() for cell in cells} <= {"true", "false"}:
        return {cell: cell.lower() == "true" for cell in cells}
    return None


def query(
    source: Table | Path | str | Location,
    max_auc: float | None = None,
    min_accuracy: float | None = None,
    where: Mapping[str, Any] | None = None,
    metric: str | None = None,
    every: bool = False,
) -> list[int]:
    """The places of the points of the front that satisfy every condition, best accuracy first;
    with `every` of all trials that do, in order, those without numbers included.

    `metric` replaces what the sweep is searched by (the maximum AUC over attacks) by another
    column (`auc.lira`, or `lira` for short) and draws the front anew; `max_auc` then bounds that
    column. `where` keeps those whose cells have these values, exactly or as the tables show them.
    Raises SweepError naming a column that is not there or cannot be a metric, and the nearest
    one; on a bound that is NaN.
    """
    for name, bound in (("max_auc", max_auc), ("min_accuracy", min_accuracy)):
        if bound is not None and math.isnan(bound):
            raise SweepError(f"{name}: got nan; a number is allowed")
    trials = source if isinstance(source, Table) else read(source)
    metric, lines = _metric(trials, objective(trials) if metric is None else metric), trials.lines
    best = in_order(lines) if every else front(lines, metric)
    if max_auc is not None:
        best = [i for i in best if number(lines[i][metric]) <= max_auc]
    if min_accuracy is not None:
        best = [i for i in best if number(lines[i][ACCURACY]) >= min_accuracy]
    for name, value in (where or {}).items():
        _column(trials, name, name)
        best = [i for i in best if _holds(lines[i][name], value)]
    return best


def _metric(trials: Table, given: str) -> str:
    """The column that `given` names. Raises SweepError where no front can be drawn with it."""
    name = _column(trials, columns.full(given, trials.names), given)
    # empty where no trial has finished: then no point is on the front, and nothing is wrong
    if name == objective(trials):
        return name
    if name == ACCURACY:
        problem = "is what the metric is weighed against"
    elif all(line[name] is None for line in trials.lines):
        problem = "is empty in every trial"
    elif not _numeric(trials, name):
        problem = "does not hold numbers"
    else:
        return name
    able = [
        other
        for other in trials.names
        if not other.startswith(ACCURACY) and _numeric(trials, other)
    ]
    raise SweepError(f"metric: column {name!r} {problem}; {suggest(given, able)}")


def _numeric(trials: Table, name: str) -> bool:
    """Whether the cells of a column that are known are numbers, and some are."""
    known = [line[name] for line in trials.lines if line[name] is not None]
    return bool(known) and all(map(counts, known))


def counts(cell: Any) -> bool:
    """Whether a cell holds a number."""
    return isinstance(cell, int | float) and not isinstance(cell, bool)


def _column(trials: Table, name: str, given: str) -> str:
    if name in trials.names:
        return name
    raise SweepError(f"there is no column {given!r}; {suggest(given, trials.names)}")


def _holds(cell: Any, value: Any) -> bool:
    """Whether a cell holds `value`, which may be written as text: numbers are compared as numbers,
    and equal what the tables show of them (2.73 is 2.7319); empty cells equal ''.
    """
    empty = value is None or value == ""
    if empty or cell is None:
        return empty and cell is None
    if counts(cell):
        wanted = number(value)
        shown = (float(f"{cell:{how}}") for how in SHOWN if isinstance(cell, float))
        return wanted == float(cell) or wanted in shown
    text, word = columns.word(value), columns.word(cell)
    if text.lower() in ("true", "false"):  # in Python's spelling too
        text, word = text.lower(), word.lower()
    return word in (text, f"'{text}")  # as it stands before what could be taken for a formula
