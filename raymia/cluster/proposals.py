"""What Tune asks of us: the next trial, and what is kept of one that ended."""

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.search import Searcher

from raymia.cluster.interrupt import Stop
from raymia.cluster.progress import Progress
from raymia.cluster.queue import Agenda
from raymia.cluster.worker import Lost
from raymia.errors import EnvironmentFault, RaymiaError
from raymia.results.row import Row
from raymia.trial import run as trials

_RETRIES = 3  # of a trial whose worker or node was lost; an exception inside a trial is its result
_PREEMPTIONS = 50  # of one trial; a trial that takes its node down with it must end some day
# A machine that vanishes breaks the call's connection before the cluster knows of it: the actor
# is "unavailable" then.
_GONE = re.compile(
    r"node has died|node_died|[Pp]reempted|node was (terminated|drained)|NodeDied|Node is "
    r"(dead|terminated)|ActorUnavailable"
)
_SILENCE = 60.0  # seconds without a running trial, after which we say so
_DERIVE_EVERY = 5.0  # seconds; 20 times what it takes where that is more


class Ledger:
    """What the searcher and the callback share: both are called in turn by Tune's one loop, in
    this process.
    """

    def __init__(
        self,
        agenda: Agenda,
        stop: Stop,
        progress: Progress,
        after: Sequence[Callable[[Row], None]] = (),
    ) -> None:
        """`after`: who else is told of a row that is written."""
        self.agenda, self.progress, self._stop, self._after = agenda, progress, stop, after
        self.running: dict[str, int] = {}  # Tune's name of a trial -> its index
        self._fault: Exception | None = None
        self._told = False  # that memory was short
        self._losses: Counter[int] = Counter()
        self._preempted: Counter[int] = Counter()
        self._derived, self._pause = time.monotonic(), _DERIVE_EVERY

    def check(self) -> None:
        """Raises what ends the run."""
        if self._fault is not None:
            raise self._fault
        self._stop.check()

    def propose(self, name: str) -> dict[str, Any] | str | None:
        """The next trial; None where it must wait for a row, FINISHED where there is none."""
        if self._fault is not None or not (self.agenda.pending or self.running):
            return str(Searcher.FINISHED)
        if not self.agenda.pending:
            return None  # one that runs may yet have to run again
        index = self.agenda.next()
        if index is None:
            return None
        self.running[name] = index
        point = self.agenda.point(index)
        self.progress.running(index, point)
        return {"trial": index, "point": point}

    def take(self, name: str, result: Mapping[str, Any]) -> None:
        """A trial has come back: its row is on the disk before anything is suggested from it."""
        if "fault" in result:
            self._fault = EnvironmentFault(result["fault"])
        elif name in self.running and "row" in result:
            self.keep(name, Row.from_json(json.loads(result["row"])))

    def keep(self, name: str, row: Row) -> None:
        small = next((note for note in row.notes if note.startswith(trials.BACKED_OFF)), "")
        try:
            row = self.agenda.finish(row)
        except Exception as error:  # Tune would take it for a fault of the trial
            self._fault = error
            return
        del self.running[name]
        self.progress.finished(row)
        for told in self._after:
            told(row)
        if small and not self._told:
            self._told = True
            self.progress.say(f"trial {row.trial}: {small}; later ones say so in trials.csv alone")

    def lost(self, name: str, why: str, began: bool, late: bool, preempted: bool = False) -> None:
        """A worker or its node was lost: the trial runs again, up to _RETRIES times for a
        worker, and up to _PREEMPTIONS times for a node that was taken away.

        Tune's own retries are not used. They do not count for a worker that is lost between two
        trials, and there is no telling a trial that kills its worker from a worker that cannot
        even be started.
        """
        index = self.running.get(name)
        if index is None:
            return
        self._losses[index] += not preempted
        self._preempted[index] += preempted
        limit = self.agenda.sweep.resources.time_limit
        if late:
            why = f"time limit: not finished after {limit:g} s"
        elif self._losses[index] <= _RETRIES and self._preempted[index] <= _PREEMPTIONS:
            self.progress.warn(
                f"trial {index}: its {'node' if preempted else 'worker'} was lost; it runs again"
            )
            del self.running[name]
            self.agenda.again(index)
            return
        elif not began:
            self._fault = EnvironmentFault(
                f"no worker could be started, {_RETRIES + 1} times: {why}"
            )
            return
        elif "OutOfMemory" in why or "running low on memory" in why:
            why = "out of memory: let fewer trials run at once (--set resources.cpu=...)"
        else:
            times = self._losses[index] + self._preempted[index]
            why = f"its worker was lost {times} times; the last time: {why}"
        self.keep(name, replace(trials.failed(self.agenda.point(index), Lost(why)), trial=index))

    def derive(self) -> None:
        """The CSVs, now and then."""
        begin = time.monotonic()
        if begin - self._derived > self._pause and self._fault is None:
            try:
                self.agenda.derive()
            except RaymiaError as error:  # Tune would give up without a reason
                self._fault = error
            self._derived = time.monotonic()
            self._pause = max(_DERIVE_EVERY, 20 * (self._derived - begin))


class Proposals(Searcher):  # type: ignore[misc]
    """Tune's searcher. It keeps nothing: what it needs to go on stands in the results folder."""

    def __init__(self, driver: Ledger) -> None:
        super().__init__()
        self._driver = driver

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        return self._driver.propose(trial_id)

    def on_trial_complete(
        self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False
    ) -> None:
        if result and not error:
            self._driver.take(trial_id, result)

    def save(self, checkpoint_path: str) -> None: ...

    def restore(self, checkpoint_path: str) -> None: ...

    def __getstate__(self) -> dict[str, Any]:
        return {}


class Watch(tune.Callback):  # type: ignore[misc]
    """Looks at signals, faults and the clock each time round Tune's loop (0.1 s), and keeps
    trials that were lost.
    """

    def __init__(self, driver: Ledger) -> None:
        self._driver = driver
        self._since: dict[
            str, float
        ] = {}  # Tune's name of a trial -> when its worker began with it
        self._idle = time.monotonic()  # when something last ran

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        try:
            self._driver.check()
            self._driver.derive()
        except Exception as reason:
            raise Leave from reason
        self._driver.progress.tick()
        self._say_why_nothing_runs(trials)

    def _say_why_nothing_runs(self, trials: list[Any]) -> None:
        """Tune's own warnings are off: a cluster that has shrunk would wait without a word."""
        now = time.monotonic()
        if any(trial.status == "RUNNING" for trial in trials):
            self._idle = now
        elif self._driver.running and now - self._idle > _SILENCE:
            self._idle = now
            asked = self._driver.agenda.sweep.resources
            self._driver.progress.warn(
                f"no trial ran in the last {_SILENCE:g} s: waiting for {asked.spread} x "
                f"({asked.cpu:g} CPU, {asked.gpu:g} GPU), or for workers that a busy machine "
                "starts slowly"
            )

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._forget(trial)

    def _forget(self, trial: Any) -> None:
        """Tune keeps every trial to the end, with all that it ever reported: 38 KB each."""
        self._since.pop(trial.trial_id, None)
        trial.run_metadata.last_result = {}
        trial.run_metadata.metric_analysis = {}
        trial.run_metadata.metric_n_steps = {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._since[trial.trial_id] = time.monotonic()

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        story = Path(trial.error_file).read_text() if trial.error_file else ""
        why = last_line(story) or "no reason was given"
        began, limit = (
            self._since.get(trial.trial_id),
            self._driver.agenda.sweep.resources.time_limit,
        )
        late = began is not None and limit is not None and time.monotonic() - began >= limit
        self._driver.lost(trial.trial_id, why, began is not None, late, bool(_GONE.search(story)))
        self._forget(trial)


def last_line(story: str) -> str:
    """What a traceback ends with, or the first sentences of what Ray says of a dead worker."""
    lines = [line.strip() for line in story.splitlines() if any(c.isalpha() for c in line)]
    return lines[-1][:300] if lines else ""


class Leave(BaseException):
    """Leaves Tune's loop at once: what is no Exception, Tune lets pass without waiting for the
    trials that run.
    """
