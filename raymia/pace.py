"""How far the trial of this process is, for whoever listens; where nobody does, it costs a
comparison an epoch.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

_EVERY = 1.0  # seconds between two words of one stage


@dataclass(frozen=True)
class Stand:
    """Where a trial stands.

    `stage`: `models` or `attacks`, of which `done` are done. `epoch` of `epochs`: how far the
    `at_once` models are that train now in this process, or a teacher of theirs. With
    `resources.spread` other processes train other models beside, whose epochs are not told.
    """

    stage: str
    done: int
    total: int
    epoch: int = 0
    epochs: int = 0
    at_once: int = 0
    teacher: bool = False

    @property
    def share(self) -> float:
        """Of the stage; teachers count for nothing."""
        begun = 0.0 if self.teacher or not self.epochs else self.at_once * self.epoch / self.epochs
        return min(1.0, (self.done + begun) / max(1, self.total))

    def __str__(self) -> str:
        """`models 3/8, epoch 12/60`"""
        which = "teacher's epoch" if self.teacher else "epoch"
        epoch = f", {which} {self.epoch}/{self.epochs}" if self.epochs else ""
        return f"{self.stage} {self.done}/{self.total}{epoch}"


class Pace:
    """The one of a process. What is done here counts itself; what is done elsewhere is counted by
    who gets it back.
    """

    def __init__(self) -> None:
        self._tell: Callable[[Stand], None] | None = None
        self._stand = Stand("", 0, 0)
        self._teaching, self._told = 0, 0.0

    @contextlib.contextmanager
    def heard(self, tell: Callable[[Stand], None]) -> Iterator[None]:
        """`tell` is called when a stage begins, and at most once a second within it."""
        self._tell, self._teaching = tell, 0
        try:
            yield
        finally:
            self._tell = None

    def begin(self, stage: str, total: int) -> None:
        if self._tell is not None:
            self._say(Stand(stage, 0, total), now=True)

    def done(self, count: int = 1) -> None:
        """So many more of the stage."""
        if self._tell is not None:
            was = self._stand
            self._say(Stand(was.stage, was.done + count, was.total))

    def epoch(self, epoch: int, epochs: int, at_once: int) -> None:
        """So many epochs of a training are done."""
        if self._tell is not None:
            now = replace(self._stand, epoch=epoch, epochs=epochs, at_once=at_once)
            self._say(replace(now, teacher=self._teaching > 0))

    @contextlib.contextmanager
    def teaching(self) -> Iterator[None]:
        """What is trained inside is a teacher."""
        self._teaching += 1
        try:
            yield
        finally:
            self._teaching -= 1

    def _say(self, stand: Stand, now: bool = False) -> None:
        self._stand, time_ = stand, time.monotonic()
        if self._tell is not None and (now or time_ - self._told >= _EVERY):
            self._told = time_
            self._tell(stand)


PACE = Pace()
