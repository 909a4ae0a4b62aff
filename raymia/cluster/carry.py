"""Signals of nodes that do not see the results folder: they travel through Ray's object store to where the folder is.

A worker keeps a shelf, a private folder on its own disk with the files of the points that it works on. What the results folder
has already is taken from there, and what a group of models has said goes there as soon as it is said: a trial that is killed
finds its finished models, wherever it runs next.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On

from raymia import observation
from raymia.point import Point
from raymia.remote import Remote, storage
from raymia.signals import Store

_NOTE = ".nonce"  # in the results folder while a driver runs: who reads the right number there sees the folder
_LONG = 600.0  # seconds for the files of one group of models
Index = dict[str, dict[str, str]]  # file -> {"sha256", "model"}


class Keeper:
    """The actor beside the driver that reads and writes signals in the results folder, one call after another."""

    def __init__(self, place: str) -> None:
        self._storage, self._place = storage(place), place

    def index(self, key: str) -> Index:
        try:
            found = json.loads(self._storage.read(f"signals/{key}/index.json") or b"{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def get(self, key: str, name: str) -> bytes | None:
        return self._storage.read(f"signals/{key}/{name}")

    def put(self, key: str, files: Mapping[str, tuple[bytes, str]]) -> None:
        """name -> (content, key of its model). The index is written last: a file that it does not name is not there."""
        if not isinstance(self._storage, Remote):
            for name, (content, model) in files.items():  # beside workers that write there themselves
                Store(Path(self._place, "signals", key)).put(name, content, model)
            return
        noted = self.index(key)
        for name, (content, model) in files.items():
            self._storage.replace(f"signals/{key}/{name}", content)
            noted[name] = {"sha256": hashlib.sha256(content).hexdigest(), "model": model}
        self._storage.replace(f"signals/{key}/index.json", json.dumps(noted, indent=1, sort_keys=True).encode())


def keeper(place: str) -> Any:
    """A Keeper on this very node; it ends with the driver."""
    here = On(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(Keeper).options(num_cpus=0, max_restarts=-1, max_task_retries=3, scheduling_strategy=here).remote(place)


class Shelf:
    """A worker's own folder of signals."""

    def __init__(self, keeper: Any, nonce: str) -> None:
        self._keeper = keeper
        top = Path(tempfile.gettempdir(), f"raymia-{os.getuid()}")
        top.mkdir(mode=0o700, exist_ok=True)
        self.root = Path(tempfile.mkdtemp(prefix=f"signals-{nonce[:8]}-", dir=top))
        self._known: dict[str, Index] = {}  # key -> what the results folder has

    def fetch(self, keys: Iterable[str]) -> None:
        """Take what the results folder has of these points; what does not verify is left there, and made again."""
        for key in keys:
            noted = self._known[key] = dict(ray.get(self._keeper.index.remote(key), timeout=_LONG))
            mine = Store(self.root / key)
            for name, note in noted.items():
                if mine.index().get(name) == note:
                    continue
                content = ray.get(self._keeper.get.remote(key, name), timeout=_LONG)
                if content is not None and hashlib.sha256(content).hexdigest() == note["sha256"]:
                    mine.put(name, content, note["model"])

    def send(self, keys: Iterable[str]) -> None:
        """Give the results folder what it does not have."""
        for key in keys:
            mine, known = Store(self.root / key), self._known.setdefault(key, {})
            fresh = {name: note for name, note in mine.index().items() if known.get(name) != note}
            files = {name: (mine.get(name, note["model"]), note["model"]) for name, note in fresh.items()}
            whole = {name: pair for name, pair in files.items() if pair[0] is not None}
            if whole:
                ray.get(self._keeper.put.remote(key, whole), timeout=_LONG)
                known.update(fresh)

    def clear(self) -> None:
        """Nothing is kept on this disk."""
        self._known.clear()
        for one in self.root.iterdir():
            shutil.rmtree(one, ignore_errors=True)

    def remove(self) -> None:
        shutil.rmtree(self.root, ignore_errors=True)


def keys(point: Point) -> list[str]:
    """The folders of signals that a trial of this point writes or reads."""
    worlds = [point] if point.attacker == "adaptive" else [point, replace(point, recipe=())]
    both = (one for world in worlds for one in (world, observation.before_release(world)))
    return list(dict.fromkeys(observation.signals_key(one) for one in both))


def sees(place: str, nonce: str) -> bool:
    """Whether this node reads the results folder as the driver wrote it."""
    try:
        return Path(place, _NOTE).read_text() == nonce
    except OSError:
        return False


def blind(place: str, nonce: str, patience: float = 30.0) -> list[str]:
    """The addresses of the nodes that do not see the folder, each asked by a task of its own."""
    look = ray.remote(num_cpus=0, max_retries=0)(sees)
    nodes = [node for node in ray.nodes() if node["Alive"]]
    asked = [look.options(scheduling_strategy=On(node["NodeID"], soft=False)).remote(place, nonce) for node in nodes]
    ready, _ = ray.wait(asked, num_returns=len(asked), timeout=patience)
    answers = {ref: _answer(ref) if ref in ready else False for ref in asked}
    return [str(node["NodeManagerAddress"]) for node, ref in zip(nodes, asked, strict=True) if not answers[ref]]


def _answer(ref: Any) -> bool:
    try:
        return bool(ray.get(ref, timeout=1.0))
    except ray.exceptions.RayError:
        return False
