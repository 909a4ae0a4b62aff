"""The recipe of a trial trained once more, on all records of the data set: a model for use.

None of the sweep's numbers is one of this model. It has no test records left, no shadow was trained
on as many records, and no attack was made on it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from raymia import machine
from raymia.point.point import Point
from raymia.point.space import Part
from raymia.records.data import Data
from raymia.records.split import REFERENCE, Split, over
from raymia.signals.world import World
from raymia.trial.row import facts

if TYPE_CHECKING:
    from raymia.training.model import Model


@dataclass(frozen=True, eq=False)
class Whole(World):
    """The world of one model that trains on every record. `apart`: why the defender's reference, as
    the sweep drew it, is kept out of training; empty where it is trained on, too.
    """

    apart: str

    @cached_property
    def split(self) -> Split:
        drawn = self._drawn
        none = np.zeros((1, len(drawn.role)), bool)
        member = ~none & ~((drawn.role == REFERENCE) & bool(self.apart))
        alone = replace(
            drawn,
            **dict.fromkeys(("held", "fit", "judged", "known"), none),
            member=member,
            targets=np.array([0]),
            shadows=np.zeros((1, 1), bool),
            twin=np.array([-1]),
        )
        share = self.recipe.traits().share
        return over(self.units, alone.carve(share, self.point.seed, self.point.replicate))


@dataclass(frozen=True, eq=False)
class Deployed:
    """A model for use. `numbers`: what its recipe says of it (epsilon at delta), `no_epsilon` why
    there is none. `secret`: its draws cannot be made again. `notes`: a sentence each.
    """

    model: Model
    world: Whole
    numbers: Mapping[str, float | None]
    no_epsilon: str
    secret: bool
    notes: tuple[str, ...]

    @property
    def members(self) -> int:
        return int(self.world.split.member.sum())

    @property
    def held(self) -> int:
        """The records that the recipe takes out of its members for its own reference."""
        return int(self.world.split.held.sum())

    @property
    def trained_on(self) -> int:
        """The members, and the reference of a recipe that trains on it, too."""
        return self.members + self.held * self.world.recipe.traits().spends_reference

    @property
    def inside(self) -> list[Part]:
        """The parts that release, up to the first that cannot stand inside a graph."""
        pairs = zip(self.world.point.recipe, self.world.recipe.parts, strict=True)
        each = [(spelled, made) for spelled, made in pairs if spelled in self.releases]
        able = [made.owns("in_graph") for _, made in each] + [False]
        return [spelled for spelled, _ in each[: able.index(False)]]

    @property
    def releases(self) -> list[Part]:
        """The parts that change what is released, and stand outside the weights."""
        kept = self.world.base.point.recipe
        return [part for part in self.world.point.recipe if part not in kept]


def whole(point: Point, data: Data) -> Whole:
    """The world in which the point's recipe trains on all of the data."""
    here, drawn = point, World(point, data.units)
    if point.device == "cuda" and not machine.here()["gpu"]:
        here = replace(point, device="cpu", training=replace(point.training, engine="auto"))
    traits, reference = drawn.recipe.traits(), len(drawn.split.aside)
    training = drawn.base.recipe.training(point.training)
    scaled = point.training.scaled_by(data.settled, reference) == "reference"
    why = ""
    if "reference" in traits.wants and not traits.share:
        why = f"{point.defense} needs records that the model is not trained on"
    elif "reserve" in traits.wants or training.checkpoint == "best":
        why = "the best epoch is chosen by them"
    elif scaled and drawn.recipe.owns("privatise"):
        why = "features are scaled by them without privacy, so that no epsilon would hold for them"
    return Whole(here, data.units, why)


def run(point: Point, data: Data, secret: bool = False) -> Deployed:
    """Trains the recipe of a point on all of the data: the same bits each time, or with `secret`
    from draws that nobody can make again. Raises Diverged.
    """
    from raymia.signals.ask import Bench  # torch

    world = whole(point, data)
    bench = Bench(world, data, [0])
    if secret:
        bench.key = (*bench.key, int.from_bytes(os.urandom(16)))
    model: Any = bench.train()[0]
    numbers, no_epsilon = facts(world, data)
    notes = []
    if world.point.device != point.device:
        notes.append("trained on a processor: the sweep's models were trained on a GPU")
    if point.canaries:
        notes.append("the sweep's planted records are not among what it was trained on")
    return Deployed(model, world, numbers, no_epsilon, secret, tuple(notes))
