"""What Ray itself says goes into a file, not on the user's terminal.

It says it by Python, by C++ and by what it starts: so the descriptors 1 and 2 of this process
are turned to the file, and who speaks to the user writes to `SCREEN`.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO


class Screen:
    """stderr as it was before it was turned, and as it is at any other time: a file for writing.

    `form`: how a line that is said here is written.
    """

    form: Callable[[str], str] = str

    def __init__(self) -> None:
        self._kept: TextIO | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._kept or sys.stderr, name)

    def say(self, text: str) -> None:
        """One line, now, from whatever thread."""
        with contextlib.suppress(OSError, ValueError):
            self.write(f"{self.form(text)}\n")
            self.flush()

    @contextlib.contextmanager
    def kept(self, descriptor: int) -> Iterator[None]:
        with os.fdopen(os.dup(descriptor), "w", buffering=1) as self._kept:
            try:
                yield
            finally:
                self._kept = None


SCREEN = Screen()


@contextlib.contextmanager
def aside(log: Path) -> Iterator[None]:
    """Turns stdout and stderr to `log`, a file that only its owner can read, named at the end on
    stderr if something stands in it and else removed.

    Nothing is turned where stderr is no descriptor of its own: in a test that captures it.
    """
    if not _own(sys.stderr):
        yield
        return
    log.unlink(missing_ok=True)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
    _flush()
    before = {number: os.dup(number) for number in (1, 2) if _open(number)}
    try:
        with SCREEN.kept(2):
            for number in before:
                os.dup2(file, number)
            yield
    finally:
        _flush()
        for number, old in before.items():
            os.dup2(old, number)
            os.close(old)
        said = os.fstat(file).st_size
        os.close(file)
        if said:
            SCREEN.say(f"what Ray said: {log}")
        else:
            log.unlink(missing_ok=True)


def _own(stream: TextIO) -> bool:
    try:
        return stream.fileno() == 2
    except (OSError, ValueError, AttributeError):
        return False


def _open(number: int) -> bool:
    """`raymia run sweep.yaml >&-` is allowed."""
    try:
        os.fstat(number)
        return True
    except OSError:
        return False


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or a full disk
            stream.flush()
