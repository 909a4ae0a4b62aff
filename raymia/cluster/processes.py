"""No orphans: the processes of a run are written down, so that the next run of the same folder
can end those left over.

A register is a folder with one file for each process, named by its number. It holds the time at
which the process was started, by which another one that has got the number since is told apart,
and what the process does.
"""

import contextlib
import ctypes
import os
import signal
import sys
import time
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def hold(register: str | None, what: str) -> None:
    """Write this process down, and have Linux end it as soon as the process that started it
    (Ray's raylet) is gone.

    None: the cluster is not ours, and Ray ends what a driver leaves behind.
    """
    if register is None:
        return
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    Path(register, str(os.getpid())).write_text(f"{started(os.getpid())} {what}")


def started(pid: int) -> str:
    """When a process was started, in the kernel's ticks; empty where that cannot be told or
    there is none.
    """
    try:
        # The second field, the command, may hold spaces and brackets; it ends at the last bracket.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def alive(register: Path) -> list[int]:
    """The processes of a register that are still there."""
    noted = {int(p.name): p.read_text().partition(" ")[0] for p in register.glob("[0-9]*")}
    return [pid for pid, when in noted.items() if when and started(pid) == when]


def end(register: Path, grace: float = 0.0) -> None:
    """Give the processes of a register `grace` seconds to end, kill those that have not, and see
    them gone.
    """
    deadline = time.monotonic() + grace
    while alive(register) and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid in alive(register):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 5.0
    while alive(register) and time.monotonic() < deadline:
        time.sleep(0.05)
