"""A results folder on any file system of pyarrow: `s3://bucket/prefix`, `gs://bucket/prefix`, `file:///folder`."""

import contextlib
import json
import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from raymia.errors import EnvironmentFault, Locked, SweepError
from raymia.storage import Local, Storage

_URI = re.compile(r"(s3|gs|gcs|abfs|abfss|hdfs|file):/+(.*)", re.DOTALL)
_OBJECTS = {"s3", "gcs", "abfs"}  # a put shows the whole object or the old one
LEASE = 60.0  # seconds that a lock is good for without being renewed
_OLD = 600.0  # a lease this far past its end by our own clock is dead, however wrong the clock


@dataclass(frozen=True)
class Location:
    """A folder or file that a URI names; what a Path is for the local disk."""

    uri: str

    def __truediv__(self, name: str) -> "Location":
        bare, mark, query = self.uri.partition("?")  # the options of an S3 URI stand behind its path
        return Location(f"{bare.rstrip('/')}/{name}{mark}{query}")

    def __str__(self) -> str:
        return self.uri

    @property
    def name(self) -> str:
        return self.uri.partition("?")[0].rstrip("/").rpartition("/")[2]

    @property
    def parent(self) -> "Location":
        bare, mark, query = self.uri.partition("?")
        return Location(f"{bare.rstrip('/').rpartition('/')[0]}{mark}{query}")

    def resolve(self) -> "Location":
        return self


def locate(where: "Path | str | Location") -> Path | Location:
    """The Location that a URI names, also one that went through a Path and lost a slash; else the Path.

    Raises SweepError where a URI names no bucket or folder.
    """
    if isinstance(where, Location):
        return where
    found = _URI.fullmatch(str(where))
    if not found:
        return Path(where)
    scheme, rest = found.groups()
    if not rest.partition("?")[0].strip("/"):
        raise SweepError(f"{where}: a URI names a bucket or a folder, e.g. s3://bucket/sweeps/mine")
    return Location(f"{scheme}://{'/' if scheme == 'file' else ''}{rest}")


def storage(where: "Path | str | Location") -> Storage:
    """The storage of a results folder: a disk, or a file system of pyarrow."""
    place = locate(where)
    return Remote(place) if isinstance(place, Location) else Local(place)


class Remote:
    """Whole objects under a URI.

    pyarrow offers no put that fails where an object is. `create` looks, puts and reads back, and so only the one that
    holds `lock()` may call it: the lease keeps other writers out between the look and the put, and a driver whose lease ran
    out (it was suspended, or cut off) is refused every write. On file systems that are no object stores, a temporary file is
    written and moved. Raises EnvironmentFault naming the URI.
    """

    def __init__(self, place: Location, lease: float = LEASE):
        self.place, self._seconds = place, lease
        self._lease: _Lease | None = None

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        from pyarrow import fs

        with _faults(str(self.place)):
            system, root = fs.FileSystem.from_uri(self.place.uri)
        return system, root.rstrip("/")

    def _path(self, name: str) -> str:
        return f"{self._opened[1]}/{name}"

    def names(self, folder: str) -> list[str]:
        from pyarrow import fs

        system, _ = self._opened
        with _faults(str(self.place / folder)):
            found = system.get_file_info(fs.FileSelector(self._path(folder), allow_not_found=True))
        return sorted(one.base_name for one in found if one.is_file and not one.base_name.startswith("."))

    def read(self, name: str) -> bytes | None:
        system, _ = self._opened
        with _faults(str(self.place / name)):
            try:
                with system.open_input_stream(self._path(name), compression=None) as stream:
                    return bytes(stream.read())
            except FileNotFoundError:
                return None

    def create(self, name: str, data: bytes) -> bool:
        if self._there(name):
            return False
        self.replace(name, data)
        if self.read(name) != data:
            raise EnvironmentFault(f"{self.place / name} does not hold what was just written: is another raymia writing there?")
        return True

    def replace(self, name: str, data: bytes) -> None:
        if self._lease is not None:
            self._lease.check()
        with _faults(str(self.place / name)):
            self._put(name, data)

    def change(self, name: str, edit: Callable[[bytes | None], bytes]) -> None:
        """Replace a file by what `edit` makes of its content. Only one process may: on a cluster the Keeper."""
        self.replace(name, edit(self.read(name)))

    def delete(self, folder: str) -> None:
        """Remove a file, or a folder and what is in it; nothing where there is none."""
        system, _ = self._opened
        with _faults(str(self.place / folder)), contextlib.suppress(FileNotFoundError):
            (system.delete_file if self._there(folder) else system.delete_dir)(self._path(folder))

    def _there(self, name: str) -> bool:
        system, _ = self._opened
        with _faults(str(self.place / name)):
            return bool(system.get_file_info(self._path(name)).is_file)

    def _put(self, name: str, data: bytes) -> None:
        system, _ = self._opened
        final = self._path(name)
        whole = system.type_name in _OBJECTS
        at = final if whole else f"{final.rpartition('/')[0]}/.{final.rpartition('/')[2]}.{secrets.token_hex(4)}.tmp"
        if not whole:
            system.create_dir(final.rpartition("/")[0], recursive=True)
        stream = system.open_output_stream(at, compression=None)
        stream.write(data)
        stream.close()  # not in a `with`: one that closes after a fault would put half an object
        if not whole:
            system.move(at, final)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """A lease of 60 s on the object `.lock`, renewed while it is held. Raises Locked where another one is renewed.

        A lease that nobody renews (its holder was killed) is waited for, at most its 60 s.
        """
        with _Lease(self, self._seconds) as self._lease:
            try:
                yield
            finally:
                self._lease = None


class _Lease:
    """`.lock`: who holds the folder, a number drawn for this holding, and a count that rises with each renewal."""

    def __init__(self, remote: Remote, seconds: float):
        self._remote, self._seconds = remote, seconds
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

    def __enter__(self) -> "_Lease":
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
                system, _ = self._remote._opened
                with _faults(str(self._remote.place / ".lock")):
                    system.delete_file(self._remote._path(".lock"))

    def check(self) -> None:
        """Raises EnvironmentFault where the lease is no longer ours, or may not be."""
        if self._stolen or time.monotonic() - self._renewed > self._seconds:
            why = "another raymia took it" if self._stolen else f"it could not be renewed for {self._seconds:g} s"
            raise EnvironmentFault(
                f"{self._remote.place / '.lock'}: the lease on the folder is lost ({why}); run the command again"
            )

    def _wait(self) -> None:
        """Until nobody holds the folder. A lease that is not renewed for its whole length by our own clock is dead."""
        first, begin = self._read(), time.monotonic()
        while first:
            if time.time() > first.get("until", 0.0) + _OLD or time.monotonic() - begin > self._seconds:
                return
            self._end.wait(min(2.0, self._seconds / 10))
            now = self._read()
            if now and now != first:
                raise Locked(self._held_by(now))
            first = now

    def _held_by(self, lease: dict[str, Any]) -> str:
        who = f"process {lease.get('pid')} on {lease.get('host')} since {lease.get('since')}" if lease else "another process"
        return f"{self._remote.place} is held by {who}; wait for it, or choose another --out"

    def _read(self) -> dict[str, Any]:
        try:
            found = json.loads(self._remote.read(".lock") or b"{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def _sign(self) -> None:
        begin = time.monotonic()
        self._count += 1
        content = {**self._own, "count": self._count, "until": time.time() + self._seconds}
        with _faults(str(self._remote.place / ".lock")):
            self._remote._put(".lock", json.dumps(content).encode())
        self._renewed = begin

    def _keep(self) -> None:
        while not self._end.wait(self._seconds / 4):
            with contextlib.suppress(EnvironmentFault):  # tried again; `check` refuses once it is too late
                if self._read().get("nonce") != self._own["nonce"]:
                    self._stolen = True
                    return
                self._sign()


@contextlib.contextmanager
def _faults(where: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except (OSError, ValueError, NotImplementedError) as error:  # what pyarrow raises
        reason = " ".join(str(error).split())[:300]
        raise EnvironmentFault(f"{where}: {reason}; are the address and the credentials right?") from error
