"""One trained model for use elsewhere: its weights, and a card that says what it is and what
its numbers were.

The records that it was trained on stay private: neither they nor the seed and protocol that
draw them again stand on the card.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from raymia.errors import EnvironmentFault, SweepError
from raymia.point import catalog, columns
from raymia.point.point import Point
from raymia.records import data
from raymia.results.folder import Folder
from raymia.results.row import Row
from raymia.results.sealed import opened, sealed
from raymia.results.store import Store
from raymia.signals import world as worlds
from raymia.streams import key as sha256
from raymia.training import recipe as recipes

if TYPE_CHECKING:
    from raymia.training.model import Model

# what draws the members, with something to put in its place
_DRAWS = {"seed": 0, "replicate": 0, "protocol": {"coin": {}}}
SEAL = "card_sha256"  # `sha256` is that of the weights
LOAD = (
    "from pathlib import Path; from raymia.report.model_card import load; logits = "
    "load(Path('FOLDER'))(x)"
)


def write(
    folder: Folder, rows: Sequence[Row], out: Path, trial: int | None, model: int | None
) -> None:
    """model.safetensors, byte for byte as it was trained, and card.json: all that is needed to
    use it.

    `trial` must be given; `model` is the index of one, by default the first target. Raises
    SweepError where there is no such model or it was not kept, EnvironmentFault where its file
    is damaged.
    """
    row, point, records = chosen(folder, rows, trial)
    world = worlds.of(point, records.units)
    split = world.split
    model = int(split.targets[0]) if model is None else model
    if not 0 <= model < split.models:
        raise SweepError(f"--model: got {model}; 0 to {split.models - 1} is allowed")
    group = next(group for group in world.groups if model in group)
    key = world.model_keys(group)[model]
    content = _weights(folder, f"signals/{world.base.key}", f"model-{model}.safetensors", key)
    told = described(row, point, records) | {
        "key": key,
        "model": model,
        "role": "target" if model in split.targets else "shadow",
        "released_through": [
            part.name for part in point.recipe if part not in world.base.point.recipe
        ],
        "about_release": "these parts change the outputs and stand outside the weights: what they "
        "hide, the weights alone show",
        "sha256": sha256(content),
        "load": LOAD,
        "about_members": "which records it was trained on is not told; seed and protocol, which "
        "draw them, are left out",
    }
    (out / "model.safetensors").write_bytes(content)
    (out / "card.json").write_bytes(sealed(told, SEAL))


def chosen(folder: Folder, rows: Sequence[Row], trial: int | None) -> tuple[Row, Point, data.Data]:
    """The row of a trial's number, its point and the records of its sweep. Raises SweepError where
    there is none, or no one network, or where the records are others now.
    """
    row = next((row for row in rows if row.trial == trial), None)
    if row is None:
        raise SweepError(
            f"--trial: got {trial}; the number of a trial in {folder.path} is needed, see its "
            "trials.csv"
        )
    if row.state != "done":
        raise SweepError(f"trial {trial} is {row.state}: it has no model")
    point = Point.from_json(row.point)
    records = data.load(point.dataset, point.seed)
    if records.sha256() != point.data:
        raise SweepError(
            f"dataset {point.dataset.name}: its records are not those of the sweep; put the right "
            "ones in place"
        )
    if "white_box" not in worlds.of(point, records.units).offers:
        raise SweepError(
            f"trial {trial}: {point.network.name} under {point.defense} is no one network, whose "
            "weights could be handed out"
        )
    return row, point, records


def described(row: Row, point: Point, records: data.Data) -> dict[str, Any]:
    """What a card says of any model of a trial: what it is, takes and gives, and what the sweep
    found. Without what draws the records that the models of the sweep were trained on.
    """
    return {
        "trial": row.trial,
        "digest": row.digest,
        "defense": row.defense,
        "network": point.network.plain(),
        "input": {
            "shape": list(records.shape),
            "dtype": str(records.x.dtype),
            "units": _units(records),
        },
        "classes": records.classes,
        "normalisation": {"mean": list(records.mean), "std": list(records.std)},
        "vectors": None if records.vectors is None else list(records.vectors.shape),
        "precision": point.training.precision,
        "numbers": {
            name: row.numbers.get(name)
            for measure in row.measures
            for name in columns.with_ends(measure)
        }
        | {"worst_attack": row.worst_attack},
        "about_numbers": "means over the targets of the trial, of outputs as they are released",
        "versions": row.versions,
        "point": {name: value for name, value in row.point.items() if name not in _DRAWS},
    }


def _units(records: data.Data) -> str:
    if records.vectors is not None:
        return "numbers of words, whose vectors are among the weights"
    if not records.image:
        return "as they come"
    return "0 to 255, which the model divides by 255" if records.x.dtype == "uint8" else "0 to 1"


def _weights(folder: Folder, place: str, name: str, key: str) -> bytes:
    """The file of a model, whole and of this key, also from object storage."""
    store = Store(folder.storage, place)
    index = store.index()
    note, there = index.get(name), folder.storage.names(place)
    if "index.json" in there and not index:
        raise EnvironmentFault(f"{folder.path / place}/index.json is damaged; restore it")
    if note is None or note["model"] != key or name not in there:
        raise SweepError(
            f"{folder.path / place} does not hold {name} of this trial; run the sweep with "
            "keep_signals: all"
        )
    if (content := store.read(name, note)) is None:
        raise EnvironmentFault(
            f"{folder.path / place / name} is damaged: its sha256 is not that of index.json; "
            "restore it"
        )
    return content


def load(folder: Path | str) -> Model:
    """The model that `write` left in a folder, a function of records in the data's own units: x
    [B, *shape] -> logits [B, C].

    Needs neither the data nor the results folder. Raises EnvironmentFault where the weights are
    not those of the card.
    """
    from raymia.training.model import builder, restored

    folder = Path(folder)
    place = folder / "card.json"
    card = opened(place.read_bytes(), str(place), "export it again", bare=True, name=SEAL)
    content = (folder / "model.safetensors").read_bytes()
    if sha256(content) != card["sha256"]:
        raise EnvironmentFault(
            f"{folder}/model.safetensors is damaged: its sha256 is not that of card.json; export "
            "it again"
        )
    point = Point.from_json(card["point"] | _DRAWS)  # which do not decide what the network is
    shape, scale = tuple(card["input"]["shape"]), card["normalisation"]
    build = builder(
        catalog.made("networks", point.network),
        shape,
        card["classes"],
        tuple(scale["mean"]),
        tuple(scale["std"]),
        np.zeros(card["vectors"], np.float32) if card.get("vectors") else None,
    )
    return restored(content, recipes.recipe(point.recipe), build, point.training.dtype)
