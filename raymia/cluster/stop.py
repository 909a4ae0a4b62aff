"""The signals that end a run in good order."""

import signal
import threading
from types import FrameType
from typing import Any


class Stopped(Exception):
    """A signal asked for the end."""


class Stop:
    """SIGINT and SIGTERM, kept until somebody asks; a second SIGINT interrupts at once."""

    def __init__(self) -> None:
        self.signal = 0
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
        """Raises Stopped where a signal has come."""
        if self.signal:
            raise Stopped

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.signal and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = self.signal or number
