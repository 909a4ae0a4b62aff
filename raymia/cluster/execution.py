"""The trials of a run on Ray: Tune executes, our searcher proposes, and this process alone writes
results.
"""

import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ray import tune
from ray.exceptions import RayTaskError
from ray.tune.execution import class_cache

from raymia.cluster.capacity import at_once, bundles
from raymia.cluster.gauges import Gauges
from raymia.cluster.interrupt import Stop
from raymia.cluster.pool import MOST, Pool
from raymia.cluster.progress import Progress
from raymia.cluster.proposals import Leave, Ledger, Proposals, Watch, last_line
from raymia.cluster.queue import Agenda
from raymia.cluster.scratch import scratch
from raymia.cluster.session import Session, session
from raymia.cluster.tasks import Map, mapper
from raymia.cluster.telling import Board
from raymia.cluster.transport import blind, keeper
from raymia.cluster.worker import Trial
from raymia.errors import EnvironmentFault
from raymia.point.origins import Cargo
from raymia.report.export.entries import Log
from raymia.results.folder import Folder
from raymia.results.remote import Remote
from raymia.study import pilot


def execute(agenda: Agenda, stop: Stop, progress: Progress, fly: bool, log: Log) -> None:
    """Run what is pending; `log` is told of each row. Raises Stopped once a signal came, and the
    fault that a trial or the disk reported.
    """
    asked, bytes_of_data = agenda.sweep.resources, agenda.data.x.nbytes + agenda.data.y.nbytes
    with scratch(agenda.folder.path) as here, session(asked, here, bytes_of_data, stop) as cluster:
        stop.listen()  # Ray has put its own handlers
        stop.check()
        agenda.begin()
        # On a cluster of many nodes, a trial has attackers of its own beside it.
        size, cargo = min(cluster.cpus, MOST), Cargo.of(agenda.sweep.foreign)
        if fly:
            one_bundle = replace(asked, spread=1)
            each = mapper(one_bundle, cluster.register, stop, progress, cargo)
            _pilot(agenda, each, at_once(asked, cluster.nodes), progress)
        pool = Pool.start(size, cluster.register, cargo=cargo) if cluster.register else None
        driver = Ledger(agenda, stop, progress, (Gauges(agenda), log))
        progress.start(agenda.sweep.search.trials, agenda.rows)
        try:
            with Board(progress), _sight(agenda.folder, cluster, progress) as sight:
                _tuner(driver, pool, cluster, here, *sight).fit()
        except Leave:
            if stop.fault:
                agenda.derive()  # Ray may yet take this process with it
        except Exception as error:
            driver.check()
            raise EnvironmentFault(
                f"Ray Tune gave up: {last_line(str(error))}; the same command goes on"
            ) from error
        finally:
            progress.stop()
            if pool and not stop.fault:
                pool.stop()
        driver.check()
    if agenda.unfinished:
        raise EnvironmentFault(
            f"Ray Tune left {agenda.unfinished} trials undone; the same command goes on"
        )


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
        progress.warn(said)


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
    driver: Ledger, pool: Pool | None, cluster: Session, here: Path, keeper: Any, nonce: str
) -> Any:
    agenda = driver.agenda
    asked, lag = agenda.sweep.resources, agenda.sweep.search.lag
    # Tune would put the AWS keys of this process into what each trial is started with: Ray writes
    # that into its logs, and shows it to everybody who may use the cluster.
    class_cache.ENV_VARS_TO_PROPAGATE.difference_update(_KEYS)
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


_KEYS = {name for name in class_cache.ENV_VARS_TO_PROPAGATE if name.startswith("AWS_")}


def _name(one: Any) -> str:
    return f"trial-{one.config['trial']}-{one.trial_id}"
