"""What Ray says goes into a file, however it says it; what we say reaches the user; a Ray that is
gone ends the run.
"""

import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from raymia.cluster import vigil
from raymia.cluster.interrupt import Stop
from raymia.errors import EnvironmentFault

TALK = """
import os, subprocess, sys
from pathlib import Path
from raymia.cluster.aside import SCREEN, aside
SCREEN.say("before")
with aside(Path(sys.argv[1])):
    if sys.argv[2] == "loud":
        print("python")
        print("python on stderr", file=sys.stderr)
        os.write(2, b"C++\\n")
        subprocess.run([sys.executable, "-c", "print('a child')"])
    SCREEN.say("ours")
    if len(sys.argv) > 3:
        raise ValueError("the end")
print("after")
"""


def talk(log: Path, *how: str) -> tuple[str, str]:
    """(stdout, stderr)"""
    done = subprocess.run(
        [sys.executable, "-c", TALK, str(log), *how], capture_output=True, text=True
    )
    return done.stdout, done.stderr


def test_whoever_speaks_it_goes_to_the_log_and_the_log_is_named(tmp_path: Path) -> None:
    log = tmp_path / "ray.log"
    log.write_text("of the run before")
    out, err = talk(log, "loud")
    assert out == "after\n"
    assert err.splitlines() == ["before", "ours", f"what Ray said: {log}"]
    assert sorted(log.read_text().splitlines()) == ["C++", "a child", "python", "python on stderr"]
    assert log.stat().st_mode & 0o777 == 0o600


def test_where_nothing_is_said_there_is_no_log(tmp_path: Path) -> None:
    assert talk(tmp_path / "ray.log", "silent") == ("after\n", "before\nours\n")
    assert list(tmp_path.iterdir()) == []


def test_stdout_may_be_closed(tmp_path: Path) -> None:
    command = ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-c", TALK]
    done = subprocess.run(
        [*command, str(tmp_path / "ray.log"), "silent"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "before\nours\n")


def test_an_error_inside_is_seen_by_the_user(tmp_path: Path) -> None:
    out, err = talk(tmp_path / "ray.log", "loud", "raise")
    assert out == "" and err.splitlines()[-1] == "ValueError: the end"


# ---- a Ray that is gone ------------------------------------------------------------------------


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[EnvironmentFault]:
    """A vigil that looks often, has little patience, and only notes that it would end us."""
    found: list[EnvironmentFault] = []
    monkeypatch.setattr(vigil, "_LOOK", 0.01)
    monkeypatch.setattr(vigil, "_PATIENCE", 0.05)
    monkeypatch.setattr(vigil.Vigil, "_end", lambda self, fault: found.append(fault))
    return found


def watched(monkeypatch: pytest.MonkeyPatch, look: Callable[[], str]) -> tuple[vigil.Vigil, Stop]:
    monkeypatch.setattr(vigil, "_own", look)
    stop = Stop()
    return vigil.Vigil(stop, Path("nowhere"), ours=True), stop


def test_who_leaves_in_time_is_not_ended(
    ended: list[EnvironmentFault], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vigil, "_PATIENCE", 60.0)
    one, stop = watched(monkeypatch, lambda: "its head has ended")
    with one, pytest.raises(EnvironmentFault, match="Ray is gone: its head has ended; the same"):
        while True:
            stop.check()
    assert ended == []


def test_who_cannot_leave_is_ended(
    ended: list[EnvironmentFault], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, stop = watched(monkeypatch, lambda: "its head has ended")
    with one:
        one._thread.join()  # as a call into Ray that never comes back
    assert ended == [stop.fault] and ended[0].exit_code == 3


def test_once_it_rests_the_end_of_ray_is_no_fault(
    ended: list[EnvironmentFault], monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = threading.Event()
    one, stop = watched(monkeypatch, lambda: "ended by us" if gone.is_set() else "")
    with one:
        one.rest()
        one._thread.join()
        gone.set()
    assert stop.fault is None and ended == []


def test_the_processes_of_a_ray_of_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    dead: list[tuple[str, object]] = []
    node = SimpleNamespace(dead_processes=lambda: dead)
    monkeypatch.setattr(vigil.ray._private.worker, "_global_node", node)
    assert vigil._own() == ""
    dead.append(("monitor", object()))  # nothing depends on it
    assert vigil._own() == ""
    dead.append(("raylet", object()))
    assert vigil._own() == "its node manager, raylet, has ended"
    monkeypatch.setattr(vigil.ray._private.worker, "_global_node", None)  # it is not there yet
    assert vigil._own() == ""


def test_a_head_elsewhere_is_gone_once_it_was_silent_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [100.0]
    monkeypatch.setattr(vigil, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(vigil.ray, "is_initialized", lambda: True)
    with socket.create_server(("127.0.0.1", 0)) as door:
        address = f"127.0.0.1:{door.getsockname()[1]}"
        context = SimpleNamespace(gcs_address=address)
        monkeypatch.setattr(vigil.ray, "get_runtime_context", lambda: context)
        look = vigil._Joined()
        for _ in range(3):
            clock[0] += 1000
            assert look() == ""  # it answers, however long that takes
    clock[0] += 39
    assert look() == ""
    clock[0] += 2
    assert look() == f"the head at {address} has not answered for 41 s"
