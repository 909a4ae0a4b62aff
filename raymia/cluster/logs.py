"""Rows handed to a tracker while the run goes on, in a thread: a server that is slow, or gone,
holds up nothing.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from queue import SimpleQueue

from raymia.cluster.progress import Progress
from raymia.report.export import tools
from raymia.report.export.entries import Log
from raymia.results.folder import Folder
from raymia.results.row import Row

_PATIENCE = 30.0  # seconds at the end for rows that are still on their way


@contextlib.contextmanager
def logged(tool: str | None, folder: Folder, progress: Progress) -> Iterator[Log]:
    """What takes each row; nothing is done with it where `tool` is None.

    A row that could not be logged is a line, and stands in the results folder all the same. Raises
    SweepError where the tool is not installed, EnvironmentFault where it refuses.
    """
    if tool is None:
        yield lambda row: None
        return
    one = _Logger(tool, folder, progress)
    progress.say(f"logging to {one.start()}")
    try:
        yield one.rows.put
    finally:
        one.stop()


class _Logger:
    """`rows` are logged one after another; None is the last."""

    def __init__(self, tool: str, folder: Folder, progress: Progress) -> None:
        self._tool, self._folder, self._progress = tool, folder, progress
        self.rows: SimpleQueue[Row | None] = SimpleQueue()
        self._answer: SimpleQueue[str | Exception] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def start(self) -> str:
        """Where rows go. Raises what opening it raised."""
        self._thread.start()
        answer = self._answer.get()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def stop(self) -> None:
        self.rows.put(None)
        self._thread.join(_PATIENCE)
        if self._thread.is_alive():
            self._warn(f"{self._tool} has not answered for {_PATIENCE:g} s; rows are not logged")

    def _work(self) -> None:
        try:
            with tools.live(self._folder, self._tool) as (log, where):
                self._answer.put(where)
                while (row := self.rows.get()) is not None:
                    self._log(log, row)
        except Exception as error:
            self._answer.put(error)  # nobody asks for it once the run has begun

    def _log(self, log: Log, row: Row) -> None:
        try:
            log(row)
        except Exception as error:  # whatever a tracker raises
            why = " ".join(str(error).split())[:300] or type(error).__name__
            self._warn(f"trial {row.trial} was not logged: {why}")

    def _warn(self, text: str) -> None:
        self._progress.warn(f"--log-to {self._tool}: {text}")
