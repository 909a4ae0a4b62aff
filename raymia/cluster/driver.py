"""Run a sweep on Ray: Tune executes, our searcher proposes, and this process alone writes results."""

import contextlib
import json
import os
import re
import secrets
import shlex
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.search import Searcher

from raymia.cluster.capacity import at_once, bundles
from raymia.cluster.interrupt import Stop, Stopped
from raymia.cluster.pool import MOST, Pool
from raymia.cluster.progress import Progress
from raymia.cluster.queue import Agenda
from raymia.cluster.session import Session, scratch, session
from raymia.cluster.transport import blind, keeper
from raymia.cluster.worker import Lost, Trial
from raymia.errors import EnvironmentFault, SweepError
from raymia.records import data as datasets
from raymia.results.folder import Folder
from raymia.results.remote import Location
from raymia.results.row import Row, best
from raymia.study import preflight as estimate
from raymia.study.asked import sweep_of
from raymia.study.sweep import Sweep, check_continues
from raymia.trial import run as trials
from raymia.trial.row import LIBRARIES

_RETRIES = 3  # of a trial whose worker or node was lost; an exception inside a trial is its result
_PREEMPTIONS = 50  # of one trial; a trial that takes its node down with it must end some day
# A machine that vanishes breaks the call's connection before the cluster knows of it: the actor is "unavailable" then.
_GONE = re.compile(
    r"node has died|node_died|[Pp]reempted|node was (terminated|drained)|NodeDied|Node is (dead|terminated)|ActorUnavailable"
)
_SILENCE = 60.0  # seconds without a running trial, after which we say so
_DERIVE_EVERY = 5.0  # seconds; 20 times what it takes where that is more


def run(
    sweep: Sweep,
    out: Path | Location,
    *,
    retry_failed: bool = False,
    mix_versions: bool = False,
    progress: Progress | None = None,
) -> int:
    """Run a sweep into a results folder, or go on with it: 0, 1 where trials failed, 130 or 143 where it was stopped.

    Raises SweepError where nothing could be started, Locked, and EnvironmentFault (disk, cluster, versions).
    """
    progress = progress or Progress()
    if isinstance(out, Path) and not out.is_absolute() and "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ:
        raise SweepError(
            f"--out: got {out}, below the working folder of a job, which does not come back; name a shared folder "
            "by its absolute path, or a URI (s3://..., gs://...)"
        )
    folder = Folder(out)
    with Stop() as stop, folder.lock():
        if (there := sweep_of(folder)) is not None:
            check_continues(there.resolved(), sweep)
        data = datasets.load(sweep.dataset, sweep.search.seed)
        estimate.check(sweep, data)
        agenda = Agenda(sweep, folder, data, retry_failed)
        try:
            if agenda.pending:
                _check(agenda, mix_versions)
                _execute(agenda, stop, progress)
            else:
                agenda.begin()
            _tidy(agenda)
        except Stopped as stopped:
            if agenda.begun:
                command = ["raymia", "run", str(out / "sweep.yaml"), "--out", str(out)]
                progress.say(f"stopped; go on with: {shlex.join(command)}")
            progress.say(f"exit code {stopped.exit_code}")  # Ray keeps none of a job that `ray job stop` stopped
            return stopped.exit_code
        finally:
            progress.stop()
            if agenda.begun:
                agenda.derive()
        return 1 if agenda.failed else 0


def _check(agenda: Agenda, mix_versions: bool) -> None:
    """What can be known to go wrong before Ray is started. Raises EnvironmentFault."""
    models, _ = agenda.sweep.shape
    room = len(agenda.pending) * models * len(agenda.data.y) * agenda.data.classes * 4 + 50 * 2**20
    path = agenda.folder.path
    free = shutil.disk_usage(path).free if isinstance(path, Path) else room
    if free < room:
        raise EnvironmentFault(
            f"{agenda.folder.path}: {free / 2**20:.0f} MB are free and the signals of this sweep take "
            f"{room / 2**20:.0f} MB or more; free some space, or choose another folder with --out"
        )
    now = {name: version(name) for name in LIBRARIES}
    for row in agenda.rows.values():
        other = [f"{k} {v} (here {now[k]})" for k, v in sorted(row.versions.items()) if k in now and now[k] != v]
        if other and not mix_versions:
            raise EnvironmentFault(
                f"{agenda.folder.path} holds rows made with {', '.join(other)}: their numbers may differ; "
                "install those versions, choose another --out, or say --mix-versions"
            )


def _execute(agenda: Agenda, stop: Stop, progress: Progress) -> None:
    """Run what is pending. Raises Stopped once a signal came, and the fault that a trial or the disk reported."""
    asked, bytes_of_data = agenda.sweep.resources, agenda.data.x.nbytes + agenda.data.y.nbytes
    with scratch(agenda.folder.path) as here, session(asked, here, bytes_of_data) as cluster:
        stop.listen()  # Ray has put its own handlers
        stop.check()
        agenda.begin()
        # On a cluster of many nodes, a trial has attackers of its own beside it.
        pool = Pool.start(min(cluster.cpus, MOST), cluster.leash) if cluster.leash else None
        driver = _Driver(agenda, stop, progress)
        progress.start(agenda.sweep.search.trials, agenda.rows)
        try:
            with _sight(agenda.folder, cluster, progress) as sight:
                _tuner(driver, pool, cluster, here, *sight).fit()
        except _Leave:
            pass
        except Exception as error:
            driver.check()
            raise EnvironmentFault(f"Ray Tune gave up: {_last_line(str(error))}; the same command goes on") from error
        finally:
            if pool:
                pool.stop()
        driver.check()
    if agenda.unfinished:
        raise EnvironmentFault(f"Ray Tune left {agenda.unfinished} trials undone; the same command goes on")


@contextlib.contextmanager
def _sight(folder: Folder, cluster: Session, progress: Progress) -> Iterator[tuple[Any, str]]:
    """(keeper, nonce) for the nodes that do not see the folder, found before the first trial and told; a keeper of None where
    all do."""
    nonce, remote = secrets.token_hex(16), isinstance(folder.path, Location)
    if cluster.leash and not remote:
        yield None, nonce
        return
    try:
        folder.put(".nonce", nonce.encode())
        if not remote:
            out = str(folder.path.resolve())
            if unseeing := blind(out, nonce):
                progress.say(f"{', '.join(unseeing)}: {out} is not there; signals travel through Ray")
        yield keeper(str(folder.path.resolve())), nonce
    finally:
        folder.storage.delete(".nonce")


def _tuner(driver: "_Driver", pool: Pool | None, cluster: Session, here: Path, keeper: Any, nonce: str) -> Any:
    agenda = driver.agenda
    asked, lag = agenda.sweep.resources, agenda.sweep.search.lag
    carried = tune.with_parameters(
        Trial,
        data=agenda.data,
        place=str(agenda.folder.path.resolve()),
        pool=pool,
        asked=asked,
        leash_folder=cluster.leash,
        keeper=keeper,
        nonce=nonce,
    )
    bundle = {"CPU": asked.cpu, "GPU": asked.gpu}
    needs = bundle if asked.spread == 1 else tune.PlacementGroupFactory(bundles(asked), strategy="PACK")
    return tune.Tuner(
        tune.with_resources(carried, needs),
        tune_config=tune.TuneConfig(
            search_alg=_Proposals(driver),
            num_samples=-1,  # until the searcher says FINISHED: a trial whose worker was lost is proposed again
            max_concurrent_trials=min(lag, at_once(asked, cluster.nodes), len(agenda.pending)),
            reuse_actors=True,
            trial_name_creator=_name,
            trial_dirname_creator=_name,
        ),
        run_config=tune.RunConfig(
            name="sweep",
            storage_path=str(here / "tune"),
            failure_config=tune.FailureConfig(max_failures=0),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            callbacks=[_Watch(driver)],
            verbose=0,
        ),
    )


def _name(one: Any) -> str:
    return f"trial-{one.config['trial']}-{one.trial_id}"


def _tidy(agenda: Agenda) -> None:
    """Delete the signals that `keep_signals` does not ask for: of points that are not kept, and of none that is."""
    keep = agenda.sweep.keep_signals
    if keep == "all":
        return

    def folders(rows: Iterable[Row]) -> set[str]:
        return {key for row in rows for key in trials.folders(agenda.point(row.trial), len(agenda.data))}

    kept = folders(best(list(agenda.rows.values()))) if keep == "front" else set()
    for key in sorted(folders(agenda.rows.values()) - kept):
        agenda.folder.drop_signals(key)


class _Driver:
    """What the searcher and the callback share: both are called in turn by Tune's one loop, in this process."""

    def __init__(self, agenda: Agenda, stop: Stop, progress: Progress) -> None:
        self.agenda, self.progress, self._stop = agenda, progress, stop
        self.running: dict[str, int] = {}  # Tune's name of a trial -> its index
        self._fault: Exception | None = None
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
        try:
            row = self.agenda.finish(row)
        except Exception as error:  # Tune would take it for a fault of the trial
            self._fault = error
            return
        del self.running[name]
        self.progress.finished(row)

    def lost(self, name: str, why: str, began: bool, late: bool, preempted: bool = False) -> None:
        """A worker ended, not of its own accord: the trial runs again, a few times; as good as always where its node is gone.

        Tune's own retries are not used. They do not count for a worker that is lost between two trials, and there is no
        telling a trial that kills its worker from a worker that cannot even be started.
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
            self.progress.say(f"trial {index}: its {'node' if preempted else 'worker'} was lost; it runs again")
            del self.running[name]
            self.agenda.again(index)
            return
        elif not began:
            self._fault = EnvironmentFault(f"no worker could be started, {_RETRIES + 1} times: {why}")
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
        if begin - self._derived > self._pause:
            self.agenda.derive()
            self._derived = time.monotonic()
            self._pause = max(_DERIVE_EVERY, 20 * (self._derived - begin))


class _Proposals(Searcher):  # type: ignore[misc]
    """Tune's searcher. It keeps nothing: what it needs to go on stands in the results folder."""

    def __init__(self, driver: _Driver) -> None:
        super().__init__()
        self._driver = driver

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        return self._driver.propose(trial_id)

    def on_trial_complete(self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False) -> None:
        if result and not error:
            self._driver.take(trial_id, result)

    def save(self, checkpoint_path: str) -> None: ...

    def restore(self, checkpoint_path: str) -> None: ...

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _Watch(tune.Callback):  # type: ignore[misc]
    """Looks at signals, faults and the clock each time round Tune's loop (0.1 s), and keeps trials that were lost."""

    def __init__(self, driver: _Driver) -> None:
        self._driver = driver
        self._since: dict[str, float] = {}  # Tune's name of a trial -> when its worker began with it
        self._idle = time.monotonic()  # when something last ran

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        try:
            self._driver.check()
            self._driver.derive()
        except Exception as reason:
            raise _Leave from reason
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
            self._driver.progress.say(f"nothing runs: waiting for {asked.spread} x ({asked.cpu:g} CPU, {asked.gpu:g} GPU)")

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
        why = _last_line(story) or "no reason was given"
        began, limit = self._since.get(trial.trial_id), self._driver.agenda.sweep.resources.time_limit
        late = began is not None and limit is not None and time.monotonic() - began >= limit
        self._driver.lost(trial.trial_id, why, began is not None, late, bool(_GONE.search(story)))
        self._forget(trial)


def _last_line(story: str) -> str:
    """What a traceback ends with, or the first sentences of what Ray says of a dead worker."""
    lines = [line.strip() for line in story.splitlines() if any(c.isalpha() for c in line)]
    return lines[-1][:300] if lines else ""


class _Leave(BaseException):
    """Leaves Tune's loop at once: what is no Exception, Tune lets pass without waiting for the trials that run."""
