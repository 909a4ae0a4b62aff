"""What a run says while it goes: a live picture on a terminal, one plain line a trial anywhere
else, or one JSON object a line. All on stderr.
"""

import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, cast

from raymia.cluster.aside import SCREEN
from raymia.cluster.picture import describe, number, picture, summary
from raymia.errors import RaymiaError
from raymia.errors import line as one_line
from raymia.pace import Stand
from raymia.point.objectives import COLUMNS
from raymia.point.point import Point
from raymia.results.row import Row, best
from raymia.verdict import learning

_BAD = ("failed", "invalid")
_BAD_LINES = 10
_EVERY = 0.5  # seconds between two live pictures


class Progress:
    """Counts trials and says so. `start` begins the clock; rows that were there before count as
    done, not as speed.

    `quiet`: failures and what must be seen alone. `verbose`: also where each trial stands.
    `form`: `text` or `json`. `one`: what is counted. `look`: where the running trials stand, by
    trial; whoever knows sets it.
    """

    def __init__(self, quiet: bool = False, verbose: bool = False, form: str = "text") -> None:
        from rich.console import Console

        on = sys.stderr.isatty()
        self._console = Console(
            file=cast(Any, SCREEN), force_terminal=on, soft_wrap=not on, highlight=False
        )
        self._quiet, self._verbose, self._json = quiet, verbose, form == "json"
        if self._json:
            SCREEN.form = lambda text: self._object("warning", {"text": text})
        live = self._console.is_terminal and not self._console.is_dumb_terminal
        self._draws = live and not quiet and not self._json
        self._live: Any = None
        self.one = "trial"
        self.look: Callable[[], Mapping[int, Stand]] = dict
        self._rows: dict[int, Row] = {}
        self._running: dict[int, str] = {}
        self._stood: Mapping[int, Stand] = {}
        self._total = self._fresh = 0
        self._started = self._drawn = time.monotonic()

    @property
    def looks(self) -> bool:
        """Whether where the running trials stand is shown at all."""
        return self._draws or (self._verbose and not self._quiet)

    def say(self, text: str, style: str = "") -> None:
        """One line, now."""
        self._tell("note", text, {"text": text}, style=style)

    def warn(self, text: str) -> None:
        """One line that must be seen; nothing where there is nothing to say."""
        if text:
            self._tell("warning", text, {"text": text}, loud=True, style="red")

    def start(self, total: int, rows: Mapping[int, Row], one: str = "trial") -> None:
        """`rows`: trial -> the row that is there already."""
        self.one, self._total, self._fresh = one, total, 0
        self._rows, self._started = dict(rows), time.monotonic()
        there = f"{len(rows)} of {total} {one}s are there already" if rows else ""
        self._tell("begin", there, {"one": one, "total": total, "done": len(rows)})
        if self._draws:
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
        what = self._running[trial] = describe(point.defense, point.knobs)
        facts = {"trial": trial, "defense": point.defense, "knobs": dict(point.knobs)}
        said = f"{self.one} {trial} begins: {what}" if self._verbose else ""
        self._tell("running", said, facts)

    def finished(self, row: Row) -> None:
        """The row is written."""
        self._running.pop(row.trial, None)
        self._rows[row.trial] = row
        self._fresh += 1
        bad = row.state in _BAD
        said = "" if self._live and not bad and not self._verbose else line(row, self.one)
        self._tell(
            "finished",
            said and f"{said}  [{self._counts()}]",
            {
                "trial": row.trial,
                "state": row.state,
                "reason": row.reason,
                "defense": row.defense,
                "knobs": dict(row.knobs),
                "numbers": summary(row),
                "worst_attack": row.worst_attack,
                "seconds": row.timing.get("total"),
                "done": len(self._rows),
                "failed": self._failed(),
                "total": self._total,
            },
            loud=bad,
        )
        self.tick(force=True)

    def tick(self, force: bool = False) -> None:
        """Look where the trials stand and draw the picture again, now and then."""
        now = time.monotonic()
        if self.looks and (force or now - self._drawn > _EVERY):
            self._drawn = now
            stands = self.look()
            if self._verbose:
                self._say_what_moved(stands)
            if self._live is not None:
                self._live.update(self._picture(stands), refresh=True)

    def _say_what_moved(self, stands: Mapping[int, Stand]) -> None:
        for trial, stand in stands.items():
            was = self._stood.get(trial)
            if was is None or (was.stage, was.done) != (stand.stage, stand.done):
                what = f"{self.one} {trial}: {stand}"
                self._tell("stands", what, {"trial": trial, **asdict(stand)})
        self._stood = stands

    def stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def end(self, code: int) -> None:
        """The last word, for those who read objects."""
        self._tell("end", "", {"exit_code": code}, loud=True)

    def refused(self, error: RaymiaError) -> None:
        """What ended it, for those who read objects."""
        self._tell("error", "", {"text": one_line(str(error))}, loud=True)
        self.end(error.exit_code)

    @property
    def objects(self) -> bool:
        return self._json

    def _tell(
        self,
        event: str,
        said: str,
        facts: Mapping[str, Any],
        *,
        loud: bool = False,
        style: str = "",
    ) -> None:
        """`said` is for people, and nothing where it is empty; `facts` for programs."""
        if self._quiet and not loud:
            return
        if self._json:
            SCREEN.write(f"{self._object(event, facts)}\n")
            SCREEN.flush()
        elif said:
            self._console.print(said, markup=False, style=style)

    @staticmethod
    def _object(event: str, facts: Mapping[str, Any]) -> str:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        return json.dumps({"time": now, "event": event, **facts}, allow_nan=False)

    def _failed(self) -> int:
        return sum(row.state in _BAD for row in self._rows.values())

    def _counts(self) -> str:
        failed = self._failed()
        out = [f"{len(self._rows)}/{self._total}"]
        out += [f"{failed} failed"] if failed else []
        remaining = self._total - len(self._rows)
        if self._fresh and remaining:
            out.append(
                f"about {_span((time.monotonic() - self._started) / self._fresh * remaining)} left"
            )
        return ", ".join(out)

    def _picture(self, stands: Mapping[int, Stand]) -> Any:
        """Draws are all handed out at once: those run that say where they stand."""
        at = self._running.items()
        run = {i: what for i, what in at if self.one == "trial" or i in stands}
        so_far = _span(time.monotonic() - self._started)
        head = f"{self.one}s {self._counts()}, {len(run)} running, {so_far} so far"
        # the best of draws would be their luck, which `confirm` is there to take away
        front = best(list(self._rows.values())) if self.one == "trial" else []
        return picture(head, len(self._rows), self._total, run, stands, front)


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


def line(row: Row, one: str = "trial") -> str:
    """One trial for a log."""
    what = f"{one} {row.trial} {row.state}: {describe(row.defense, row.knobs)}"
    if row.state != "done":
        return f"{what}: {row.reason}"
    accuracy, auc = (number(row, name) for name in COLUMNS)
    more = [f"{name} {number(row, name)}, " for name in row.measures if name not in COLUMNS]
    useless = learning.note(row.numbers)
    return (
        f"{what}: accuracy {accuracy}, AUC {auc} ({row.worst_attack}), {''.join(more)}"
        f"{_span(row.timing.get('total', 0.0))}" + (f"; {useless}" if useless else "")
    )


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
