"""The private folder of a run, for its Ray. Knows no Ray: a run that has nothing to do starts
none, and still clears away what a driver that was killed left.
"""

import contextlib
import os
import shutil
import stat
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

from raymia.cluster import processes
from raymia.errors import EnvironmentFault
from raymia.results.location import Location
from raymia.streams import key

_LONGEST_ROOT = 40  # the paths of Ray's sockets below it must stay under 107 characters


def place(out: Path | Location) -> Path:
    """The private folder for the Ray of a results folder.

    Its name depends on the results folder alone, so a driver that was killed left its folder,
    and in it the list of its processes, where the next driver finds them.
    """
    root = tempfile.gettempdir()
    root = root if len(root) <= _LONGEST_ROOT else "/tmp"
    return Path(root, f"raymia-{os.getuid()}", key(str(out.resolve()))[:12])


@contextlib.contextmanager
def scratch(out: Path | Location) -> Iterator[Path]:
    """`place(out)`, made new, and gone at the end. Whoever is here holds the lock of the
    results folder; if that folder was removed with its lock, the next driver may be here by then,
    and what it made is left to it.

    Raises EnvironmentFault where somebody else could look into it.
    """
    path = place(out)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    clear(out)
    path.mkdir(mode=0o700, exist_ok=True)
    (path / "processes").mkdir()
    mine = path / f"driver-{uuid.uuid4().hex}"
    mine.touch()
    try:
        yield path
    finally:
        if mine.exists():
            _remove(path, grace=2.0)


def clear(out: Path | Location) -> None:
    """End and remove what a driver of this results folder left that was killed. Whoever calls
    holds the lock of the results folder. Raises EnvironmentFault as `scratch`.
    """
    path = place(out)
    for folder in (path.parent, path):
        try:
            found = folder.lstat()
        except FileNotFoundError:
            return
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise EnvironmentFault(f"{folder} must be a folder that only you can open; remove it")
    _remove(path)


def _remove(path: Path, grace: float = 0.0) -> None:
    processes.end(path / "processes", grace)
    shutil.rmtree(path, ignore_errors=True)
