"""Whether Ray is still there: without its head or its raylet a driver waits, and is ended by
Ray's C++ after a minute with no word and exit 1.
"""

import contextlib
import os
import shutil
import socket
import threading
import time
from pathlib import Path

import ray

from raymia.cluster import processes
from raymia.cluster.aside import SCREEN
from raymia.cluster.interrupt import Stop
from raymia.errors import EnvironmentFault

_LOOK = 0.5  # seconds between two looks
# seconds for the run to leave by itself, CSVs written; a call into Ray may never come back
_PATIENCE = 6.0
_UNREACHED = 40.0  # seconds without an answer of a cluster's head; after 60 Ray ends the process
_VITAL = {"gcs_server": "its head, gcs_server,", "raylet": "its node manager, raylet,"}


class Vigil:
    """A thread that looks at Ray until `rest()`. Where Ray is gone, `stop` learns of it; where
    nobody has left (`__exit__`) some seconds later, this process ends: one line, exit 3.

    `folder`: our private one. `ours`: whether this process starts the Ray.
    """

    def __init__(self, stop: Stop | None, folder: Path, ours: bool) -> None:
        self._stop, self._folder = stop, folder
        self._look = _own if ours else _Joined()
        self._rests, self._left = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Vigil":
        self._thread.start()
        return self

    def rest(self) -> None:
        """Ray is about to be ended by us."""
        self._rests.set()

    def __exit__(self, *error: object) -> None:
        self.rest()
        self._left.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._rests.wait(_LOOK):
            if gone := self._look():
                fault = EnvironmentFault(f"Ray is gone: {gone}; the same command goes on")
                if self._stop is not None:
                    self._stop.fault = fault
                if not self._left.wait(_PATIENCE):
                    self._end(fault)
                return

    def _end(self, fault: EnvironmentFault) -> None:
        """Ends this process, with what our Ray left here."""
        with contextlib.suppress(Exception):
            ray._private.worker._global_node.kill_all_processes(
                check_alive=False, allow_graceful=False, wait=True
            )
        processes.end(self._folder / "processes")
        shutil.rmtree(self._folder, ignore_errors=True)
        SCREEN.say(f"what Ray said: {self._folder.with_suffix('.log')}\nraymia: {fault}")
        os._exit(fault.exit_code)


def _own() -> str:
    """What is gone of a Ray that this process started; empty where all of it is there."""
    node, ended = ray._private.worker._global_node, {}
    with contextlib.suppress(RuntimeError):  # it is just starting one
        ended = {} if node is None else dict(node.dead_processes())
    return next((f"{_VITAL[name]} has ended" for name in _VITAL if name in ended), "")


class _Joined:
    """The head of a cluster is somewhere else: it answers, or it has not for long."""

    def __init__(self) -> None:
        self._door, self._answered = ("", 0), 0.0

    def __call__(self) -> str:
        if not ray.is_initialized() or ray.util.client.ray.is_connected():
            return ""
        if not self._answered:
            host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
            self._door, self._answered = (host.strip("[]"), int(port)), time.monotonic()
        with contextlib.suppress(OSError):
            socket.create_connection(self._door, timeout=5.0).close()
            self._answered = time.monotonic()
        silent = time.monotonic() - self._answered
        if silent < _UNREACHED:
            return ""
        return "the head at {}:{} has not answered".format(*self._door) + f" for {silent:.0f} s"
