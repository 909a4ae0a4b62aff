"""What an archive of other people may ask of this machine. Nothing of one is written anywhere."""

import zipfile
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Protocol

SMALL, RATIO = 2**28, 200  # bytes; what tables of numbers are packed by is far less


class Stream(Protocol):
    """What unpacks as it is read."""

    def read(self, size: int, /) -> bytes: ...


def most(packed: int) -> int:
    """The bytes that so many packed ones may become."""
    return max(SMALL, RATIO * packed)


def within(unpacked: Stream, packed: int) -> bytes:
    """All that unpacks. Raises ValueError where that is more than data ever are."""
    content = unpacked.read(most(packed) + 1)
    fits(len(content), packed)
    return content


def fits(unpacked: int, packed: int) -> None:
    """Raises ValueError where so many bytes are more than data ever are."""
    if unpacked > most(packed):
        raise ValueError(
            f"{packed} bytes unpack to more than {most(packed) / 2**20:.0f} MB; unpack it yourself "
            "where that is right"
        )


def inner(name: str) -> None:
    """Raises ValueError where the name of a file in an archive leads out of it."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or "\0" in name:
        raise ValueError(f"it holds {name[:80]!r}, which leads out of it")


def plain_zip(path: Path) -> None:
    """Raises ValueError where a zip holds a name twice, or one that leads out of it, or unpacks to
    more than data ever are.
    """
    with zipfile.ZipFile(path) as archive:
        found = archive.infolist()
    for name, count in Counter(one.filename for one in found).items():
        inner(name)
        if count > 1:
            raise ValueError(f"it holds {name[:80]!r} {count} times")
    fits(sum(one.file_size for one in found), path.stat().st_size)
