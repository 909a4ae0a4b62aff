"""Who may write into a folder of object storage: one object, `.lock`, and what it promises.

A lock with a clock cannot keep a driver that was suspended from writing when it wakes. So
`.lock` says *who* and *what*: its holder names in it what it is about to write (`names`), and
every put is tied to the version that the holder saw before it said so. Whoever takes the folder
swaps `.lock` first, and then changes each object that is named there: a put of the former holder
that is still on its way finds another version, and fails, however late it comes. Nothing new can
be named by a driver that lost `.lock`, since naming is a swap too. The clock only says when
another may try.
"""

import contextlib
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from math import inf
from typing import Any

from raymia.errors import EnvironmentFault, Locked
from raymia.results.objects import ABSENT, Changed, Found, Objects

LOCK = ".lock"
SECONDS = 60.0  # without a word from its holder, and another may take the folder
_OLD = 600.0  # a claim this far past its end by our own clock is dead, however wrong the clock
_AGAIN = b"\n \n"
_CLOSED = b"raymia: nothing is here, and no earlier driver can write it. "
CLOSED_SIZE = len(_CLOSED) + 32


class Clock:
    """Seconds by a clock that never jumps, and by the one on the wall; waiting, for one another
    too; and work that is done every so often, beside what stands in the `with`, as long as it
    returns True.
    """

    now = staticmethod(time.monotonic)
    wall = staticmethod(time.time)
    wait = staticmethod(time.sleep)
    mutex = staticmethod(threading.Lock)

    @contextlib.contextmanager
    def every(self, seconds: float, work: Callable[[], bool]) -> Iterator[None]:
        end = threading.Event()

        def go_on() -> None:
            while not end.wait(seconds) and work():
                pass

        thread = threading.Thread(target=go_on, name="raymia-claim", daemon=True)
        thread.start()
        try:
            yield
        finally:
            end.set()
            thread.join(5.0)


def closed(content: bytes) -> bool:
    """Whether an object only keeps former drivers from creating one of its name."""
    return content.startswith(_CLOSED) and len(content) == CLOSED_SIZE


def said(content: bytes) -> bytes:
    """What was written, without what only keeps former drivers from writing over it."""
    while content.endswith(_AGAIN):
        content = content.removesuffix(_AGAIN)
    return content


class Claim:
    """The right to write into a folder, from `take` to `give_back`. `token`: a number drawn for
    this holding, by which those who work for it know it.

    Raises Locked, also when another has taken the folder since; EnvironmentFault.
    """

    def __init__(self, objects: Objects, seconds: float = SECONDS, clock: Clock | None = None):
        self._objects, self._seconds, self._clock = objects, seconds, clock or Clock()
        self.token = secrets.token_hex(16)
        self.generation = 0
        self._own = {
            "nonce": self.token,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        self._count = 0
        self._version = ABSENT
        # name -> whether it may only be created; those whose put has not come back
        self._names: dict[str, bool] = {}
        self._open: set[str] = set()
        self._swapping = self._clock.mutex()
        self._taken, self._lost = False, ""

    def take(self) -> None:
        """Waits for a holder that is silent, at most `seconds`."""
        seen, begin = None, self._clock.now()
        while True:
            found = self._objects.get(LOCK)
            lock, version = parsed(found), found.version if found else ABSENT
            if lock.get("nonce"):
                if seen is not None and seen != version:
                    raise Locked(self._held_by(lock))
                if seen is None:
                    seen, begin = version, self._clock.now()
                silent = self._clock.now() - begin > self._seconds
                if not silent and self._clock.wall() < lock["until"] + _OLD:
                    self._clock.wait(min(2.0, self._seconds / 10))
                    continue
            self.generation, self._names = lock["generation"] + 1, lock["names"]
            self._version = version
            if self._swap():
                break
            seen = version
        self._taken = True
        try:
            self._open = set(self._names)
            self._close()
            self._names = {}
            self._prove()
        except EnvironmentFault:
            self.give_back()
            raise

    def renew(self) -> None:
        """Say that we are there. Raises Locked where the folder is another's."""
        with self._swapping:
            self._renew()

    def stay(self) -> bool:
        """Renew; False where the folder is another's. A fault is no reason to give up: it is
        ours as long as nobody else takes it.
        """
        try:
            self.renew()
        except Locked:
            return False
        except EnvironmentFault:
            pass
        return True

    def _renew(self) -> None:
        if self._lost or not self._swap():
            self._lost = self._lost or self._held_by(parsed(self._objects.get(LOCK)))
            raise Locked(self._lost)

    @contextlib.contextmanager
    def writing(self, name: str, once: bool, seen: bool) -> Iterator[None]:
        """Around the put of one object. `once`: it is created for good. `seen`: the version
        that it is tied to is from our own last put of it.

        Any other version must have been read before this is entered.
        """
        with self._swapping:
            self._open.add(name)
            if name not in self._names or not seen or self._lost:
                self._names[name] = once
                self._renew()
        yield  # where it raises, the put may yet land: the name stays
        with self._swapping:
            self._open.discard(name)
            if once:
                del self._names[name]

    def give_back(self) -> None:
        """Let others in at once; what may yet land is left to the next one to close."""
        with contextlib.suppress(EnvironmentFault), self._swapping:
            self._own["nonce"] = ""
            self._names = {name: self._names[name] for name in self._open}
            if not self._lost:
                self._swap()

    def _swap(self) -> bool:
        """Write `.lock` in place of the version that we know; False where it is another's."""
        self._count += 1
        lock = {
            "generation": self.generation,
            **self._own,
            "count": self._count,
            "until": self._clock.wall() + self._seconds,
            "names": dict(sorted(self._names.items())),
        }
        data = json.dumps(lock).encode()
        for _ in range(8):
            try:
                self._version = self._objects.put(LOCK, data, self._version)
                return True
            except Changed:
                found = self._objects.get(LOCK)
            # one of our own puts, whose answer was lost, has landed
            if found is None or self.token != parsed(found).get("nonce") and found.content != data:
                return False
            self._version = found.version
            if found.content == data:
                return True
        raise EnvironmentFault(f"{self._objects.place / LOCK}: {_NO_CONDITIONS}")

    def _close(self) -> None:
        """Change the objects that the former holder named, so that what it has on its way to
        them fails.
        """
        for _ in range(8):
            found = {name: self._objects.get(name) for name in sorted(self._open)}
            self.renew()  # so these are not the versions of somebody after us
            for name, one in found.items():
                content = _CLOSED + secrets.token_hex(16).encode()
                if one and not closed(one.content):
                    content = one.content + _AGAIN  # says the same: all of them are texts
                with contextlib.suppress(Changed):
                    # what is created for good, and is there, nobody can write any more
                    if not (one and self._names[name] and not closed(one.content)):
                        self._objects.put(name, content, one.version if one else ABSENT)
                    self._open.discard(name)
            if not self._open:
                return
        raise EnvironmentFault(f"{self._objects.place}: {_NO_CONDITIONS}")

    def _prove(self) -> None:
        """Some servers that speak S3 ignore the conditions of a put, and two drivers would
        both win. Raises EnvironmentFault for those.
        """
        former = self._version
        self.renew()
        now = self._objects.get(LOCK)
        for version in (former, ABSENT):
            with contextlib.suppress(Changed):
                self._objects.put(LOCK, now.content if now else b"", version)
                raise EnvironmentFault(f"{self._objects.place}: {_NO_CONDITIONS}")

    def _held_by(self, lock: Mapping[str, Any]) -> str:
        who = (
            f"process {lock['pid']} on {lock.get('host')} since {lock.get('since')}"
            if lock.get("nonce") and "pid" in lock
            else "another process"
        )
        folder = self._objects.place
        if self._taken:
            return (
                f"{folder} was taken by {who}, after this one was silent for {self._seconds:g} s "
                "or more; this one writes nothing more, and what it has written is kept"
            )
        return f"{folder} is held by {who}; wait for it, or choose another --out"


_NO_CONDITIONS = (
    "this object storage does not keep the conditions of a write (If-Match, If-None-Match), by "
    "which two drivers are kept apart; choose another --out"
)


def parsed(found: Found | None) -> dict[str, Any]:
    """What `.lock` says; held by nobody knows whom where it is damaged."""
    try:
        lock = dict(json.loads(found.content)) if found else {}
        return lock | {
            "generation": int(lock.get("generation", 0)),
            "until": float(lock.get("until", 0.0)),
            "names": {str(name): bool(once) for name, once in dict(lock.get("names", {})).items()},
        }
    except (ValueError, TypeError):
        return {"generation": 0, "until": inf, "names": {}, "nonce": "damaged"}
