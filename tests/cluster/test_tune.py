"""The same bytes whatever happens to the processes, and an exit code that says what did."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from raymia import machine
from raymia.cluster import scratch
from raymia.cluster.progress import best
from raymia.records import data
from raymia.results.folder import Folder
from raymia.study import sweep
from raymia.trial import confirm

from .conftest import Driver, until

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module", autouse=True)
def files_of_the_user(driver: Driver) -> None:
    """They stand in the current folder, and no worker may take them for Python's own."""
    for name in ("random", "statistics"):
        (driver.folder / f"{name}.py").write_text("raise RuntimeError('the file of a user')\n")


CPUS = machine.cpus()
ALONE = ("--set", f"resources.cpu={CPUS}")
PAIRED = ("--set", f"resources.cpu={CPUS / 2:g}")


@pytest.fixture(scope="module")
def calm(driver: Driver) -> dict[str, str]:
    """The tables of a run that nothing happened to, one trial at a time."""
    code, said = driver.run("calm", *ALONE)
    assert code == 0, said
    assert len(re.findall(r"^trial \d+ done: ", said, re.MULTILINE)) == 9
    return driver.tables("calm")


def test_running_again_changes_nothing_and_starts_no_ray(
    driver: Driver, calm: dict[str, str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in (driver.folder / "calm").rglob("*.csv")}
    # Joining this cluster would fail; so nobody tried.
    left = scratch.place(driver.folder / "calm")  # by a driver that was killed after its last row
    left.mkdir(mode=0o700)
    code, said = driver.run("calm", *ALONE, RAY_ADDRESS="127.0.0.1:1")
    assert not left.exists()
    assert code == 0, said
    assert driver.tables("calm") == calm
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert not (driver.folder / "home" / ".ray").exists()
    shutil.copytree(driver.folder / "calm", driver.folder / "kept")
    code, said = driver.run(
        "kept", *ALONE, "--set", "keep_signals=front", RAY_ADDRESS="127.0.0.1:1"
    )
    assert code == 0, said
    front = {row.signals for row in best(Folder(driver.folder / "kept").rows())}
    assert {path.name for path in (driver.folder / "kept" / "signals").iterdir()} == front


def test_whatever_happens_to_the_processes_the_bytes_are_the_same(
    driver: Driver, calm: dict[str, str]
) -> None:
    """One run of two trials at a time: SIGINT, SIGTERM, kill -9 of the driver, then of a
    trial's worker and of an attacker.
    """
    process = driver.start("hard", *PAIRED)
    # it holds the folder, and starts Ray
    until(lambda: scratch.place(driver.folder / "hard").exists())
    other, said = driver.run("hard", *PAIRED)
    assert other == 4 and str(process.pid) in said
    interrupt(driver, process, signal.SIGINT, 130, rows=2)
    interrupt(driver, driver.start("hard", *PAIRED), signal.SIGTERM, 143, rows=4)

    process = driver.start("hard", *PAIRED)
    driver.wait_for_rows(process, "hard", 6)
    process.kill()
    process.wait()
    rows, models = {p: p.stat().st_mtime_ns for p in driver.rows("hard")}, driver.models("hard")
    assert 6 <= len(rows) < 9
    kept = {row.signals for row in Folder(driver.folder / "hard").rows()}

    process = driver.start("hard", *PAIRED)
    register = scratch.place(driver.folder / "hard") / "processes"
    driver.wait_for_rows(process, "hard", len(rows) + 1)
    victims = {path.read_text().split()[1]: int(path.name) for path in register.glob("*")}
    assert set(victims) == {"trial", "attacker"}
    for pid in victims.values():
        os.kill(pid, signal.SIGKILL)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert driver.tables("hard") == calm
    assert {p: p.stat().st_mtime_ns for p in rows} == rows
    after = driver.models("hard")
    finished = {path: stamp for path, stamp in models.items() if path.parent.name in kept}
    # nothing was trained twice
    assert finished and {path: after[path] for path in finished} == finished
    assert not scratch.place(driver.folder / "hard").exists()


def test_confirming_on_ray_gives_what_one_process_gives(
    driver: Driver, calm: dict[str, str]
) -> None:
    here, there = driver.folder / "here", driver.folder / "there"
    for copy in (here, there):
        shutil.copytree(driver.folder / "calm", copy)
    process = driver.command("confirm", str(there), "--seeds", "2", "--log", "json")
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0 and "confirmed" in said, said
    told = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    draws = [one["state"] for one in told if one["event"] == "finished"]
    begun = next(one for one in told if one["event"] == "begin")
    assert begun["one"] == "draw" and draws == ["done"] * begun["total"]
    asked = sweep.load(here / "sweep.yaml", [])
    rows = confirm.run(Folder(here), data.load(asked.dataset, asked.search.seed), 2)
    assert rows and Folder(there).confirmed() == rows
    page = (there / "report.html").read_text()
    assert "decide on the confirmed numbers" in page  # the report is of what is confirmed, too
    assert (here / "pareto.csv").read_bytes() == (there / "pareto.csv").read_bytes()


def interrupt(
    driver: Driver, process: "subprocess.Popen[str]", number: int, code: int, rows: int
) -> None:
    """The signal, once so many rows are there: what is finished is kept, nothing is left
    running, and the way on is said.
    """
    driver.wait_for_rows(process, "hard", rows)
    pids = [
        int(path.name) for path in (scratch.place(driver.folder / "hard") / "processes").glob("*")
    ]
    assert pids
    begin = time.monotonic()
    process.send_signal(number)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == code, said
    assert time.monotonic() - begin < 20  # 10 s on a machine of one's own
    assert "Traceback" not in said and f"exit code {code}" in said
    assert f"go on with: raymia run {driver.folder / 'hard' / 'sweep.yaml'}" in said
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), 5.0)
    lines = (driver.folder / "hard" / "trials.csv").read_text().splitlines()
    # each row that is there, and so committed
    assert len(lines) == 1 + len(driver.rows("hard")) >= 1 + rows


def test_a_run_that_is_stopped_while_ray_starts(driver: Driver) -> None:
    process = driver.start("early", *PAIRED)
    until(lambda: (scratch.place(driver.folder / "early") / "ray").exists())
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 143 and "Traceback" not in said, said
    assert driver.rows("early") == []


def test_trials_without_a_number_make_it_exit_1(driver: Driver) -> None:
    code, said = driver.run("wild", "--trials", "2", "--set", "training.lr=1e12", *PAIRED)
    assert code == 1, said
    assert [row.state for row in Folder(driver.folder / "wild").rows()] == ["invalid", "invalid"]


def test_what_can_never_be_scheduled_is_refused_at_once(driver: Driver) -> None:
    begin = time.monotonic()
    code, said = driver.run("huge", "--set", "resources.cpu=4000")
    assert code == 2 and time.monotonic() - begin < 10  # 5 s on a machine of one's own
    assert (
        f"4000 CPU and 0 GPU (resources.cpu, resources.gpu) and the machine has {CPUS} CPU and 0 "
        "GPU" in said
    )
    # nothing stands in the way of a next try
    assert [path.name for path in (driver.folder / "huge").iterdir()] == [".lock"]
