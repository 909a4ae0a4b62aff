"""Drivers of one bucket under a simulated clock: every request takes its time, may stall for
minutes, may lose its answer, and may land long after its driver gave up or was killed.

Each driver is a thread, and one thread runs at a time: the one whose time has come. So a race is
a function of its seed, and nobody sleeps.
"""

import contextlib
import hashlib
import heapq
import itertools
import json
import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import obstore
from obstore.store import MemoryStore

from raymia.errors import EnvironmentFault
from raymia.results.claim import LOCK, Clock
from raymia.results.location import Location
from raymia.results.objects import Changed, Found, Objects
from raymia.results.remote import Remote

PLACE = Location("s3://bucket/mine")


class Killed(BaseException):
    """kill -9: nothing is tidied up."""


class World(Clock):
    """`stall`: the chance that a step takes up to three claims' length; `lose`: that an answer is
    lost. `checksums`: e-tags are those of S3, the same for the same bytes.
    """

    def __init__(self, seed: int, stall: float, lose: float, checksums: bool, seconds: float):
        self.draw = random.Random(seed)
        self.stall, self.lose, self.checksums, self.seconds = stall, lose, checksums, seconds
        self.bucket = MemoryStore()
        self.time, self._order = 0.0, itertools.count()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._back, self._threads = threading.Semaphore(0), threading.local()
        self.faults: list[BaseException] = []
        self.applied: Callable[[Driver, str], None] = lambda driver, name: None

    # ---- the clock of a driver

    def now(self) -> float:  # type: ignore[override]
        return self.time

    wall = now  # type: ignore[assignment]

    def wait(self, seconds: float) -> None:  # type: ignore[override]
        self._sleep(seconds)

    def mutex(self) -> "Mutex":  # type: ignore[override]
        return Mutex(self)

    @contextlib.contextmanager
    def every(self, seconds: float, work: Callable[[], bool]) -> Iterator[None]:
        me: Driver = self._threads.driver
        ended = []

        def go_on() -> None:
            self.wait(seconds)
            while not ended and work():
                self.wait(seconds)

        me.also(go_on)
        try:
            yield
        finally:
            ended.append(True)

    # ---- what happens when

    def at(self, time: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._due, (time, next(self._order), what))

    def run(self, most: int = 200_000) -> None:
        for _ in range(most):
            if not self._due:
                break
            time, _, what = heapq.heappop(self._due)
            self.time = max(self.time, time)
            what()
        else:
            raise AssertionError("it does not end")
        for fault in self.faults:
            raise fault

    def thread(self, driver: "Driver", work: Callable[[], None]) -> None:
        turn = threading.Semaphore(0)

        def body() -> None:
            turn.acquire()
            self._threads.driver, self._threads.turn = driver, turn
            try:
                driver.check()
                work()
            except Killed:
                driver.dead = True
            except BaseException as error:
                self.faults.append(error)
            self._back.release()

        threading.Thread(target=body, daemon=True).start()
        self.at(self.time, lambda: self._give(turn))

    def _give(self, turn: threading.Semaphore) -> None:
        turn.release()
        self._back.acquire()

    def _sleep(self, seconds: float) -> None:
        turn, driver, until = self._threads.turn, self._threads.driver, self.time + seconds
        while until > self.time:
            self.at(until, lambda: self._give(turn))
            self._back.release()
            turn.acquire()
            driver.check()
            until = driver.stands

    def pause(self) -> None:
        """A step of a driver: now and then this request, or all of it, takes for ever."""
        slow = self.draw.uniform(0, 3 * self.seconds) if self.draw.random() < self.stall else 0.0
        if self.draw.random() < 0.5:
            self._threads.driver.stands = self.time + slow
        self._sleep(self.draw.uniform(0.01, 0.2) + slow)


class Mutex:
    """One thread of a driver at a time."""

    def __init__(self, world: World):
        self._world, self._taken = world, False

    def __enter__(self) -> None:
        while self._taken:
            self._world.wait(0.1)
        self._taken = True

    def __exit__(self, *error: object) -> None:
        self._taken = False


class Driver:
    """A process that drives, and the bucket as it sees it. It is killed at step `dies`, or
    stands still for ten claims' length at step `stalls`: two steps a request, before it is
    carried out and after.
    """

    def __init__(
        self,
        world: World,
        work: "Callable[[Driver], None]",
        dies: int = 0,
        stalls: int = 0,
    ):
        self.world, self.dies, self.stalls = world, dies, stalls
        self.dead, self.steps, self.stands = False, 0, 0.0
        self.then: Callable[[], object] = lambda: None  # when it died, or stands still
        self.remote = Remote(PLACE, seconds=world.seconds, clock=world)
        self.remote.objects = Requests(self)
        self.generation = 0
        self.also(lambda: work(self))

    def also(self, work: Callable[[], None]) -> None:
        self.world.thread(self, work)

    def check(self) -> None:
        if self.dead:
            raise Killed

    def step(self) -> None:
        self.steps += 1
        if self.steps == self.dies:
            self.dead = True
        if self.steps == self.stalls:
            self.stands = self.world.time + 10 * self.world.seconds
        if self.steps in (self.dies, self.stalls):
            self.world.at(self.world.time, self.then)
        self.world.wait(0.001)


class Requests(Objects):
    """The bucket at the other end of a slow and forgetful network."""

    def __init__(self, driver: Driver):
        super().__init__(PLACE)
        self._driver, self._world = driver, driver.world

    def get(self, name: str) -> Found | None:
        found: Found | None = self._sent(lambda: super(Requests, self).get(name))
        if found and self._world.checksums:
            return Found(found.content, {"e_tag": hashlib.md5(found.content).hexdigest()})
        return found

    def sizes(self, folder: str) -> dict[str, int]:
        found: dict[str, int] = self._sent(lambda: super(Requests, self).sizes(folder))
        return found

    def put(self, name: str, data: bytes, version: dict[str, str] | None = None) -> dict[str, str]:
        def applied() -> dict[str, str]:
            tied = version
            if version and self._world.checksums:
                there = super(Requests, self).get(name)
                if there is None or hashlib.md5(there.content).hexdigest() != version["e_tag"]:
                    raise Changed(name)
                tied = there.version
            put = super(Requests, self).put(name, data, tied)
            if name == LOCK:
                self._driver.generation = json.loads(data)["generation"]
            self._world.applied(self._driver, name)
            return {"e_tag": hashlib.md5(data).hexdigest()} if self._world.checksums else put

        found: dict[str, str] = self._sent(applied, late=True)
        return found

    def _sent(self, request: Callable[[], Any], late: bool = False) -> Any:
        world, draw = self._world, self._world.draw

        def lands() -> None:
            with contextlib.suppress(Changed):
                request()

        def on_its_way() -> None:
            if late and draw.random() < 0.7:
                world.at(world.time + draw.uniform(0, 4 * world.seconds), lands)

        self._driver.check()
        try:
            self._driver.step()
            if late and draw.random() < world.lose:
                on_its_way()
                world.pause()
                raise EnvironmentFault("no answer")
            world.pause()
        except Killed:
            on_its_way()
            raise
        try:
            return request()
        finally:
            self._driver.step()
            world.pause()
            if late and draw.random() < world.lose:
                raise EnvironmentFault("the answer was lost")


def content(world: World, name: str) -> bytes | None:
    """What stands in the bucket, past all networks."""
    try:
        return bytes(obstore.get(world.bucket, name).bytes())
    except FileNotFoundError:
        return None
