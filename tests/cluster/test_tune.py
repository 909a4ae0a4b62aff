"""The same bytes whatever happens to the processes, and an exit code that says what did."""

import os
import re
import signal
import time
from pathlib import Path

import pytest

from raymia.cluster import session as sessions
from raymia.results import Folder

from .conftest import Driver, until

pytestmark = pytest.mark.cluster
CPUS = sessions.cpus()
ALONE = ("--set", f"resources.cpu={CPUS}")
PAIRED = ("--set", f"resources.cpu={CPUS / 2:g}")


@pytest.fixture(scope="module")
def calm(driver: Driver) -> dict[str, str]:
    """The tables of a run that nothing happened to, one trial at a time."""
    code, said = driver.run("calm", *ALONE)
    assert code == 0, said
    assert len(re.findall(r"^trial \d+ done: ", said, re.MULTILINE)) == 9
    return driver.tables("calm")


def test_running_again_changes_nothing_and_starts_no_ray(driver: Driver, calm: dict[str, str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in (driver.folder / "calm").rglob("*.csv")}
    # Joining this cluster would fail; so nobody tried.
    code, said = driver.run("calm", *ALONE, RAY_ADDRESS="127.0.0.1:1")
    assert code == 0, said
    assert driver.tables("calm") == calm
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert not (driver.folder / "home" / ".ray").exists()


def test_two_at_a_time_with_a_worker_and_an_attacker_killed(driver: Driver, calm: dict[str, str]) -> None:
    process = driver.start("paired", *PAIRED)
    driver.wait_for_rows(process, "paired", 2)
    leash = sessions.place(driver.folder / "paired") / "leash"
    victims = {path.read_text().split()[1]: int(path.name) for path in leash.glob("*")}
    assert set(victims) == {"trial", "attacker"}
    for pid in victims.values():
        os.kill(pid, signal.SIGKILL)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert driver.tables("paired") == calm


def test_kill_the_driver_and_go_on(driver: Driver, calm: dict[str, str]) -> None:
    process = driver.start("killed", *PAIRED)
    driver.wait_for_rows(process, "killed", 4)
    process.kill()
    process.wait()
    rows, models = {p: p.stat().st_mtime_ns for p in driver.rows("killed")}, driver.models("killed")
    assert 4 <= len(rows) < 9
    kept = {row.signals for row in Folder(driver.folder / "killed").rows()}
    code, said = driver.run("killed", *PAIRED)
    assert code == 0, said
    assert driver.tables("killed") == calm
    assert {p: p.stat().st_mtime_ns for p in rows} == rows
    after = driver.models("killed")
    finished = {path: stamp for path, stamp in models.items() if path.parent.name in kept}
    assert finished and {path: after[path] for path in finished} == finished
    assert not sessions.place(driver.folder / "killed").exists()


def test_signals_another_driver_and_going_on(driver: Driver, calm: dict[str, str]) -> None:
    for number, code, rows in ((signal.SIGINT, 130, 2), (signal.SIGTERM, 143, 4)):
        process = driver.start("stopped", *PAIRED)
        if number == signal.SIGINT:
            until(lambda: sessions.place(driver.folder / "stopped").exists())  # it holds the folder, and starts Ray
            other, said = driver.run("stopped", *PAIRED)
            assert other == 4 and str(process.pid) in said
        driver.wait_for_rows(process, "stopped", rows)
        leash = sessions.place(driver.folder / "stopped") / "leash"
        pids = [int(path.name) for path in leash.glob("*")]
        assert pids
        begin = time.monotonic()
        process.send_signal(number)
        said, _ = process.communicate(timeout=60)
        assert process.returncode == code, said
        assert time.monotonic() - begin < 20  # 10 s on a machine of one's own
        assert "Traceback" not in said
        assert f"go on with: raymia run {driver.folder / 'stopped' / 'sweep.yaml'}" in said
        until(lambda pids=pids: not any(Path(f"/proc/{pid}").exists() for pid in pids), 5.0)  # type: ignore[misc]
        assert (driver.folder / "stopped" / "trials.csv").exists()
    code, said = driver.run("stopped", *PAIRED)
    assert code == 0, said
    assert driver.tables("stopped") == calm


def test_trials_without_a_number_make_it_exit_1(driver: Driver) -> None:
    code, said = driver.run("wild", "--trials", "2", "--set", "training.lr=1e12", *PAIRED)
    assert code == 1, said
    assert [row.state for row in Folder(driver.folder / "wild").rows()] == ["invalid", "invalid"]


def test_what_can_never_be_scheduled_is_refused_at_once(driver: Driver) -> None:
    begin = time.monotonic()
    code, said = driver.run("huge", "--set", "resources.cpu=4000")
    assert code == 2 and time.monotonic() - begin < 10  # 5 s on a machine of one's own
    assert f"4000 CPU and 0 GPU (resources.cpu, resources.gpu) and the machine has {CPUS} CPU and 0 GPU" in said
    assert driver.rows("huge") == []
