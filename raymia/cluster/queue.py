"""What a run has to do and what it has done. All of it is read from the results folder; nothing
else is remembered.
"""

from dataclasses import replace

from raymia.point.point import Point
from raymia.records.account import account
from raymia.records.data import Data
from raymia.results.folder import Folder
from raymia.results.row import Row
from raymia.search.suggest import Outcome, Suggestion, Suggestions, locate
from raymia.study.sweep import Sweep, dump


class Agenda:
    """The trials of one sweep in one folder.

    `pending` are those still to be handed out, `rows` those that are written (trial -> its
    newest row). The search goes by the first row of every point, so that filling in a failed
    one changes no suggestion. Raises EnvironmentFault where a file of the folder does not
    verify, or is of no arm of the sweep.
    """

    def __init__(
        self, sweep: Sweep, folder: Folder, data: Data, retry_failed: bool = False
    ) -> None:
        self.sweep, self.folder, self.data = sweep, folder, data
        self._points: dict[int, Point] = {}
        first = {row.digest: row for row in folder.first_rows()}
        newest = {row.digest: row for row in folder.rows()}
        known = {
            row.trial: self._suggestion(row)
            for row in first.values()
            if row.trial < sweep.search.trials
        }
        self._suggestions = Suggestions(sweep, known)
        # A row of a point that is spelled differently now (other attacks, more models) gives
        # its knobs and no outcome.
        digests = {
            index: self._place(index, suggestion).digest() for index, suggestion in known.items()
        }
        self._digests = set(digests.values())
        self._outcomes = {
            i: Outcome.of(first[digest]) for i, digest in digests.items() if digest in first
        }
        self.rows: dict[int, Row] = {i: _slim(newest[digests[i]]) for i in self._outcomes}
        self._again = {i for i, row in self.rows.items() if retry_failed and row.state == "failed"}
        missing = [i for i in range(sweep.search.trials) if i not in self.rows]
        self.pending = sorted(self._again) + missing
        self._unfinished = set(self.pending)
        self.begun = False

    def begin(self) -> None:
        """From now on the folder is this sweep's: a run that is refused before leaves nothing
        behind.
        """
        self.folder.write_sweep(dump(self.sweep.resolved()))
        self.folder.write_json("account.json", account(self.data))
        self.begun = True

    def _suggestion(self, row: Row) -> Suggestion:
        point = row.as_point
        arm, knobs = locate(self.sweep, point.recipe)
        return Suggestion(arm, knobs, point.replicate)

    def _place(self, index: int, suggestion: Suggestion) -> Point:
        point = self.sweep.point(suggestion.arm, suggestion.knobs, suggestion.replicate, self.data)
        self._points[index] = point
        return point

    def next(self) -> int | None:
        """The trial to start now; None where it has to wait for another's row."""
        index = self.pending[0]
        if index not in self._points:
            if not self._suggestions.ready(index, self._outcomes):
                return None
            self._digests.add(
                self._place(index, self._suggestions.suggest(index, self._outcomes)).digest()
            )
        return self.pending.pop(0)

    def again(self, index: int) -> None:
        """A trial that was handed out is to be handed out once more."""
        self.pending.insert(0, index)

    def point(self, index: int) -> Point:
        """The point of a trial that has been handed out."""
        return self._points[index]

    def finish(self, row: Row) -> Row:
        """Write a row, for good; only then may a suggestion depend on it. Returns what is kept
        of it here.

        Raises EnvironmentFault.
        """
        row = replace(row, objective=self.sweep.search.objective["privacy"])
        self.folder.write(row, retry=row.trial in self._again)
        # of the libraries that run here the rows of before speak, if any
        row = self.rows[row.trial] = replace(_slim(row), versions={})
        self._unfinished.discard(row.trial)
        self._outcomes.setdefault(row.trial, Outcome.of(row))
        return row

    @property
    def unfinished(self) -> int:
        """How many trials have no row yet, or are to get another."""
        return len(self._unfinished)

    @property
    def failed(self) -> bool:
        return any(row.state in ("failed", "invalid") for row in self.rows.values())

    def derive(self) -> None:
        """Bring the CSVs up to date; touches no file whose bytes are right."""
        self.folder.derive(sorted(self._digests))


def _slim(row: Row) -> Row:
    """A row as the driver remembers it: its lines of attacks.csv and its point, most of its 40
    KB, stand on the disk.
    """
    return replace(row, attacks=[], point={}, notes=[])
