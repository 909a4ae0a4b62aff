"""Run a sweep on Ray: Tune executes, our searcher proposes, and this process alone writes
results.
"""

import contextlib
import os
import secrets
import shlex
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ray import tune
from ray.exceptions import RayTaskError

from raymia.cluster.capacity import at_once, bundles
from raymia.cluster.interrupt import Stop, Stopped
from raymia.cluster.pool import MOST, Pool
from raymia.cluster.progress import Progress, without_numbers
from raymia.cluster.proposals import Leave, Ledger, Proposals, Watch, last_line
from raymia.cluster.queue import Agenda
from raymia.cluster.session import Session, scratch, session
from raymia.cluster.tasks import Map, mapper
from raymia.cluster.transport import blind, keeper
from raymia.cluster.worker import Trial
from raymia.errors import EnvironmentFault, SweepError
from raymia.point.origins import Cargo
from raymia.records import account
from raymia.records import data as datasets
from raymia.results.folder import Folder
from raymia.results.location import Location
from raymia.results.remote import Remote
from raymia.results.row import Row, best
from raymia.study import pilot, preflight
from raymia.study.asked import left_out, sweep_of
from raymia.study.continues import check_continues
from raymia.study.fitting import fitted
from raymia.study.sweep import Sweep
from raymia.trial import run as trials
from raymia.trial.unchanged import check_data, check_rows, check_versions


def run(
    sweep: Sweep,
    out: Path | Location,
    *,
    retry_failed: bool = False,
    mix_versions: bool = False,
    fly: bool = True,
    progress: Progress | None = None,
) -> int:
    """Run a sweep into a results folder, or go on with it: 0, 1 where trials failed, 130 or 143
    where it was stopped. `fly`: data that nobody knows are tried with one undefended model first.

    Raises SweepError where nothing could be started, Locked, and EnvironmentFault (disk,
    cluster, versions).
    """
    progress = progress or Progress()
    if (
        isinstance(out, Path)
        and not out.is_absolute()
        and "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ
    ):
        raise SweepError(
            f"--out: got {out}, below the working folder of a job, which does not come back; name "
            "a shared folder by its absolute path, or a URI (s3://..., gs://...)"
        )
    folder = Folder(out)
    with Stop() as stop, folder.lock():
        data = datasets.load(sweep.dataset, sweep.search.seed)
        sweep, rows = fitted(sweep, data), folder.rows()
        check_rows(folder, rows, sweep)
        check_data(folder, rows, data)
        if (there := sweep_of(folder)) is not None:
            check_continues(there.resolved(), sweep)
            if said := left_out(folder):
                progress.say(said)
        preflight.check(sweep, data)
        for line in account.sentences(account.account(data)):
            progress.say(line)
        agenda = Agenda(sweep, folder, data, retry_failed)
        again = shlex.join(["raymia", "run", str(out / "sweep.yaml"), "--out", str(out)])
        try:
            if agenda.pending:
                _check(agenda, mix_versions)
                _execute(agenda, stop, progress, fly and pilot.wanted(sweep))
            else:
                agenda.begin()
            _tidy(agenda)
        except Stopped as stopped:
            if agenda.begun:
                progress.say(f"stopped; go on with: {again}")
            # Ray keeps none of a job that `ray job stop` stopped
            progress.say(f"exit code {stopped.exit_code}")
            return stopped.exit_code
        finally:
            progress.stop()
            if agenda.begun:
                agenda.derive()
        for line in without_numbers(agenda.rows.values(), again):
            progress.say(line)
        return 1 if agenda.failed else 0


def _check(agenda: Agenda, mix_versions: bool) -> None:
    """What can be known to go wrong before Ray is started. Raises EnvironmentFault."""
    models, _ = agenda.sweep.shape
    room = len(agenda.pending) * models * len(agenda.data.y) * agenda.data.classes * 4 + 50 * 2**20
    path = agenda.folder.path
    free = shutil.disk_usage(path).free if isinstance(path, Path) else room
    if free < room:
        raise EnvironmentFault(
            f"{agenda.folder.path}: {free / 2**20:.0f} MB are free and the signals of this sweep "
            f"take {room / 2**20:.0f} MB or more; free some space, or choose another folder with "
            "--out"
        )
    if not mix_versions:
        # a row of another version of a part has another digest, and is none of the agenda's
        foreign = agenda.sweep.foreign
        rows = agenda.folder.rows() if foreign else agenda.rows.values()
        check_versions(agenda.folder, rows, foreign)


def _pilot(agenda: Agenda, each: Map, parallel: int, progress: Progress) -> None:
    """One undefended model first, where the folder has none of this point: says how it does."""
    point = pilot.of(agenda.sweep, agenda.data)
    found = agenda.folder.read_json("pilot.json")
    if found.get("digest") != point.digest():
        try:
            (found,) = each(partial(pilot.fly, data=agenda.data), [point])
        except RayTaskError as error:
            progress.say(f"pilot:     {last_line(str(error.cause))}")
            return
        agenda.folder.write_json("pilot.json", found)
    for line in pilot.sentences(found, agenda.sweep, parallel):
        progress.say(line)
    if said := pilot.warning(found):
        progress.say(said, "bold red")


def _execute(agenda: Agenda, stop: Stop, progress: Progress, fly: bool) -> None:
    """Run what is pending. Raises Stopped once a signal came, and the fault that a trial or the
    disk reported.
    """
    asked, bytes_of_data = agenda.sweep.resources, agenda.data.x.nbytes + agenda.data.y.nbytes
    with scratch(agenda.folder.path) as here, session(asked, here, bytes_of_data) as cluster:
        stop.listen()  # Ray has put its own handlers
        stop.check()
        agenda.begin()
        # On a cluster of many nodes, a trial has attackers of its own beside it.
        size, cargo = min(cluster.cpus, MOST), Cargo.of(agenda.sweep.foreign)
        if fly:
            one_bundle = replace(asked, spread=1)
            each = mapper(one_bundle, cluster.register, stop, cargo)
            _pilot(agenda, each, at_once(asked, cluster.nodes), progress)
        pool = Pool.start(size, cluster.register, cargo=cargo) if cluster.register else None
        driver = Ledger(agenda, stop, progress)
        progress.start(agenda.sweep.search.trials, agenda.rows)
        try:
            with _sight(agenda.folder, cluster, progress) as sight:
                _tuner(driver, pool, cluster, here, *sight).fit()
        except Leave:
            pass
        except Exception as error:
            driver.check()
            raise EnvironmentFault(
                f"Ray Tune gave up: {last_line(str(error))}; the same command goes on"
            ) from error
        finally:
            if pool:
                pool.stop()
        driver.check()
    if agenda.unfinished:
        raise EnvironmentFault(
            f"Ray Tune left {agenda.unfinished} trials undone; the same command goes on"
        )


@contextlib.contextmanager
def _sight(folder: Folder, cluster: Session, progress: Progress) -> Iterator[tuple[Any, str]]:
    """(keeper, nonce) for the nodes that do not see the folder, found before the first trial
    and told; a keeper of None where all do.
    """
    store, out, nonce = folder.storage, str(folder.path.resolve()), secrets.token_hex(16)
    if isinstance(store, Remote):
        yield keeper(out, store.token), store.token
        return
    if cluster.register:
        yield None, nonce
        return
    try:
        folder.put(".nonce", nonce.encode())
        if unseeing := blind(out, nonce):
            progress.say(f"{', '.join(unseeing)}: {out} is not there; signals travel through Ray")
        yield keeper(out), nonce
    finally:
        folder.storage.delete(".nonce")


def _tuner(
    driver: "Ledger", pool: Pool | None, cluster: Session, here: Path, keeper: Any, nonce: str
) -> Any:
    agenda = driver.agenda
    asked, lag = agenda.sweep.resources, agenda.sweep.search.lag
    carried = tune.with_parameters(
        Trial,
        data=agenda.data,
        place=str(agenda.folder.path.resolve()),
        pool=pool,
        asked=asked,
        register=cluster.register,
        keeper=keeper,
        nonce=nonce,
        cargo=Cargo.of(agenda.sweep.foreign),
    )
    bundle = {"CPU": asked.cpu, "GPU": asked.gpu}
    needs = (
        bundle if asked.spread == 1 else tune.PlacementGroupFactory(bundles(asked), strategy="PACK")
    )
    return tune.Tuner(
        tune.with_resources(carried, needs),
        tune_config=tune.TuneConfig(
            search_alg=Proposals(driver),
            # until the searcher says FINISHED: a trial whose worker was lost is proposed again
            num_samples=-1,
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
            callbacks=[Watch(driver)],
            verbose=0,
        ),
    )


def _name(one: Any) -> str:
    return f"trial-{one.config['trial']}-{one.trial_id}"


def _tidy(agenda: Agenda) -> None:
    """Delete the signals that `keep_signals` does not ask for: of points that are not kept, and
    of none that is.
    """
    keep = agenda.sweep.keep_signals
    if keep == "all":
        return

    def folders(rows: Iterable[Row]) -> set[str]:
        points, units = (agenda.point(row.trial) for row in rows), agenda.data.units
        return {key for point in points for key in trials.folders(point, units)}

    kept = folders(best(list(agenda.rows.values()))) if keep == "front" else set()
    for key in sorted(folders(agenda.rows.values()) - kept):
        agenda.folder.drop_signals(key)
