"""Two drivers, one bucket: whatever stalls, is lost on the way, lands late or dies, no driver
writes after another has come in, and no row that was written is lost.
"""

import json
import random

import pytest
from simulated import Driver, World, content

from raymia.errors import EnvironmentFault, Locked
from raymia.results import objects
from raymia.results.claim import LOCK
from raymia.results.folder import Folder

SECONDS = 60.0
SEED, DIES = 0, 55  # a driver that has written one row dies, and the next lands 209 s later
ROWS = [f"trials/{i}.json" for i in range(4)]


class Race:
    """Drivers that do the same sweep, each started again until all of it is done."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch):
        self.world = world
        monkeypatch.setattr(objects, "opened", lambda *_: world.bucket)
        self.inside = 0  # the newest generation that came in
        self.rows: dict[str, bytes] = {}  # those whose driver was told that they are written
        self.done, self.refused, self.overlaps = 0, 0, 0
        self.entered: set[int] = set()
        self.spoke: dict[Driver, float] = {}  # when `.lock` was written last
        world.applied = self.applied

    def applied(self, driver: Driver, name: str) -> None:
        if name == LOCK:
            self.spoke[driver] = self.world.time
        elif driver.generation < self.inside:
            self.overlaps += 1

    def drive(self, driver: Driver, again: bool = True) -> None:
        """One process: `raymia run`, by hand started again where it did not end well."""
        try:
            with driver.remote.lock():
                self.enter(driver)
                self.sweep(driver)
            self.done += 1
        except (Locked, EnvironmentFault) as why:
            self.refused += isinstance(why, Locked)
            if again:
                self.world.wait(self.world.draw.uniform(0, 2 * SECONDS))
                Driver(self.world, self.drive)

    def enter(self, driver: Driver) -> None:
        assert driver.generation not in self.entered, "two came in with one number"
        self.entered.add(driver.generation)
        # one that stalled on the threshold may come in late: it finds out at its first write
        self.inside = max(self.inside, driver.generation)
        there = {name: content(self.world, name) for name in self.rows}
        assert there == self.rows, "who comes in finds every row"

    def sweep(self, driver: Driver) -> None:
        remote, folder = driver.remote, Folder.__new__(Folder)
        folder._storage = remote
        folder.path = driver.remote.place
        folder.write_sweep(self.world.draw.choice(("trials: 4\n", "trials: 5\n")))
        for name in ROWS:
            if name.rpartition("/")[2] in remote.names("trials"):
                continue
            self.world.wait(self.world.draw.uniform(0, 30))
            data = f"row of {driver.generation} {name}\n".encode()
            if remote.create(name, data):
                assert name not in self.rows, "written twice"
                self.rows[name] = data
            self.derive(folder)
        self.derive(folder)

    def derive(self, folder: Folder) -> None:
        table = "\n".join(folder.storage.names("trials"))
        folder.put("trials.csv", f"{table}\n".encode())

    def succession(self, how: str, step: int) -> None:
        """The first is killed with a row on its way, the second at `step`; then comes the third."""
        world, came = self.world, []

        def third(driver: Driver) -> None:
            begun = world.time
            try:
                with driver.remote.lock():
                    others = [when for one, when in self.spoke.items() if one is not driver]
                    came.append(world.time - max(begun, *others))
                    self.enter(driver)
                    self.sweep(driver)
            except Locked:  # a word of the dead one was still on its way
                Driver(world, third)

        def second() -> None:
            named = json.loads(content(world, LOCK) or b"")["names"]
            assert named == {"sweep.yaml": False, "trials.csv": False, ROWS[1]: True}
            self.second = Driver(world, lambda one: self.drive(one, again=False), **{how: step})
            self.second.then = lambda: Driver(world, third)

        Driver(world, self.drive, dies=DIES).then = second
        self.ends()
        assert not came or came[0] < SECONDS + 20

    def ends(self) -> None:
        """All are done; somebody looks in later, in case all were killed."""
        self.world.at(1e5, lambda: Driver(self.world, self.drive) and None)
        self.world.run()
        rows = {name: content(self.world, name) for name in self.rows}
        assert self.overlaps == 0 and rows == self.rows
        assert self.done and all(content(self.world, name) for name in ROWS)
        table = content(self.world, "trials.csv") or b""
        assert table.split() == [name.rpartition("/")[2].encode() for name in ROWS]


def race(seed: int, monkeypatch: pytest.MonkeyPatch) -> Race:
    draw = random.Random(seed)
    stall, lose = draw.choice((0.0, 0.02, 0.1)), draw.choice((0.0, 0.03))
    one = Race(World(seed, stall, lose, seed % 2 == 0, SECONDS), monkeypatch)
    for _ in range(2):
        Driver(one.world, one.drive, dies=draw.choice((0, 0, draw.randrange(1, 120))))
    one.ends()
    return one


@pytest.mark.parametrize("tens", range(10))
def test_ten_races(tens: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(10 * tens, 10 * tens + 10):
        race(seed, monkeypatch)


@pytest.mark.nightly
def test_a_thousand_races(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [race(seed, monkeypatch) for seed in range(1000)]
    print(
        f"{len(found)} races, {sum(len(one.entered) for one in found)} drivers came in, "
        f"{sum(one.refused for one in found)} were refused or lost the folder, "
        f"{sum(one.overlaps for one in found)} overlaps"
    )


@pytest.mark.parametrize("checksums", [True, pytest.param(False, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("how", ["dies", "stalls"])
def test_at_every_step(how: str, checksums: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of taking a dead driver's folder, of writing, renewing and giving back: the next one has
    it within the claim's length, a look and its requests, without a hand.
    """
    for step in range(1, 1000):
        one = Race(World(SEED, 0.0, 0.0, checksums, SECONDS), monkeypatch)
        one.succession(how, step)
        if one.second.steps < step:  # it was through
            break
    assert 60 < step < 500
