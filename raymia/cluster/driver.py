"""A sweep run: what can be known before Ray is started, the run, and what is left to do after."""

import os
import shlex
import shutil
from collections.abc import Iterable
from pathlib import Path

from raymia.cluster import scratch
from raymia.cluster.interrupt import Stop, Stopped
from raymia.cluster.logs import logged
from raymia.cluster.progress import Progress, without_numbers
from raymia.cluster.queue import Agenda
from raymia.errors import EnvironmentFault, SweepError
from raymia.records import account
from raymia.records import data as datasets
from raymia.results.folder import Folder
from raymia.results.location import Location
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
    out: Path | Location | Folder,
    *,
    retry_failed: bool = False,
    mix_versions: bool = False,
    fly: bool = True,
    progress: Progress | None = None,
    log_to: str | None = None,
) -> int:
    """Run a sweep into a results folder, or go on with it: 0, 1 where trials failed, 130 or 143
    where it was stopped. `fly`: data that nobody knows are tried with one undefended model first.
    `log_to`: a tool of `tools.LIVE` that gets each row as soon as it is written.

    Raises SweepError where nothing could be started, Locked, and EnvironmentFault (disk,
    cluster, versions).
    """
    progress = progress or Progress()
    folder = out if isinstance(out, Folder) else Folder(out)
    out = folder.path
    if (
        isinstance(out, Path)
        and not out.is_absolute()
        and "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ
    ):
        raise SweepError(
            f"--out: got {out}, below the working folder of a job, which does not come back; name "
            "a shared folder by its absolute path, or a URI (s3://..., gs://...)"
        )
    with Stop() as stop, folder.lock():
        data = datasets.load(sweep.dataset, sweep.search.seed)
        sweep = fitted(sweep, data)
        check_rows(folder, folder.rows(), sweep)
        check_data(folder, folder.rows(), data)
        if (there := sweep_of(folder)) is not None:
            check_continues(there.resolved(), sweep)
            if said := left_out(folder):
                progress.warn(said)
        preflight.check(sweep, data)
        for line in account.sentences(account.account(data)):
            progress.say(line)
        agenda = Agenda(sweep, folder, data, retry_failed)
        again = shlex.join(["raymia", "run", str(out / "sweep.yaml"), "--out", str(out)])
        try:
            if agenda.pending:
                _check(agenda, mix_versions)
                with logged(log_to, folder, progress) as log, folder.lean():
                    progress.say(starting())
                    from raymia.cluster import execution  # imports ray, which takes a second

                    execution.execute(agenda, stop, progress, fly and pilot.wanted(sweep), log)
            else:
                scratch.clear(out)  # of a driver that was killed after its last row
                agenda.begin()
            _tidy(agenda)
        except Stopped as stopped:
            if agenda.begun:
                progress.warn(f"stopped; go on with: {again}")
            # Ray keeps none of a job that `ray job stop` stopped
            progress.warn(f"exit code {stopped.exit_code}")
            return stopped.exit_code
        finally:
            progress.stop()
            if agenda.begun:
                agenda.derive()
        for line in without_numbers(agenda.rows.values(), again):
            progress.warn(line)
        return 1 if agenda.failed else 0


def starting() -> str:
    """Said before Ray is imported: until a trial runs, seconds pass."""
    address = os.environ.get("RAY_ADDRESS", "")
    here = address in ("", "local")
    return "starting Ray" if here else f"joining the Ray cluster at {address}"


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


def _tidy(agenda: Agenda) -> None:
    """Delete the signals that `keep_signals` does not ask for, and the scores that were made of
    them: of points that are not kept, and of none that is.
    """
    keep = agenda.sweep.keep_signals
    if keep == "all":
        return

    def folders(rows: Iterable[Row]) -> set[str]:
        points, units = (agenda.point(row.trial) for row in rows), agenda.data.units
        return {key for point in points for key in trials.folders(point, units)}

    rows = list(agenda.rows.values())
    kept = best(rows) if keep == "front" else []
    for key in sorted(folders(rows) - folders(kept)):
        agenda.folder.drop_signals(key)
    for digest in sorted({row.digest for row in rows} - {row.digest for row in kept}):
        agenda.folder.drop_scores(digest)
