"""From a point to its signals: who trains in which group, under which key each model is kept, and what is asked of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from raymia import canaries as planting
from raymia import catalog, defense
from raymia.data import Data
from raymia.point import Point
from raymia.signals import Signals
from raymia.split import Split
from raymia.storage import Local
from raymia.store import Store, pack, unpack
from raymia.streams import key as key_of

if TYPE_CHECKING:
    from raymia.defense import Predictor

Array = np.ndarray[Any, Any]
Keys = dict[int, str]  # model -> key of the trained model


def draw(point: Point, n: int) -> Split:
    """The split of a point over n records."""
    protocol = catalog.make("protocols", point.protocol.name, point.protocol.knobs)
    split: Split = protocol.draw(n, point.seed, point.replicate)
    return split.carve(defense.recipe(point.recipe).share, point.seed, point.replicate)


def canaries(point: Point, n: int) -> planting.Kinds:
    """Which of n records are planted ones, by kind: the same for all recipes."""
    if not any(point.canaries.values()):
        return np.zeros(n, np.int8)
    bare = draw(replace(point, recipe=()), n)
    return planting.places(point.canaries, bare, point.seed, point.replicate)


def groups(point: Point, models: int) -> list[range]:
    """The models that are trained in one go, `lanes` at a time: a group finishes whole or is trained again whole."""
    return [range(i, min(i + point.lanes, models)) for i in range(0, models, point.lanes)]


def signals_key(point: Point) -> str:
    """Names the folder of a point's signals: everything but how many models there are and who attacks them."""
    body = point.canonical()
    grows = catalog.find("protocols", point.protocol.name).grows
    body["protocol"] = {point.protocol.name: {k: v for k, v in point.protocol.knobs.items() if k not in grows}}
    body["revisions"] = {k: v for k, v in body["revisions"].items() if not k.startswith("attacks.")}
    del body["attacks"], body["attacker"]
    return key_of(body)[:32]


def before_release(point: Point) -> Point:
    """The point without its release defenses: where its trained models are kept, for all that release them differently."""
    parts = defense.recipe(point.recipe).parts
    return replace(point, recipe=tuple(p for p, part in zip(point.recipe, parts, strict=True) if not part.owns("release")))


def model_keys(point: Point, split: Split, group: Sequence[int]) -> Keys:
    """What determines each trained model of a group: its own records, its recipe, and the others only as a count."""
    base = signals_key(before_release(point))
    keys = {}
    for m in group:
        own = key_of(np.packbits(split.member[m]).tobytes(), split.reference(m).tobytes())
        keys[m] = key_of([base, m, own, group[0], len(group)])
    return keys


def answered(arrays: Iterable[str], need: str) -> bool:
    """Whether a model's file holds the answer to a need: an array of its name, or several that begin with it."""
    return any(name == need or name.startswith(f"{need}_") for name in arrays)


def observe(point: Point, data: Data, root: Path, needs: Sequence[str], group: Sequence[int]) -> None:
    """Trains what is missing of one group and asks its models what is missing: the unit of work that is spread over GPUs.

    A model whose file is there, whole and of the same key, is neither trained nor asked again.
    """
    split = draw(point, len(data))
    keys = model_keys(point, split, group)
    base = before_release(point)
    owner = defense.recipe(base.recipe)
    for world in _worlds(point):
        store = Store(Local(root), signals_key(world))
        held, missing = _missing(store, keys, needs)
        if not any(missing.values()):
            continue
        from raymia import laboratory  # torch

        bench = laboratory.Bench(base, data, split, group)
        models = _models(bench, Store(Local(root), signals_key(base)), keys, owner.owns("assemble"))
        for m in group:
            if missing[m]:
                raw = None if world == base else _held(Store(Local(root), signals_key(base)), m, keys[m])["logits"]
                asked = bench.ask(models[m], m, missing[m], defense.recipe(world.recipe), raw)
                store.put(f"model-{m}.npz", pack({**held[m], **asked}), keys[m])


def lacking(point: Point, data: Data, root: Path, needs: Sequence[str], group: Sequence[int]) -> bool:
    """Whether `observe` has anything to do."""
    keys = model_keys(point, draw(point, len(data)), group)
    stores = [Store(Local(root), signals_key(world)) for world in _worlds(point)]
    return any(any(_missing(store, keys, needs)[1].values()) for store in stores)


def _worlds(point: Point) -> list[Point]:
    base = before_release(point)
    return [base] if base == point else [base, point]


def _missing(store: Store, keys: Keys, needs: Sequence[str]) -> tuple[dict[int, dict[str, Array]], dict[int, list[str]]]:
    """What each model has said, and the needs that it has not answered."""
    held = {m: _held(store, m, key) for m, key in keys.items()}
    return held, {m: [n for n in needs if not answered(held[m], n)] for m in keys}


def _held(store: Store, model: int, key: str) -> dict[str, Array]:
    content = store.get(f"model-{model}.npz", key)
    return unpack(content) if content else {}


def _models(bench: Any, store: Store, keys: Keys, assembled: bool) -> Mapping[int, Predictor]:
    """The trained models of a group, read where they are whole, else trained together and kept."""
    states = {m: store.get(f"model-{m}.safetensors", key) for m, key in keys.items()}
    if all(states.values()) and not assembled:
        return {m: bench.load(m, state) for m, state in states.items()}
    models: Mapping[int, Predictor] = bench.train()
    if not assembled:
        for m, model in models.items():
            store.put(f"model-{m}.safetensors", bench.dump(model), keys[m])
    return models


def keep_split(point: Point, data: Data, split: Split, root: Path) -> str:
    """Writes split.npz beside the signals; returns the folder's name."""
    key = signals_key(point)
    arrays = {
        "records": np.arange(len(data)),
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
    }
    store = Store(Local(root), key)
    content = pack(arrays)
    if store.get("split.npz") != content:
        store.put("split.npz", content)
    return key


@lru_cache(maxsize=2)
def load(point_text: str, root: Path, needs: tuple[str, ...]) -> Signals:
    """All models' signals of a point (as JSON text: hashable), for the needs given. Kept for the next attack on it."""
    point = Point.from_json(json.loads(point_text))
    store = Store(Local(root), signals_key(point))
    content = store.get("split.npz")
    if content is None:
        raise FileNotFoundError(f"{root / store.place}/split.npz is missing or damaged; run the trial again")
    arrays = unpack(content)
    split = Split(**{name: arrays[name] for name in Split.__dataclass_fields__})
    rows = []
    for group in groups(point, split.models):
        for m, key in model_keys(point, split, group).items():
            held = _held(store, m, key)
            rows.append({name: a for name, a in held.items() if any(answered([name], n) for n in needs)})
    names = rows[0].keys()
    return Signals(split, arrays["labels"], {name: np.stack([row[name] for row in rows]) for name in names})
