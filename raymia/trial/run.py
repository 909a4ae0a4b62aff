"""The whole of a trial: draw the split, train what is missing, attack, judge, make one row. It
knows no Ray.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from raymia.attack import attack as attacks
from raymia.attack.attack import column
from raymia.pace import PACE
from raymia.point import catalog, columns
from raymia.point.columns import APART, PLAIN
from raymia.point.point import Point
from raymia.point.space import Part
from raymia.records import canaries
from raymia.records.account import account, digest
from raymia.records.data import Data
from raymia.records.split import Units
from raymia.results.row import Row
from raymia.signals import world as worlds
from raymia.signals.observe import Work, keep_split, load
from raymia.signals.view import ACTED
from raymia.signals.world import World
from raymia.trial import kept_scores
from raymia.trial.judge import Verdict, verdicts
from raymia.trial.row import finished, unfinished

Map = Callable[..., Iterable[Any]]
Array = np.ndarray[Any, Any]
BACKED_OFF = "memory did not hold a whole group of models"  # what a note begins with


@dataclass(frozen=True)
class Call:
    """One attack on one target (on all of them where it trains a network: those are fused);
    `plain`: its shadows come from the undefended world.
    """

    world: World
    targets: tuple[int, ...]
    attack: Part
    plain: bool

    @property
    def column(self) -> str:
        return column(self.attack) + (PLAIN if self.plain else "")

    def __str__(self) -> str:
        return f"{self.column}, target {', '.join(map(str, self.targets))}"


def run(
    point: Point,
    data: Data,
    signals: Path | None = None,
    map: Map = map,
    spread: Map = map,
    keep: Callable[[str, bytes], None] | None = None,
) -> Row:
    """One point from split to row. `map` runs the attacks and `spread` trains the groups of
    models; both keep the order.

    `signals` is the folder that keeps what the models said (None: nothing is kept); `keep(name,
    content)` writes the scores of single records into the results folder. The row's `trial` is
    the caller's to set. Raises training.Diverged and metrics.ScoreError where the point has no
    number, RaymiaError for what a user can mend.
    """
    start = time.monotonic()
    world, read = worlds.of(point, data.units), digest(account(data))
    with nullcontext(str(signals)) if signals else tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        data = canaries.plant(data, world.kinds, point.seed, point.replicate)
        for one in observed(world):
            asked = tuple(n for n in needs(world) if n in needs(one))
            work = Work(one, data, asked, root)
            PACE.begin("models", one.split.models)
            list(spread(work, one.groups))
            keep_split(one, data, root)
        trained = time.monotonic()
        todo = calls(world)
        PACE.begin("attacks", len(todo))
        found = [verdict for answer in map(partial(judge, root), todo) for verdict in answer]
        said = dict(load(world, root, (ACTED, "logits")).arrays)
        apart = said.pop(f"{ACTED}_{APART}", np.zeros(1))
        row = finished(world, data, said["logits"], found, _acted(world, said))
        if keep is not None:
            keep(kept_scores.place(row.digest), kept_scores.packed(found))
    timing = {
        "train": trained - start,
        "attack": time.monotonic() - trained,
        "total": time.monotonic() - start,
    }
    small = f"{BACKED_OFF}: {apart.sum():g} of {len(apart)} models were trained in smaller ones, "
    notes = [*row.notes, *([small + "where last digits may differ"] if apart.any() else [])]
    return replace(row, timing=timing, account=read, notes=notes)


def _acted(world: World, said: Mapping[str, Array]) -> dict[str, float]:
    """`acted.<part>.<what>`: what the recipe did, the mean over the targets."""
    begin = f"{ACTED}_"
    return {
        columns.acted(name.removeprefix(begin)): float(a[world.split.targets].mean())
        for name, a in said.items()
        if name.startswith(begin) and name != begin
    }


def attempt(
    point: Point, data: Data, signals: Path | None = None, map: Map = map, spread: Map = map
) -> Row:
    """`run`, with what goes wrong as a row: `invalid` where the point has no number, `failed`
    otherwise.
    """
    start = time.monotonic()
    try:
        return run(point, data, signals, map, spread)
    except Exception as error:
        # every other fault of this point: it is kept with its reason, and the sweep goes on
        return replace(failed(point, error), timing={"total": time.monotonic() - start})


def failed(point: Point, error: Exception) -> Row:
    """The row of a point that has no numbers, with the reason on one line."""
    kind = type(error).__name__  # by name: training's Diverged lives beside torch
    state = "invalid" if kind in ("Diverged", "ScoreError") else "failed"
    models, targets = catalog.made("protocols", point.protocol).shape
    return unfinished(
        point,
        worlds.signals_key(point),
        state,
        " ".join(f"{kind}: {error}".split())[:500],
        models,
        targets,
    )


def observed(world: World) -> list[World]:
    """The worlds whose models a trial trains and asks: its own, and the undefended one where
    the attacker is plain.
    """
    return [world] if world.point.attacker == "adaptive" else [world, world.plain]


def folders(point: Point, units: Units) -> list[str]:
    """The folders of signals that a trial of a point writes or reads."""
    every = (name for one in observed(worlds.of(point, units)) for name in one.folders)
    return list(dict.fromkeys(every))


def apply(world: World) -> list[Part]:
    """The attacks that can be made on what the recipe trains and releases."""
    lacking = attacks.OF_A_DEFENSE - world.offers
    return [part for part in world.point.attacks if not attacks.traits(part).wants & lacking]


def needs(world: World) -> tuple[str, ...]:
    """What the models are asked, for all attacks together."""
    return tuple(
        sorted(
            {need for part in apply(world) for need in attacks.traits(part).needs}
            | {ACTED, "logits"}
        )
    )


def calls(world: World) -> list[Call]:
    """Every attack on every target that a trial makes, in the order of its columns. The plain
    attacker makes those that use shadows: the others would say the same again.
    """
    every = tuple(range(len(world.split.targets)))
    return [
        Call(world, group, part, plain)
        for plain in ([False] if world.point.attacker == "adaptive" else [False, True])
        for part in (_by_shadows(world) if plain else apply(world))
        for group in ([every] if attacks.make(part).fused else [(t,) for t in every])
    ]


def _by_shadows(world: World) -> list[Part]:
    """Of the attacks, those that use shadows, where undefended ones will do."""
    there = apply(world.plain)
    return [p for p in apply(world) if p in there and attacks.traits(p).wants & attacks.SHADOWS]


def judge(root: Path, call: Call) -> list[Verdict]:
    """One attack on its targets, from the signals on disk."""
    world, attack = call.world, attacks.make(call.attack)
    asked = tuple(sorted(attack.traits().needs))
    signals = load(world, root, asked)
    others = load(world.plain, root, asked) if call.plain else None
    key = (world.point.seed, world.point.replicate)
    holds_out = world.recipe.traits().share > 0 or "reference" in world.recipe.traits().wants
    found = verdicts(
        attack,
        call.column,
        signals,
        call.targets,
        key,
        others,
        world.kinds,
        reference=holds_out and not call.plain,
    )
    PACE.done()
    return found
