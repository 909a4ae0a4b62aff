"""A lock on object storage: an object that its holder renews."""

import contextlib
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from raymia.errors import EnvironmentFault, Locked

SECONDS = 60.0  # that a lock is good for without being renewed
_OLD = 600.0  # a lease this far past its end by our own clock is dead, however wrong the clock


@dataclass(frozen=True)
class Lock:
    """The object that says who holds a folder, and how it is read, written and removed."""

    folder: str
    place: str
    read: Callable[[], bytes | None]
    write: Callable[[bytes], None]
    remove: Callable[[], None]


class Lease:
    """`.lock`: who holds the folder, a number drawn for this holding, and a count that rises
    with each renewal.
    """

    def __init__(self, lock: Lock, seconds: float = SECONDS):
        self._lock, self._seconds = lock, seconds
        self._own = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
            "nonce": secrets.token_hex(8),
        }
        self._renewed, self._count = 0.0, 0
        self._stolen = False
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="raymia-lease", daemon=True)

    def __enter__(self) -> "Lease":
        self._wait()
        self._sign()
        # Two that saw the same dead lease both sign; the pause lets the later one win for both.
        self._end.wait(min(1.0, self._seconds / 10))
        now = self._read()
        if now.get("nonce") != self._own["nonce"]:
            raise Locked(self._held_by(now))
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.set()
        self._thread.join(5.0)
        with contextlib.suppress(EnvironmentFault):
            if self._read().get("nonce") == self._own["nonce"]:
                self._lock.remove()

    def check(self) -> None:
        """Raises EnvironmentFault where the lease is no longer ours, or may not be."""
        if self._stolen or time.monotonic() - self._renewed > self._seconds:
            why = (
                "another raymia took it"
                if self._stolen
                else f"it could not be renewed for {self._seconds:g} s"
            )
            raise EnvironmentFault(
                f"{self._lock.place}: the lease on the folder is lost ({why}); run the command "
                "again"
            )

    def _wait(self) -> None:
        """Until nobody holds the folder. A lease that is not renewed for its whole length by
        our own clock is dead.
        """
        first, begin = self._read(), time.monotonic()
        while first:
            if (
                time.time() > first.get("until", 0.0) + _OLD
                or time.monotonic() - begin > self._seconds
            ):
                return
            self._end.wait(min(2.0, self._seconds / 10))
            now = self._read()
            if now and now != first:
                raise Locked(self._held_by(now))
            first = now

    def _held_by(self, lease: dict[str, Any]) -> str:
        who = (
            f"process {lease.get('pid')} on {lease.get('host')} since {lease.get('since')}"
            if lease
            else "another process"
        )
        return f"{self._lock.folder} is held by {who}; wait for it, or choose another --out"

    def _read(self) -> dict[str, Any]:
        try:
            found = json.loads(self._lock.read() or b"{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def _sign(self) -> None:
        begin = time.monotonic()
        self._count += 1
        content = {**self._own, "count": self._count, "until": time.time() + self._seconds}
        self._lock.write(json.dumps(content).encode())
        self._renewed = begin

    def _keep(self) -> None:
        while not self._end.wait(self._seconds / 4):
            # tried again; `check` refuses once it is too late
            with contextlib.suppress(EnvironmentFault):
                if self._read().get("nonce") != self._own["nonce"]:
                    self._stolen = True
                    return
                self._sign()
