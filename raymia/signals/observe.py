"""From a world to its signals: what is missing of its models is trained, and they are asked
what was not asked yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from raymia.pace import PACE
from raymia.point.point import Point
from raymia.records.data import Data
from raymia.records.groups import Groups
from raymia.results.local import Local
from raymia.results.store import Store, pack, unpack
from raymia.signals import world as worlds
from raymia.signals.view import ACTED, Signals
from raymia.signals.world import Keys, World

if TYPE_CHECKING:
    from raymia.signals.ask import Bench
    from raymia.training.defense import Predictor

Array = np.ndarray[Any, Any]
ROOM = 1 << 30  # bytes of signals beyond which a process keeps only what it needs


@dataclass(frozen=True, eq=False)
class Work:
    """The work of one world, a group of models at a time: the unit that is spread over GPUs.

    `root` holds the folders of signals. A model whose file is there, whole and of the same key,
    is neither trained nor asked again.
    """

    world: World
    data: Data
    needs: tuple[str, ...]
    root: Path

    def __call__(self, group: Sequence[int]) -> None:
        """Trains what is missing of a group and asks its models what is missing."""
        base, keys, bench = self.world.base, self.world.model_keys(group), None
        for world in self._worlds:
            store = _store(world, self.root)
            held, missing = _missing(store, keys, self.needs)
            if not any(missing.values()):
                continue
            if bench is None:
                bench = _bench(self.world, self.data, group)
                models = _models(bench, _store(base, self.root), keys)
            store.put_each(
                (f"model-{m}.npz", pack({**held[m], **asked}), keys[m])
                for m in group
                if missing[m]
                for raw in [None if world is base else self._logits(m, keys[m])]
                for asked in [bench.ask(models[m], m, missing[m], world.recipe, raw)]
            )
        PACE.done(len(group))

    def _logits(self, model: int, key: str) -> Array:
        """What a model of the base world has said: what is released is made of it."""
        return _held(_store(self.world.base, self.root), model, key)["logits"]

    def lacks(self, group: Sequence[int]) -> bool:
        """Whether there is anything to do for a group."""
        keys = self.world.model_keys(group)
        return any(
            any(_missing(_store(world, self.root), keys, self.needs)[1].values())
            for world in self._worlds
        )

    @property
    def _worlds(self) -> list[World]:
        return list(dict.fromkeys((self.world.base, self.world)))


def _store(world: World, root: Path) -> Store:
    return Store(Local(root), world.key)


def _bench(world: World, data: Data, group: Sequence[int]) -> Bench:
    from raymia.signals.ask import Bench  # torch: of no use where everything is there

    return Bench(world, data, group)


def answered(arrays: Iterable[str], need: str) -> bool:
    """Whether a need is among the arrays of a model's file: under its own name, or in parts
    named `<need>_<part>`.
    """
    return any(name == need or name.startswith(f"{need}_") for name in arrays)


def _missing(
    store: Store, keys: Keys, needs: Sequence[str]
) -> tuple[dict[int, dict[str, Array]], dict[int, list[str]]]:
    """What each model has said, and the needs that it has not answered."""
    held = {m: _held(store, m, key) for m, key in keys.items()}
    return held, {m: [n for n in needs if not answered(held[m], n)] for m in keys}


def _held(
    store: Store, model: int, key: str, want: Callable[[str], bool] = lambda _: True
) -> dict[str, Array]:
    content = store.get(f"model-{model}.npz", key)
    return unpack(content, want) if content else {}


def _models(bench: Bench, store: Store, keys: Keys) -> Mapping[int, Predictor]:
    """The trained models of a group, read where they are whole, else trained together and kept."""
    if "white_box" not in bench.world.base.offers:  # no networks: there are no weights to keep
        return bench.train()
    states = {m: store.get(f"model-{m}.safetensors", key) for m, key in keys.items()}
    if all(states.values()):
        return {m: bench.load(state) for m, state in states.items() if state}
    from raymia.training.model import saved

    models = bench.train()
    store.put_each((f"model-{m}.safetensors", saved(model), keys[m]) for m, model in models.items())
    return models


class Kept(NamedTuple):
    """The world whose signals are kept, its records' numbers in the file [S], and their groups
    where the data had some.
    """

    world: World
    rows: list[int]
    groups: Groups | None


def keep_split(world: World, data: Data, root: Path) -> None:
    """Writes split.npz beside the signals."""
    split, store = world.split, _store(world, root)
    arrays = {
        "records": data.rows,
        "labels": data.y,
        "member": split.member,
        "role": split.role,
        "fit": split.fit,
        "targets": split.targets,
        "judged": split.judged,
        "held": split.held,
        "shadows": split.shadows,
        "known": split.known,
        "half": split.half,
        "twin": split.twin,
        **({} if isinstance(world.units, int) else {"unit": np.array(world.units)}),
    }
    if data.groups is not None:
        arrays["group"] = data.groups.code
        arrays["group_names"] = np.array(data.groups.names)
        arrays["group_column"] = np.array(data.groups.column)
    content = pack(arrays)
    if store.get("split.npz") != content:
        store.put("split.npz", content)


def kept(point: Point, root: Path) -> Kept:
    """What is kept beside the signals of a point. Raises FileNotFoundError where it is not."""
    arrays = _split(Store(Local(root), worlds.signals_key(point)), root)
    unit = arrays.get("unit")
    units = len(arrays["labels"]) if unit is None else tuple(unit.tolist())
    groups = None
    if "group" in arrays:
        names, column = arrays["group_names"].tolist(), str(arrays["group_column"])
        groups = Groups(column, tuple(names), arrays["group"])
    return Kept(worlds.of(point, units), arrays["records"].tolist(), groups)


def asked_again(world: World, data: Data, root: Path, model: int, need: str) -> dict[str, Array]:
    """What the network of a kept model answers to a need, whatever is released; it is not written.
    Raises FileNotFoundError where the network was not kept.
    """
    group = next(group for group in world.groups if model in group)
    name, key = f"model-{model}.safetensors", world.model_keys(group)[model]
    content = _store(world.base, root).get(name, key)
    if content is None:
        raise FileNotFoundError(f"{root}/{world.base.key}/{name} is missing or damaged")
    bench = _bench(world, data, group)
    return bench.ask(bench.load(content), model, [need], world.base.recipe)


def _split(store: Store, root: Path) -> dict[str, Array]:
    content = store.get("split.npz")
    if content is None:
        raise FileNotFoundError(
            f"{root / store.place}/split.npz is missing or damaged; run the trial again"
        )
    return unpack(content)


def load(world: World, root: Path, needs: tuple[str, ...]) -> Signals:
    """All models' signals of a world: those needed, and what else was needed of them before and
    is still kept. Raises FileNotFoundError, or KeyError where a model lacks what others said.
    """
    return loaded(world, root).answers(needs)


@lru_cache(maxsize=2)  # with a plain attacker there are two worlds
def loaded(world: World, root: Path) -> _Loaded:
    """What this process has read of a world's signals."""
    return _Loaded(world, root)


class _Loaded:
    """Reads each model's file once for the same needs, however many attacks and targets ask."""

    def __init__(self, world: World, root: Path) -> None:
        self._world, self._store = world, _store(world, root)
        self._arrays: dict[str, Array] = {}
        self._read: set[str] = set()  # needs, whether or not the models have answered them
        labels = _split(self._store, root)["labels"]
        self._signals = Signals(world.split, labels, self._arrays)

    def answers(self, needs: Sequence[str]) -> Signals:
        missing = [need for need in needs if need not in self._read]
        if missing:
            self._make_room(needs)
            self._arrays |= self._stacked(missing)
            self._read |= set(missing)
        return self._signals

    def _make_room(self, needs: Sequence[str]) -> None:
        """Where much is kept, what is not needed now goes."""
        if sum(a.nbytes for a in self._arrays.values()) <= ROOM:
            return
        gone = [name for name in self._arrays if not any(answered([name], n) for n in needs)]
        for name in gone:
            del self._arrays[name]
        self._read &= set(needs)

    def _stacked(self, needs: Sequence[str]) -> dict[str, Array]:
        """[M, ...] of every model, each put where it belongs as soon as it is read."""

        def wanted(name: str) -> bool:
            return any(answered([name], need) for need in needs)

        world, found, count = self._world, dict[str, Array](), dict[str, int]()
        for group in world.groups:
            for m, key in world.model_keys(group).items():
                for name, array in _held(self._store, m, key, wanted).items():
                    if name not in found:
                        found[name] = np.zeros((world.split.models, *array.shape), array.dtype)
                    found[name][m] = array
                    count[name] = count.get(name, 0) + 1
        for name, models in count.items():
            # what a recipe did, not every model has to say of itself: it is 0 there
            if models < world.split.models and not name.startswith(f"{ACTED}_"):
                raise KeyError(name)
        return found
