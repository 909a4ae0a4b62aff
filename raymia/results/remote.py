"""A results folder on any file system of pyarrow: `s3://bucket/prefix`, `gs://bucket/prefix`,
`file:///folder`.
"""

import contextlib
import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from raymia.errors import EnvironmentFault, SweepError
from raymia.results.lease import SECONDS, Lease, Lock
from raymia.results.local import Local, Storage

_URI = re.compile(r"(s3|gs|gcs|abfs|abfss|hdfs|file):/+(.*)", re.DOTALL)
_OBJECTS = {"s3", "gcs", "abfs"}  # a put shows the whole object or the old one


@dataclass(frozen=True)
class Location:
    """A folder or file that a URI names; what a Path is for the local disk."""

    uri: str

    def __truediv__(self, name: str) -> "Location":
        # the options of an S3 URI stand behind its path
        bare, mark, query = self.uri.partition("?")
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
    """The Location that a URI names, also one that went through a Path and lost a slash; else
    the Path.

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

    pyarrow offers no put that fails where an object is. `create` looks, puts and reads back,
    and so only the one that holds `lock()` may call it: the lease keeps other writers out
    between the look and the put, and a driver whose lease ran out (it was suspended, or cut
    off) is refused every write. On file systems that are no object stores, a temporary file is
    written and moved. Raises EnvironmentFault naming the URI.
    """

    def __init__(self, place: Location, lease: float = SECONDS):
        self.place, self._seconds = place, lease
        self._lease: Lease | None = None

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
        return sorted(
            one.base_name for one in found if one.is_file and not one.base_name.startswith(".")
        )

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
            raise EnvironmentFault(
                f"{self.place / name} does not hold what was just written: is another raymia "
                "writing there?"
            )
        return True

    def replace(self, name: str, data: bytes) -> None:
        if self._lease is not None:
            self._lease.check()
        self._put(name, data)

    def change(self, name: str, edit: Callable[[bytes | None], bytes]) -> None:
        """Replace a file by what `edit` makes of its content. Only one process may: on a
        cluster the Keeper.
        """
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
        with _faults(str(self.place / name)):
            system, _ = self._opened
            final = self._path(name)
            whole = system.type_name in _OBJECTS
            folder, _, last = final.rpartition("/")
            at = final if whole else f"{folder}/.{last}.{secrets.token_hex(4)}.tmp"
            if not whole:
                system.create_dir(folder, recursive=True)
            stream = system.open_output_stream(at, compression=None)
            stream.write(data)
            # not in a `with`: one that closes after a fault would put half an object
            stream.close()
            if not whole:
                system.move(at, final)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """A lease of 60 s on the object `.lock`, renewed while it is held. Raises Locked where
        another one is renewed.

        A lease that nobody renews (its holder was killed) is waited for, at most its 60 s.
        """
        lock = Lock(
            str(self.place),
            str(self.place / ".lock"),
            read=lambda: self.read(".lock"),
            write=lambda data: self._put(".lock", data),
            remove=lambda: self.delete(".lock"),
        )
        with Lease(lock, self._seconds) as self._lease:
            try:
                yield
            finally:
                self._lease = None


@contextlib.contextmanager
def _faults(where: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except (OSError, ValueError, NotImplementedError) as error:  # what pyarrow raises
        reason = " ".join(str(error).split())[:300]
        raise EnvironmentFault(
            f"{where}: {reason}; are the address and the credentials right?"
        ) from error
