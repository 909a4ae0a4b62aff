"""The live picture of a run: bars for the trials, and inside each for its models and epochs."""

from collections.abc import Mapping, Sequence
from typing import Any

from raymia.pace import Stand
from raymia.point.objectives import COLUMNS
from raymia.point.point import strength
from raymia.results.row import Row

FRONT_LINES = 8
_RUNNING_LINES = 12
_WIDTH = 20  # of a bar


def picture(
    head: str,
    done: int,
    total: int,
    running: Mapping[int, str],
    stands: Mapping[int, Stand],
    front: Sequence[Row],
) -> Any:
    """What rich draws. `running`: what each trial is; `stands`: how far it is, where it said so."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    top = Table.grid(padding=(0, 1))
    top.add_row(ProgressBar(max(1, total), done, width=_WIDTH), Text(head))
    bars = Table.grid(padding=(0, 1))
    for column in ({}, {"ratio": 1, "overflow": "ellipsis"}, {}):
        bars.add_column(no_wrap=True, **column)  # type: ignore[arg-type]
    for trial, what in list(running.items())[:_RUNNING_LINES]:
        stand = stands.get(trial)
        bar = ProgressBar(1.0, stand.share, width=_WIDTH) if stand else Text(" " * _WIDTH)
        bars.add_row(bar, Text(f"{trial}: {what}"), Text(str(stand or "begins")))
    more = len(running) - _RUNNING_LINES
    rest = [Text(f"and {more} more")] if more > 0 else []
    return Group(top, bars, *rest, *([_best(front)] if front else []))


def _best(front: Sequence[Row]) -> Any:
    from rich.table import Table
    from rich.text import Text

    measures = front[0].measures
    table = Table("best so far", *measures, box=None, pad_edge=False)
    for row in front[:FRONT_LINES]:
        numbers = (number(row, name) for name in measures)
        table.add_row(Text(describe(row.defense, row.knobs)), *numbers)
    return table


def describe(defense: str, knobs: Any) -> str:
    """`relaxloss alpha=0.52`"""
    return f"{defense} {strength(knobs)}".strip()


def number(row: Row, name: str) -> str:
    value = row.numbers.get(name)
    return "" if value is None else f"{value:.3f}"


def summary(row: Row) -> dict[str, float | None]:
    """The numbers that a trial is judged by, by column."""
    return {name: row.numbers.get(name) for name in dict.fromkeys((*COLUMNS, *row.measures))}
