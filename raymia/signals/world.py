"""A point, decoded once where a process meets it: a recipe on a split, and under which names
its models are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from raymia.point import catalog
from raymia.point.point import Point, told
from raymia.point.space import Part
from raymia.records import canaries
from raymia.records.split import Protocol, Split, Units, count, over
from raymia.streams import key
from raymia.training import recipe as recipes
from raymia.training.architecture import Architecture

Keys = dict[int, str]  # model -> key of the trained model


@dataclass(frozen=True, eq=False)
class World:
    """A recipe on a split: what is trained and asked together. Made by `of`, once a process,
    and sent to others as its point.

    A trial has one to four: with and without its release defenses, and for the plain attacker
    the same without any defense. `units`: how many records there are, or which of them share a
    membership (`Data.units`).
    """

    point: Point
    units: Units

    def __reduce__(self) -> tuple[Callable[..., World], tuple[Any, ...]]:
        return of, (self.point, self.units)

    @cached_property
    def recipe(self) -> recipes.Recipe:
        return recipes.recipe(self.point.recipe)

    @cached_property
    def protocol(self) -> Protocol:
        protocol: Protocol = catalog.made("protocols", self.point.protocol)
        return protocol

    @cached_property
    def network(self) -> Architecture:
        network: Architecture = catalog.made("networks", self.point.network)
        return network

    @property
    def offers(self) -> frozenset[str]:
        """What attacks may want of its models: `white_box`, `split_ai`. Where `white_box` is not
        among it, they are no networks, and have no weights to keep.
        """
        return self.recipe.offers - self.network.lacks

    @cached_property
    def split(self) -> Split:
        """Who trains on what, less what the models give up for their own reference."""
        share, drawn = self.recipe.traits().share, self._drawn
        return over(self.units, drawn.carve(share, self.point.seed, self.point.replicate))

    @cached_property
    def kinds(self) -> canaries.Kinds:
        """Which records are planted ones [S], by kind: the same for all recipes."""
        drawn = over(self.units, self._drawn)
        return canaries.places(self.point.canaries, drawn, self.point.seed, self.point.replicate)

    @property
    def _drawn(self) -> Split:
        return _drawn(self.point.protocol, count(self.units), self.point.seed, self.point.replicate)

    @cached_property
    def base(self) -> World:
        """The same before its release defenses: where its models are kept, for all that release
        them differently.
        """
        parts = zip(self.point.recipe, self.recipe.parts, strict=True)
        kept = tuple(
            Part(spelled.name, {**spelled.knobs, **(part.unreleased or {})})
            for spelled, part in parts
            if not part.owns("release") or part.unreleased is not None
        )
        return (
            self if kept == self.point.recipe else of(replace(self.point, recipe=kept), self.units)
        )

    @cached_property
    def plain(self) -> World:
        """The undefended world on the same split, in which the plain attacker trains its
        shadows.
        """
        return of(replace(self.point, recipe=()), self.units)

    @cached_property
    def key(self) -> str:
        """The name of the folder of its signals."""
        return signals_key(self.point)

    @property
    def folders(self) -> list[str]:
        """The folders of signals that it writes or reads."""
        return list(dict.fromkeys((self.base.key, self.key)))

    @property
    def groups(self) -> list[range]:
        """The models that are trained in one go, `lanes` at a time: a group finishes whole or
        is trained again whole.
        """
        models, lanes = self.split.models, self.point.lanes
        return [range(i, min(i + lanes, models)) for i in range(0, models, lanes)]

    def model_keys(self, group: Sequence[int]) -> Keys:
        """What determines each trained model of a group: its own records, its recipe, and the
        others only as a count.
        """
        keys = {}
        for m in group:
            own = key(
                np.packbits(self.split.member[m]).tobytes(), self.split.reference(m).tobytes()
            )
            keys[m] = key([self.base.key, m, own, group[0], len(group)])
        return keys


@lru_cache(maxsize=8)
def of(point: Point, units: Units) -> World:
    """The world of a point over so many records."""
    return World(point, units)


@lru_cache(maxsize=2)
def _drawn(protocol: Part, records: int, seed: int, replicate: int) -> Split:
    """Kept, because all worlds of a trial have it."""
    drawn: Split = catalog.made("protocols", protocol).draw(records, seed, replicate)
    return drawn


def signals_key(point: Point) -> str:
    """Names the folder of a point's signals: everything but how many models there are and who
    attacks them.
    """
    body = point.canonical()
    grows = catalog.find("protocols", point.protocol.name).grows
    kept = {k: v for k, v in point.protocol.knobs.items() if k not in grows}
    body["protocol"] = told("protocols", Part(point.protocol.name, kept))
    body["revisions"] = {k: v for k, v in body["revisions"].items() if not k.startswith("attacks.")}
    del body["attacks"], body["attacker"]
    return key(body)[:32]
