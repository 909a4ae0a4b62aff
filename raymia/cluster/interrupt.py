"""The signals that end a run in good order."""

import contextlib
import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from raymia.errors import RaymiaError


class Stopped(RaymiaError):
    """A signal asked for the end."""

    def __init__(self, number: int) -> None:
        super().__init__("stopped; the same command goes on")
        self.exit_code = 128 + number


@contextlib.contextmanager
def no_signal_lost(number: int) -> Iterator[None]:
    """Raises Stopped where the signal comes inside, even if a handler that is not ours takes it
    and its exception goes nowhere: Python drops what a handler raises inside a hook of a fork,
    and says so on stderr, which is kept quiet.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    read, write = os.pipe()
    for end in (read, write):
        os.set_blocking(end, False)
    before = signal.set_wakeup_fd(write)  # every signal's number is written there
    loud, sys.unraisablehook = sys.unraisablehook, _but_exits(sys.unraisablehook)
    try:
        yield
        with contextlib.suppress(BlockingIOError):
            if number in os.read(read, 4096):
                raise Stopped(number)
    finally:
        sys.unraisablehook = loud
        signal.set_wakeup_fd(before)
        os.close(read)
        os.close(write)


@contextlib.contextmanager
def still_heard(number: int) -> Iterator[None]:
    """The end of Ray, after which a signal is taken as before it.

    Ray gives SIGTERM its default action back, in C, where Python does not see it: from then on it
    would kill. What stood there is put back every few milliseconds, and at the end.
    """
    libc, before = ctypes.CDLL(None), ctypes.create_string_buffer(1024)  # longer than its struct
    libc.sigaction(number, None, before)
    over = threading.Event()

    def put_back() -> None:
        while not over.wait(0.002):
            libc.sigaction(number, before, None)

    keeper = threading.Thread(target=put_back)
    keeper.start()
    try:
        yield
    finally:
        over.set()
        keeper.join()
        libc.sigaction(number, before, None)


def _but_exits(hook: Callable[[Any], Any]) -> Callable[[Any], None]:
    def said(dropped: Any) -> None:
        if not issubclass(dropped.exc_type, SystemExit):
            hook(dropped)

    return said


class Stop:
    """SIGINT and SIGTERM, kept until somebody asks; a second SIGINT interrupts at once.

    `fault`: what else ends the run, of which a thread learned.
    """

    def __init__(self) -> None:
        self.signal = 0
        self.fault: RaymiaError | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Stop":
        self.listen()
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def listen(self) -> None:
        """Take the signals; only the main thread can."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                old = signal.signal(number, self._hear)
                self._before.setdefault(number, old)

    def check(self) -> None:
        """Raises Stopped where a signal has come, and the fault."""
        if self.signal:
            raise Stopped(self.signal)
        if self.fault is not None:
            raise self.fault

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.signal and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = self.signal or number
