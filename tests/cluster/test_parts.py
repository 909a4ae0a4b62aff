"""What a run is made of, without a cluster: arithmetic, agenda, signals, processes, a worker's
step.
"""

import ctypes
import errno
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raymia.cluster import capacity, scratch, session, worker
from raymia.cluster import driver as tune
from raymia.cluster import processes as own
from raymia.cluster.interrupt import Stop, Stopped, no_signal_lost, still_heard
from raymia.cluster.progress import Progress, best, line, without_numbers
from raymia.cluster.queue import Agenda
from raymia.errors import EnvironmentFault, SweepError
from raymia.point.point import Point
from raymia.records.data import Data
from raymia.results.folder import Folder
from raymia.results.local import Local
from raymia.results.row import Row
from raymia.study import sweep as files
from raymia.study.sweep import Resources, Sweep
from raymia.trial import run as trials

from .conftest import TINY, until


@pytest.fixture(scope="module")
def sweep() -> Sweep:
    return files.parse(TINY)


@pytest.fixture(scope="module")
def data() -> Data:
    rng = np.random.default_rng(0)
    return Data("toy", rng.random((120, 64), dtype=np.float32), rng.integers(0, 10, 120), 10, False)


def row(
    point: Point, index: int, state: str = "done", accuracy: float = 0.5, auc: float = 0.6
) -> Row:
    empty = trials.failed(point, ValueError("broken"))
    numbers: dict[str, float | None] = {"test_accuracy": accuracy, "max_attack_auc": auc}
    done = replace(empty, state="done", reason="", numbers=numbers, worst_attack="loss")
    return replace(done if state == "done" else empty, trial=index)


NODE = {"CPU": 4.0, "GPU": 1.0}


@pytest.mark.parametrize(
    "cpu, gpu, nodes, count",
    [
        (1, 0, [NODE], 4),
        (2, 0, [NODE], 2),
        (3, 0, [NODE, NODE], 2),  # a trial does not straddle nodes
        (0.1, 0, [{"CPU": 1.0}], 10),
        (1, 0.5, [NODE], 2),
        (1, 1, [NODE, {"CPU": 64.0}], 1),
    ],
)
def test_how_many_trials_fit(
    cpu: float, gpu: float, nodes: list[dict[str, float]], count: int
) -> None:
    assert capacity.at_once(Resources(cpu=cpu, gpu=gpu), nodes) == count


@pytest.mark.parametrize(
    "asked",
    [Resources(cpu=5), Resources(gpu=2), Resources(cpu=4.5, gpu=0.5), Resources(cpu=3, spread=3)],
)
def test_what_never_fits_is_refused_with_the_arithmetic(asked: Resources) -> None:
    with pytest.raises(SweepError) as refused:
        capacity.at_once(asked, [NODE, NODE])
    if asked.spread == 1:
        assert f"{asked.cpu:g} CPU and {asked.gpu:g} GPU" in str(refused.value)
        assert "the largest of 2 nodes has 4 CPU and 1 GPU" in str(refused.value)


def test_the_scratch_folder_is_private_the_same_each_time_and_gone(tmp_path: Path) -> None:
    with scratch.scratch(tmp_path) as here:
        assert here == scratch.place(tmp_path) != scratch.place(tmp_path / "other")
        assert stat.S_IMODE(here.stat().st_mode) == 0o700
        assert (
            len(str(here))
            + len("/ray/session_2026-01-01_00-00-00_000000_0000000/sockets/plasma_store")
            < 107
        )
        here.chmod(0o755)
        with pytest.raises(EnvironmentFault, match="only you"), scratch.scratch(tmp_path):
            pass
    assert not here.exists()


def test_a_driver_that_ends_late_leaves_the_scratch_folder_to_the_next(tmp_path: Path) -> None:
    """Who stops a run, removes its results folder, lock and all, and starts it at once."""
    first, second = scratch.scratch(tmp_path), scratch.scratch(tmp_path)
    here = first.__enter__()
    assert second.__enter__() == here
    first.__exit__(None, None, None)
    assert (here / "processes").is_dir()
    second.__exit__(None, None, None)
    assert not here.exists()


def test_what_a_killed_driver_left_is_ended_and_removed_and_no_strangers_folder(
    tmp_path: Path,
) -> None:
    here = scratch.place(tmp_path)
    (here / "processes").mkdir(mode=0o700, parents=True)
    here.chmod(0o700)
    with subprocess.Popen(["sleep", "600"]) as left:
        (here / "processes" / str(left.pid)).write_text(f"{own.started(left.pid)} trial")
        threading.Thread(target=left.wait).start()  # it is gone when somebody has seen it
        scratch.clear(tmp_path)
        assert left.wait(5) == -signal.SIGKILL and not here.exists()
    scratch.clear(tmp_path)  # nothing there
    here.symlink_to(tmp_path)
    with pytest.raises(EnvironmentFault, match="only you"):
        scratch.clear(tmp_path)
    here.unlink()


def test_a_register_ends_the_process_it_noted_and_no_other_that_has_its_number(
    tmp_path: Path,
) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) for _ in range(2)
    ]
    noted, reused = processes
    (tmp_path / str(noted.pid)).write_text(f"{own.started(noted.pid)} trial")
    (tmp_path / str(reused.pid)).write_text("1 trial")
    try:
        assert own.alive(tmp_path) == [noted.pid]
        # Our own child stays a zombie, with its number, until it is waited for.
        reaper = threading.Thread(target=noted.wait)
        reaper.start()
        own.end(tmp_path)
        reaper.join(5.0)
        assert noted.returncode == -signal.SIGKILL
        assert own.alive(tmp_path) == [] and reused.poll() is None
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.mark.parametrize("spelled", ["{}", "ray://{}"])
def test_a_cluster_that_is_gone_is_named_before_ray_is_asked(
    spelled: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with socket.socket() as closed:  # bound and not listening: nobody else gets the port
        closed.bind(("127.0.0.1", 0))
        address = spelled.format(f"127.0.0.1:{closed.getsockname()[1]}")
        monkeypatch.setenv("RAY_ADDRESS", address)
        monkeypatch.setattr(session.ray, "init", lambda **_: pytest.fail("Ray was asked"))
        told = f"RAY_ADDRESS is {address}, and no cluster answers there .*refused"
        with (
            pytest.raises(EnvironmentFault, match=told),
            session.session(Resources(), tmp_path, 0),
        ):
            pass


def test_a_signal_is_not_lost_to_a_handler_that_is_not_ours() -> None:
    """Ray's handler raises SystemExit, which goes nowhere where a hook of a fork was running."""
    before = signal.signal(signal.SIGTERM, lambda number, frame: None)
    try:
        with no_signal_lost(signal.SIGTERM):
            pass
        with pytest.raises(Stopped) as stopped, no_signal_lost(signal.SIGTERM):
            os.kill(os.getpid(), signal.SIGTERM)
        assert stopped.value.exit_code == 143 and signal.set_wakeup_fd(-1) == -1
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_signal_is_heard_although_its_handler_was_taken_away_behind_pythons_back() -> None:
    """As the end of Ray does it: SIGTERM would kill this process."""
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    libc, default = ctypes.CDLL(None), ctypes.c_void_p(0)

    def caught() -> bool:
        found = re.search(r"SigCgt:\s*(\w+)", Path("/proc/self/status").read_text())
        return bool(found and int(found[1], 16) >> (signal.SIGTERM - 1) & 1)

    try:
        with still_heard(signal.SIGTERM):
            libc.signal(signal.SIGTERM, default)
            until(caught)
            os.kill(os.getpid(), signal.SIGTERM)
            libc.signal(signal.SIGTERM, default)
        assert caught() and heard == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_an_exit_that_python_drops_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """As Ray's handler of SIGTERM raises one, inside a hook of a fork; another fault is said."""

    class Dropped:
        def __init__(self, error: BaseException) -> None:
            self.error = error

        def __del__(self) -> None:
            raise self.error

    before = sys.unraisablehook
    sys.unraisablehook = sys.__unraisablehook__
    try:
        with no_signal_lost(signal.SIGTERM):
            Dropped(SystemExit(15))
            Dropped(ValueError("another"))
    finally:
        sys.unraisablehook = before
    said = capsys.readouterr().err
    assert "SystemExit" not in said and "ValueError: another" in said


def test_a_signal_is_kept_until_it_is_asked_for_and_the_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with Stop() as stop:
        stop.check()
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Stopped):
            stop.check()
        assert stop.signal == signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            signal.sigtimedwait([], 1.0)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_trials_without_numbers_are_told_at_the_end_with_what_runs_them_again(
    sweep: Sweep, data: Data, tmp_path: Path
) -> None:
    points = _fill(Agenda(sweep, Folder(tmp_path), data), 4)
    rows = [row(point, i) for i, point in enumerate(points * 4)]
    bad = [
        replace(r, state="invalid" if i == 3 else "failed", reason=f"reason {i}")
        for i, r in enumerate(rows[:12])
    ]
    said = without_numbers([*bad, *rows[12:]], "raymia run s.yaml")
    assert said[0] == "12 trials have no numbers:" and "trial 3 invalid" in said[4]
    assert "reason 3" in said[4] and said[11] == "  and 2 more; trials.csv has them all"
    assert said[12] == "failed ones run again by: raymia run s.yaml --retry-failed"
    assert without_numbers([bad[3]], "x")[-1].endswith("reason 3"), "an invalid one stays so"
    assert without_numbers(rows[12:], "x") == []


def _fill(agenda: Agenda, count: int, failing: int = -1) -> list[Point]:
    made = []
    for _ in range(count):
        index = agenda.next()
        assert index is not None
        made.append(agenda.point(index))
        agenda.finish(
            row(
                made[-1], index, "failed" if index == failing else "done", accuracy=0.5 + index / 50
            )
        )
    return made


def test_an_agenda_goes_on_from_its_folder_with_the_same_points(
    sweep: Sweep, data: Data, tmp_path: Path
) -> None:
    whole = _fill(Agenda(sweep, Folder(tmp_path / "a"), data), 9)
    first = _fill(Agenda(sweep, Folder(tmp_path / "b"), data), 4)
    later = Agenda(sweep, Folder(tmp_path / "b"), data)
    assert later.pending == [4, 5, 6, 7, 8] and later.unfinished == 5
    assert first + _fill(later, 5) == whole
    assert Agenda(sweep, Folder(tmp_path / "b"), data).pending == []
    assert len({point.digest() for point in whole}) == 9


def test_an_agenda_waits_for_the_row_that_a_suggestion_needs(
    sweep: Sweep, data: Data, tmp_path: Path
) -> None:
    agenda = Agenda(sweep, Folder(tmp_path), data)
    assert [agenda.next() for _ in range(5)] == [0, 1, 2, 3, None]  # lag 4
    agenda.finish(row(agenda.point(1), 1))
    assert agenda.next() is None
    agenda.finish(row(agenda.point(0), 0))
    assert [agenda.next() for _ in range(3)] == [4, 5, None]
    agenda.again(5)
    assert agenda.next() == 5


def test_retrying_a_failed_row_changes_no_suggestion(
    sweep: Sweep, data: Data, tmp_path: Path
) -> None:
    points = _fill(Agenda(sweep, Folder(tmp_path), data), 7, failing=2)
    agenda = Agenda(sweep, Folder(tmp_path), data, retry_failed=True)
    assert agenda.pending == [2, 7, 8] and agenda.failed
    assert agenda.next() == 2 and agenda.point(2) == points[2]
    agenda.finish(row(points[2], 2, accuracy=0.99))
    rest = _fill(agenda, 2)
    assert not agenda.failed and agenda.unfinished == 0
    kept = Agenda(sweep, Folder(tmp_path / "kept"), data)
    assert _fill(kept, 9, failing=2) == points + rest


def test_other_attacks_score_the_same_points_again_and_suggest_nothing_new(
    sweep: Sweep, data: Data, tmp_path: Path
) -> None:
    points = _fill(Agenda(sweep, Folder(tmp_path), data), 9)
    fewer = Agenda(replace(sweep, attacks=sweep.attacks[:1]), Folder(tmp_path), data)
    assert fewer.pending == list(range(9))
    again = _fill(fewer, 9)
    assert [p.recipe for p in again] == [p.recipe for p in points]
    assert all(p.attacks == sweep.attacks[:1] for p in again)


def _worker(point: Point, data: Data, tmp_path: Path) -> worker.Trial:
    one = worker.Trial.__new__(worker.Trial)
    one._data, one._signals, one._limit = data, tmp_path, None
    one._folder = Local(tmp_path)
    one._pool = type("Pool", (), {"map": staticmethod(map)})()
    one.reset_config({"trial": 3, "point": point})
    return one


def test_what_a_step_gives_back(
    sweep: Sweep, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = sweep.point(0, {}, 0, data)
    one = _worker(point, data, tmp_path)

    def step(result: Any) -> dict[str, Any]:
        def fake(*_: Any, **__: Any) -> Row:
            if isinstance(result, Exception):
                raise result
            return result  # type: ignore[no-any-return]

        monkeypatch.setattr(trials, "run", fake)
        return one.step()

    done = row(point, -1)
    assert Row.from_json(json.loads(step(done)["row"])) == replace(done, trial=3)
    broken = Row.from_json(json.loads(step(ZeroDivisionError("by\n  zero"))["row"]))
    assert (broken.state, broken.reason, broken.trial) == (
        "failed",
        "ZeroDivisionError: by zero",
        3,
    )
    assert broken.digest == point.digest() and broken.models == 4
    assert step(EnvironmentFault("no disk"))["fault"] == "no disk"
    assert "No space left" in step(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))["fault"]
    lost = worker.ray.exceptions.ActorDiedError()
    with pytest.raises(worker.ray.exceptions.RayError):
        step(lost)


def test_rows_of_other_versions_are_not_mixed(sweep: Sweep, data: Data, tmp_path: Path) -> None:
    agenda = Agenda(sweep, Folder(tmp_path), data)
    index = agenda.next()
    assert index == 0
    old = row(agenda.point(0), 0)
    agenda.finish(replace(old, versions=old.versions | {"torch": "0.1"}))
    agenda = Agenda(sweep, Folder(tmp_path), data)
    with pytest.raises(EnvironmentFault, match=r"torch 0\.1"):
        tune._check(agenda, mix_versions=False)
    tune._check(agenda, mix_versions=True)


def test_a_full_disk_is_found_before_anything_starts(
    sweep: Sweep, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agenda = Agenda(sweep, Folder(tmp_path), data)
    usage = type("Usage", (), {"free": 2**20})
    monkeypatch.setattr(tune.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(EnvironmentFault, match="1 MB are free"):
        tune._check(agenda, mix_versions=False)


@pytest.mark.parametrize("keep, left", [("all", {0, 1, 2}), ("front", {0, 2}), ("none", set())])
def test_signals_that_are_not_asked_for_go(
    sweep: Sweep, data: Data, tmp_path: Path, keep: str, left: set[int]
) -> None:
    agenda = Agenda(replace(sweep, keep_signals=keep), Folder(tmp_path), data)
    for index, (accuracy, auc) in enumerate([(0.9, 0.7), (0.8, 0.7), (0.8, 0.6)]):
        agenda.next()
        agenda.finish(row(agenda.point(index), index, accuracy=accuracy, auc=auc))
        (agenda.folder.signals / agenda.rows[index].signals).mkdir(parents=True)
        agenda.folder.put(f"scores/{agenda.rows[index].digest}.npz", b"x")
    tune._tidy(agenda)
    scores = {path.stem for path in (tmp_path / "scores").iterdir()}
    assert scores == {agenda.rows[index].digest for index in left}
    there = {path.name for path in agenda.folder.signals.iterdir()}
    assert there == {agenda.rows[index].signals for index in left}


def test_the_front_on_the_screen_is_that_of_the_table(sweep: Sweep, data: Data) -> None:
    from raymia.report.query import front

    rng, point = np.random.default_rng(0), sweep.point(0, {}, 0, data)
    pairs = np.round(rng.random((40, 2)), 1)  # rounded, for ties
    rows = [row(point, i, accuracy=float(a), auc=float(b)) for i, (a, b) in enumerate(pairs)]
    lines = [{"trial": r.trial, "state": r.state, **r.numbers} for r in rows]
    assert [r.trial for r in best(rows)] == front(lines)


def test_a_log_has_one_plain_line_a_trial(
    sweep: Sweep, data: Data, capfd: pytest.CaptureFixture[str]
) -> None:
    point = sweep.point(1, {"relaxloss.alpha": 0.125}, 0, data)
    progress = Progress()
    progress.start(2, {})
    progress.running(1, point)
    progress.finished(row(point, 1, accuracy=0.75, auc=0.625))
    progress.stop()
    out, said = capfd.readouterr()
    assert out == "" and said.count("\n") == 1
    assert said.startswith("trial 1 done: relaxloss alpha=0.125")
    assert "accuracy 0.750, AUC 0.625 (loss)" in said and "[1/2" in said
    assert line(row(point, 1, "failed")).endswith(": ValueError: broken")
