"""Signals that travel, and losses that do not count: without a cluster."""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from obstore.store import MemoryStore

from raymia import pace
from raymia.cluster import groups as spread
from raymia.cluster import pool as actors
from raymia.cluster import proposals, transport
from raymia.cluster.groups import Spread
from raymia.cluster.transport import FolderFault, Keeper, Link, Shelf, arrays, of, sees
from raymia.errors import EnvironmentFault
from raymia.records.data import Data
from raymia.results import objects
from raymia.results.claim import LOCK
from raymia.results.local import Local
from raymia.results.location import Location
from raymia.results.objects import Objects
from raymia.results.remote import Remote
from raymia.results.store import Store
from raymia.study import sweep as files

from .conftest import TINY


class Near:
    """A Keeper whose calls are made at once; `ray.get` then has nothing to do."""

    def __init__(self, place: str, token: str = "") -> None:
        self._one = Keeper(place, token)
        self.calls: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        def remote(*arguments: Any) -> Any:
            self.calls[name] += 1
            return getattr(self._one, name)(*arguments)

        return SimpleNamespace(remote=remote)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(transport.ray, "get", lambda value, timeout: value)
    monkeypatch.setattr(transport.tempfile, "gettempdir", lambda: str(tmp_path))


BUCKET = "s3://bucket/out"


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Remote]:
    """The object storage, held by the driver."""
    memory = MemoryStore()
    monkeypatch.setattr(objects, "opened", lambda *_: memory)
    driver = Remote(Location(BUCKET))
    with driver.lock():
        yield driver


def test_what_one_node_has_trained_another_one_finds(tmp_path: Path) -> None:
    keeper = Near(str(tmp_path / "out"))
    one, other = Shelf(Link(keeper)), Shelf(Link(keeper))
    assert one.root != other.root and one.root.stat().st_mode & 0o777 == 0o700
    one.fetch(["k"], arrays)
    Store(Local(one.root), "k").put("model-0.npz", b"zero", "key0")
    one.send(["k"])
    Store(Local(one.root), "k").put("model-1.npz", b"one", "key1")
    one.send(["k"])
    one.send(["k"])
    assert keeper.calls["replace"] == keeper.calls["change"] == 2  # nothing is sent again
    before = keeper.calls["read"]
    other.fetch(["k"], arrays)
    assert Store(Local(other.root), "k").get("model-1.npz", "key1") == b"one"
    other.fetch(["k"], arrays)
    assert keeper.calls["read"] == before + 4  # the index twice; no file is taken again
    assert Store(Local(tmp_path / "out"), "signals/k").get("model-0.npz", "key0") == b"zero"
    assert {p.name for p in (tmp_path / "out" / "signals" / "k").iterdir()} == {
        "index.json",
        "model-0.npz",
        "model-1.npz",
    }
    other.clear()
    assert list(other.root.iterdir()) == []
    other.remove()
    assert not other.root.exists()


def test_what_does_not_verify_does_not_travel(tmp_path: Path) -> None:
    keeper = Near(str(tmp_path / "out"))
    Store(Local(tmp_path / "out"), "signals/k").put("model-0.npz", b"zero", "key0")
    (tmp_path / "out" / "signals" / "k" / "model-0.npz").write_bytes(b"zerO")
    shelf = Shelf(Link(keeper))
    shelf.fetch(["k"], arrays)
    assert Store(Local(shelf.root), "k").index() == {}
    Store(Local(shelf.root), "k").put("model-0.npz", b"zero", "key0")  # trained again
    shelf._known["k"] = {}
    shelf.send(["k"])
    assert Store(Local(tmp_path / "out"), "signals/k").get("model-0.npz", "key0") == b"zero"


def test_weights_travel_only_where_they_are_asked_for(tmp_path: Path) -> None:
    keeper = Near(str(tmp_path / "out"))
    there = Store(Local(tmp_path / "out"), "signals/k")
    for m in range(12):
        there.put(f"model-{m}.npz", b"said", f"key{m}")
        there.put(f"model-{m}.safetensors", b"weights", f"key{m}")
    shelf = Shelf(Link(keeper))
    shelf.fetch(["k"], of(range(1, 2), "npz"))
    # and not those of 10 and 11
    assert set(Store(Local(shelf.root), "k").index()) == {"model-1.npz"}
    shelf.fetch(["k"], of(range(1, 2), "npz", "safetensors"))
    assert set(Store(Local(shelf.root), "k").index()) == {"model-1.npz", "model-1.safetensors"}
    shelf.fetch(["k"], arrays)
    assert len(Store(Local(shelf.root), "k").index()) == 13


def test_a_node_that_reaches_the_object_storage_writes_there_itself(
    tmp_path: Path, bucket: Remote
) -> None:
    keeper, token = Near(BUCKET, bucket.token), bucket.token
    near, far, blind = (transport.shelf(keeper, BUCKET, one) for one in (token, token, "2"))
    (tmp_path / ".nonce").write_text("1")
    assert near and far and blind and transport.shelf(keeper, str(tmp_path), "1") is None
    Store(Local(near.root), "k").put("model-0.npz", b"zero", "key0")
    near.send(["k"])
    assert keeper.calls == {"change": 1}
    for other in (far, blind):
        other.fetch(["k"], arrays)
        assert Store(Local(other.root), "k").get("model-0.npz", "key0") == b"zero"
    assert keeper.calls == {"change": 1, "read": 2}


def test_the_shelf_of_a_killed_worker_goes(tmp_path: Path) -> None:
    alive = Shelf(Link(Near(str(tmp_path)))).root
    assert f"-{os.getpid()}-" in alive.name
    left = alive.with_name(alive.name.replace(f"-{os.getpid()}-", f"-{2**22 + 1}-"))
    elsewhere = left.with_name("signals-another0-1-x")  # of a container with numbers of its own
    left.mkdir()
    elsewhere.mkdir()
    Shelf(Link(Near(str(tmp_path))))
    assert alive.exists() and elsewhere.exists() and not left.exists()


def test_a_node_that_may_only_read_there_sends_through_the_driver(
    bucket: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = Near(BUCKET, bucket.token)
    near = transport.shelf(keeper, BUCKET, bucket.token)
    assert near and near._link._disk is not None
    monkeypatch.setattr(
        near._link._disk,
        "replace",
        lambda name, data: (_ for _ in ()).throw(EnvironmentFault("forbidden")),
    )
    Store(Local(near.root), "k").put("model-0.npz", b"zero", "key0")
    near.send(["k"])
    assert keeper.calls == {"replace": 1, "change": 1}
    assert Store(bucket, "signals/k").get("model-0.npz", "key0") == b"zero"


def test_the_workers_of_a_driver_that_lost_the_folder_stop(
    tmp_path: Path, bucket: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether they write there themselves or through its keeper."""
    shelves = [
        transport.shelf(Near(BUCKET, bucket.token), BUCKET, one) for one in (bucket.token, "")
    ]
    lock = json.loads(bucket.read(LOCK) or b"")
    Objects(bucket.place).put(LOCK, json.dumps(lock | {"nonce": "another"}).encode())
    for shelf in shelves:
        assert shelf
        Store(Local(shelf.root), "k").put("model-0.npz", b"zero", "key0")
        with pytest.raises(EnvironmentFault, match="another raymia took the folder"):
            shelf.send(["k"])
    assert Remote(bucket.place).names("signals/k") == []


def test_a_fault_of_the_results_folder_is_told_from_one_of_this_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = Shelf(Link(Near(str(tmp_path / "out"))))
    Store(Local(shelf.root), "k").put("model-0.npz", b"zero", "key0")

    def full(ref: Any, timeout: float) -> Any:
        raise transport.ray.exceptions.RayTaskError(
            "write", "", EnvironmentFault("the disk is full")
        )

    monkeypatch.setattr(transport.ray, "get", full)
    with pytest.raises(FolderFault, match="the disk is full"):
        shelf.send(["k"])


def test_a_node_sees_the_folder_only_by_the_drivers_number(tmp_path: Path) -> None:
    assert not sees(str(tmp_path), "1") and not sees("s3://bucket/x", "1")
    (tmp_path / ".nonce").write_text("1")
    assert sees(str(tmp_path), "1") and not sees(str(tmp_path), "2")


def test_the_keys_are_those_that_a_trial_writes(tmp_path: Path) -> None:
    from raymia.trial import run as trial

    rng = np.random.default_rng(0)
    data = Data("toy", rng.random((120, 64), dtype=np.float32), rng.integers(0, 10, 120), 10, False)
    sweep = files.parse(TINY.replace("- []", "- [temperature]") + "attacker: plain\n")
    point = sweep.point(0, sweep.default(0), 0, data)
    trial.run(point, data, tmp_path / "signals")
    assert {p.name for p in (tmp_path / "signals").iterdir()} == set(trial.folders(point, 120))


def _driver(monkeypatch: pytest.MonkeyPatch) -> tuple[Any, list[int], list[str]]:
    again: list[int] = []
    kept: list[str] = []
    monkeypatch.setattr(
        proposals.trials, "failed", lambda point, error: SimpleNamespace(reason=str(error))
    )
    monkeypatch.setattr(proposals, "replace", lambda row, **changes: row)
    agenda: Any = SimpleNamespace(again=again.append, point=str, sweep=files.parse(TINY))
    quiet: Any = SimpleNamespace(warn=lambda text: None)
    driver = proposals.Ledger(agenda, SimpleNamespace(), quiet)  # type: ignore[arg-type]
    monkeypatch.setattr(driver, "keep", lambda name, row: kept.append(row.reason))
    return driver, again, kept


def test_a_lost_node_does_not_count_and_a_lost_worker_does(monkeypatch: pytest.MonkeyPatch) -> None:
    driver, again, kept = _driver(monkeypatch)
    for _ in range(proposals._PREEMPTIONS):
        driver.running["x"] = 0
        driver.lost("x", "gone", began=True, late=False, preempted=True)
    for _ in range(3):
        driver.running["x"] = 0
        driver.lost("x", "killed", began=True, late=False)
    assert again == [0] * (proposals._PREEMPTIONS + 3) and kept == []
    driver.running["x"] = 0
    driver.lost("x", "killed", began=True, late=False)
    assert len(kept) == 1 and "was lost" in kept[0]


def test_a_trial_that_takes_its_node_down_ends_some_day(monkeypatch: pytest.MonkeyPatch) -> None:
    driver, again, kept = _driver(monkeypatch)
    for _ in range(proposals._PREEMPTIONS + 1):
        driver.running["x"] = 0
        driver.lost("x", "gone", began=True, late=False, preempted=True)
    assert len(again) == proposals._PREEMPTIONS and len(kept) == 1


@pytest.mark.parametrize(
    ("status", "proposed", "said"), [("PENDING", 1, 1), ("RUNNING", 1, 0), ("PENDING", 0, 0)]
)
def test_a_minute_without_a_running_trial_is_said_once_a_minute(
    status: str, proposed: int, said: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, told = [0.0], list[str]()
    monkeypatch.setattr(proposals, "time", SimpleNamespace(monotonic=lambda: now[0]))
    agenda = SimpleNamespace(sweep=files.parse(TINY + "resources: {cpu: 2}\n"), derive=bool)
    progress = SimpleNamespace(warn=told.append, tick=bool)
    driver: Any = proposals.Ledger(agenda, SimpleNamespace(check=bool), progress)  # type: ignore[arg-type]
    driver.running = dict.fromkeys("x" * proposed, 0)
    watch = proposals.Watch(driver)
    for now[0], times in ((59, 0), (61, said), (120, said), (122, 2 * said)):
        watch.on_step_begin(0, [SimpleNamespace(status=status)])
        assert len(told) == times and all("1 x (2 CPU, 0 GPU)" in text for text in told)


@pytest.mark.parametrize(
    ("story", "gone"),
    [
        ("The actor died because its node has died. Node Id: 0123", True),
        ("The actor is dead because its node is dead: the node was terminated: preempted", True),
        (
            "ray.exceptions.ActorUnavailableError: The actor is temporarily unavailable: IOError: "
            "Broken pipe",
            True,
        ),
        (
            "The actor died unexpectedly before finishing this task: worker process exited with "
            "SIGKILL",
            False,
        ),
        ("ValueError: the node of the graph", False),
    ],
)
def test_ray_says_whether_it_was_the_node(story: str, gone: bool) -> None:
    assert bool(proposals._GONE.search(story)) == gone


def test_without_observers_the_groups_are_done_in_turn() -> None:
    done: list[int] = []
    work: Callable[[int], None] = done.append
    assert Spread([], None).map(work, range(3)) == [None] * 3 and done == [0, 1, 2]


def test_the_groups_of_a_lost_node_are_done_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no other node has room for its observer, Ray waits for ever."""

    class Answer:
        def __init__(self, value: Any, done: bool = True) -> None:
            self.value, self.done = value, done

    class Far:
        def __init__(self, node: str) -> None:
            self.where = SimpleNamespace(remote=lambda: Answer(node))
            self.call = SimpleNamespace(
                remote=lambda work, group: Answer(
                    work(group) if node == "here" else None, node == "here"
                )
            )

    killed: list[Any] = []
    fake = SimpleNamespace(
        put=lambda value: value,
        get=lambda ref, timeout=None: ref.value,
        wait=lambda refs, timeout: ([ref for ref in refs if ref.done], []),
        nodes=lambda: [{"NodeID": "here", "Alive": True}, {"NodeID": "gone", "Alive": False}],
        exceptions=spread.ray.exceptions,
        kill=killed.append,
    )
    monkeypatch.setattr(spread, "ray", fake)
    monkeypatch.setattr(actors, "ray", fake)
    monkeypatch.setattr(spread, "_LOOK", 0.0)
    done: list[int] = []
    one: Any = Far("gone")
    trial = Spread([one, Far("here")], None)
    groups, told = [range(i, i + 2) for i in range(0, 12, 2)], list[Any]()
    monkeypatch.setattr(pace, "_EVERY", 0.0)
    with pace.PACE.heard(told.append):
        pace.PACE.begin("models", 12)
        assert trial.map(done.extend, groups) == [None] * 6 and sorted(done) == list(range(12))
    # what an observer did is counted by who got it back; what is done here, by the work itself
    assert [stand.done for stand in told] == list(range(0, 2 * len(told), 2)) and len(told) > 1
    assert one not in trial._observers and len(trial._observers) == 1 and killed == [one]
