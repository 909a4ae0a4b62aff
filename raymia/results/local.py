"""Where a results folder lives: whole files, created once or replaced whole. `remote` does the
same on object storage.

A name is a path inside the folder, with `/`. No file is ever seen half written: what is written
stands under a temporary name, is on the disk (fsync), and only then gets its own name.

What is below `signals` and `scores` says of each record what models and attacks said of it, and who
was a member: only its owner may read it. The rest may be shown.
"""

import contextlib
import errno
import fcntl
import json
import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from raymia.errors import EnvironmentFault, Locked

_ADVICE = {
    errno.ENOSPC: "the disk is full: free some space and run the same command again",
    errno.EDQUOT: "the disk quota is used up: free some space and run the same command again",
    errno.EROFS: "the file system is read-only: choose another folder with --out",
    errno.EACCES: "permission is denied: choose another folder with --out, or change the "
    "permissions",
    errno.ENOENT: "the folder cannot be made there: choose another with --out",
    errno.EEXIST: "a file stands where a folder is needed: choose another --out",
    errno.ENOTDIR: "a file stands where a folder is needed: choose another --out",
    errno.ELOOP: "it is a symbolic link, which is not followed: remove it",
}
_PRIVATE = {"signals", "scores"}
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


class Files(Protocol):
    """Whole files by name. Raises EnvironmentFault naming the path."""

    def read(self, name: str) -> bytes | None:
        """The bytes of a file; None where there is none."""

    def replace(self, name: str, data: bytes) -> None:
        """Write a file whole, in place of what was there."""

    def change(self, name: str, edit: Callable[[bytes | None], bytes]) -> None:
        """Replace a file by what `edit` makes of its content; nobody else changes it meanwhile."""


class Storage(Files, Protocol):
    """What a results folder does with its storage."""

    def names(self, folder: str) -> list[str]:
        """The names of the files in a folder, sorted, without temporary ones; none where there
        is no folder.
        """

    def create(self, name: str, data: bytes) -> bool:
        """Write a file that is not there; False, and nothing changed, where it is."""

    def delete(self, folder: str) -> None:
        """Remove a file, or a folder and what is in it; nothing where there is none."""

    def lock(self) -> contextlib.AbstractContextManager[None]:
        """Hold the folder. Raises Locked naming the process that holds it."""


class Local:
    """A folder on a disk of this machine."""

    def __init__(self, root: Path):
        self.root = root

    def names(self, folder: str) -> list[str]:
        with _faults(self.root / folder):
            if not (self.root / folder).is_dir():
                return []
            return sorted(n for n in os.listdir(self.root / folder) if not n.startswith("."))

    def read(self, name: str) -> bytes | None:
        with _faults(self.root / name):
            try:
                return (self.root / name).read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None

    def create(self, name: str, data: bytes) -> bool:
        final = self.root / name
        with _faults(final), _temporary(final, data) as temporary:
            try:
                os.link(temporary, final)
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                # no hard links here: the lock keeps other writers out between the two steps
                if final.exists():
                    return False
                os.replace(temporary, final)
            _sync_folder(final.parent)
            return True

    def replace(self, name: str, data: bytes) -> None:
        final = self.root / name
        with _faults(final), _temporary(final, data) as temporary:
            os.replace(temporary, final)
            _sync_folder(final.parent)

    def change(self, name: str, edit: Callable[[bytes | None], bytes]) -> None:
        with _faults(self.root / name), _alone(self.root / name) as content:
            self.replace(name, edit(content))

    def delete(self, folder: str) -> None:
        with contextlib.suppress(OSError):
            (self.root / folder).unlink()
            return
        shutil.rmtree(self.root / folder, ignore_errors=True)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        path = self.root / ".lock"
        with _faults(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = _holder(descriptor)
                raise Locked(
                    f"{self.root} is held by {holder}; wait for it, or choose another --out"
                ) from None
            except OSError as error:  # a file system without locks
                raise EnvironmentFault(
                    f"{path}: {error.strerror}; choose a folder on another file system with --out"
                ) from error
            with _faults(path):
                _sign(descriptor)
            self._sweep_away()
            yield
        finally:
            # and with it the lock; removing the file would race with the next holder
            os.close(descriptor)

    def _sweep_away(self) -> None:
        """Remove the temporary files of writers that were killed: while we hold the lock,
        nobody is writing.
        """
        with _faults(self.root):
            for where in (".", "trials", "confirm", "scores", "signals/*"):
                for left in self.root.glob(f"{where}/.*.tmp"):
                    left.unlink(missing_ok=True)


_ONE = threading.Lock()  # the lock below is of a process, not of a thread


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[bytes]:
    """The content of a file, locked against every other process, also on nodes that mount the
    folder by NFS.

    The lock is on the file, not on its name, and each change puts a new file under the name: a
    process that waited for the old file starts over. Closing any descriptor of the file would
    release the lock, so the content is read through the descriptor that holds it.
    """
    _make(path.parent)
    with _ONE:
        while True:
            with open(path, "a+b", opener=_opener(path)) as held:
                with contextlib.suppress(OSError):  # a file system without locks
                    fcntl.lockf(held, fcntl.LOCK_EX)
                try:
                    now = open(path, "rb")
                except FileNotFoundError:
                    continue
                with now:
                    if os.path.sameopenfile(held.fileno(), now.fileno()):
                        held.seek(0)
                        yield held.read()
                        return


def _sign(descriptor: int) -> None:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(holder).encode(), 0)


def _holder(descriptor: int) -> str:
    try:
        holder = json.loads(os.pread(descriptor, 4096, 0))
        return f"process {holder['pid']} on {holder['host']} since {holder['since']}"
    except (ValueError, KeyError, TypeError):
        return "a process that is just starting"


@contextlib.contextmanager
def _temporary(final: Path, data: bytes) -> Iterator[Path]:
    _make(final.parent)
    temporary = final.parent / f".{final.name}.{os.getpid()}.tmp"
    temporary.unlink(missing_ok=True)  # of a killed writer that had our pid
    try:
        with open(temporary, "xb", opener=_opener(final)) as file:  # x: never through a link there
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _private(path: Path) -> bool:
    return not _PRIVATE.isdisjoint((path.name, path.parent.name))


def _make(folder: Path) -> None:
    """A folder and those above it; those of signals for their owner alone."""
    for one in (folder.parent, folder):
        with contextlib.suppress(FileExistsError):
            one.mkdir(0o700 if _private(one) else 0o777, parents=True)


def _opener(final: Path) -> Callable[[str, int], int]:
    mode = 0o600 if _private(final.parent) else 0o666
    return lambda path, flags: os.open(path, flags, mode)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _faults(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, error.strerror or str(error))
        raise EnvironmentFault(f"{path}: {advice}") from error
