"""What a run says while it goes: a live picture on a terminal, one plain line a trial anywhere
else. All on stderr.
"""

import sys
import time
from collections.abc import Iterable
from typing import Any, cast

from raymia.cluster.aside import SCREEN
from raymia.point.objectives import COLUMNS
from raymia.point.point import Point, strength
from raymia.results.row import Row, best
from raymia.verdict import learning

_FRONT_LINES = 8
_BAD = ("failed", "invalid")
_BAD_LINES = 10
_EVERY = 0.5  # seconds between two live pictures


class Progress:
    """Counts trials and says so. `start` begins the clock; rows that were there before count as
    done, not as speed.
    """

    def __init__(self) -> None:
        from rich.console import Console

        plain = not sys.stderr.isatty()
        self._console = Console(file=cast(Any, SCREEN), soft_wrap=plain, highlight=False)
        self._live: Any = None
        self._rows: dict[int, Row] = {}
        self._running: dict[int, str] = {}
        self._total = self._fresh = 0
        self._started = self._drawn = time.monotonic()

    def say(self, text: str, style: str = "") -> None:
        """One line, now."""
        self._console.print(text, markup=False, style=style)

    def start(self, total: int, rows: dict[int, Row]) -> None:
        """`rows`: trial -> the row that is there already."""
        self._total, self._rows, self._started = total, dict(rows), time.monotonic()
        if rows:
            self.say(f"{len(rows)} of {total} trials are there already")
        if self._console.is_terminal:
            from rich.live import Live

            self._live = Live(
                console=self._console,
                auto_refresh=False,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()

    def running(self, trial: int, point: Point) -> None:
        self._running[trial] = describe(point.defense, point.knobs)

    def finished(self, row: Row) -> None:
        """The row is written."""
        self._running.pop(row.trial, None)
        self._rows[row.trial] = row
        self._fresh += 1
        if self._live is None or row.state in _BAD:
            self.say(f"{line(row)}  [{self._counts()}]")
        self.tick(force=True)

    def tick(self, force: bool = False) -> None:
        """Draw the live picture again, now and then."""
        now = time.monotonic()
        if self._live is not None and (force or now - self._drawn > _EVERY):
            self._drawn = now
            self._live.update(self._picture(), refresh=True)

    def stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _counts(self) -> str:
        failed = sum(row.state in _BAD for row in self._rows.values())
        out = [f"{len(self._rows)}/{self._total}"]
        out += [f"{failed} failed"] if failed else []
        remaining = self._total - len(self._rows)
        if self._fresh and remaining:
            out.append(
                f"about {_span((time.monotonic() - self._started) / self._fresh * remaining)} left"
            )
        return ", ".join(out)

    def _picture(self) -> Any:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        front = best(list(self._rows.values()))[:_FRONT_LINES]
        measures = front[0].measures if front else COLUMNS
        table = Table("best so far", *measures, box=None, pad_edge=False)
        for row in front:
            table.add_row(
                Text(describe(row.defense, row.knobs)), *(_number(row, name) for name in measures)
            )
        running = [
            Text(f"  {trial}: {what}", overflow="ellipsis", no_wrap=True)
            for trial, what in self._running.items()
        ]
        head = (
            f"trials {self._counts()}, {len(self._running)} running, "
            f"{_span(time.monotonic() - self._started)} so far"
        )
        return Group(Text(head), *running, table)


def without_numbers(rows: Iterable[Row], command: str) -> list[str]:
    """What must be said at the end of the trials that have no numbers: which, why, and what runs
    the failed ones again.
    """
    bad = sorted((row for row in rows if row.state in _BAD), key=lambda row: row.trial)
    if not bad:
        return []
    lines = [f"{len(bad)} trials have no numbers:", *(f"  {line(row)}" for row in bad[:_BAD_LINES])]
    if len(bad) > _BAD_LINES:
        lines.append(f"  and {len(bad) - _BAD_LINES} more; trials.csv has them all")
    if any(row.state == "failed" for row in bad):
        lines.append(f"failed ones run again by: {command} --retry-failed")
    return lines


def describe(defense: str, knobs: Any) -> str:
    """`relaxloss alpha=0.52`"""
    return f"{defense} {strength(knobs)}".strip()


def line(row: Row) -> str:
    """One trial for a log."""
    what = f"trial {row.trial} {row.state}: {describe(row.defense, row.knobs)}"
    if row.state != "done":
        return f"{what}: {row.reason}"
    accuracy, auc = (_number(row, name) for name in COLUMNS)
    more = [f"{name} {_number(row, name)}, " for name in row.measures if name not in COLUMNS]
    useless = learning.note(row.numbers)
    return (
        f"{what}: accuracy {accuracy}, AUC {auc} ({row.worst_attack}), {''.join(more)}"
        f"{_span(row.timing.get('total', 0.0))}" + (f"; {useless}" if useless else "")
    )


def _number(row: Row, name: str) -> str:
    value = row.numbers.get(name)
    return "" if value is None else f"{value:.3f}"


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
