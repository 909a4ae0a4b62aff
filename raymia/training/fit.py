"""Trains K models in lockstep under one recipe, on tensors that stay on the device.

`lanes: 1` is the plain loop (a group of one model, its own modules). A wider group keeps the
parameters of K models side by side (`backends`); each model's random draws come from its own
streams, so a model of an ensemble equals the same model trained alone (to rounding).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from raymia.pace import PACE
from raymia.point.columns import APART
from raymia.point.schedule import Training
from raymia.streams import seed_of, stream
from raymia.training.batches import pixels
from raymia.training.defense import Defense, Fit, Lesson, Predictor
from raymia.training.estimators import Estimates
from raymia.training.group import Group, PrivateGroup
from raymia.training.losses import CHUNK
from raymia.training.memory import halved
from raymia.training.model import Build, Model
from raymia.training.network import Network
from raymia.training.recipe import Recipe
from raymia.training.scaling import scale

# recipe, lesson, training, name, how
Keep = Callable[[Defense, Lesson, Training, str, Callable[[], list[Predictor]]], list[Predictor]]


def fit(
    recipe: Defense,
    build: Build | Estimates,
    lesson: Lesson,
    training: Training,
    key: tuple[object, ...],
    models: Sequence[int],
    keep: Keep | None = None,
) -> list[Predictor]:
    """Trains one model per entry of `models` and returns them in evaluation mode, in that order.

    `key` and the model's number name every random stream. `keep` may hold the teachers that a
    recipe asks for. A group that memory does not hold is trained in halves, which its models
    say. Raises Diverged.
    """
    own = recipe.training(training)
    apart: set[int] = set()  # models of which a teacher was trained in a smaller group
    if recipe.owns("assemble"):  # there is no other network that the recipe's schedule could be for
        rngs = [stream(*key, "teach", m) for m in models]
        found = recipe.assemble(lesson, _fit_under(build, own, key, models, keep, apart), rngs)
        return [_noted(one, k in apart) for k, one in enumerate(found)]
    given = lesson
    lesson = taught(recipe, build, lesson, training, key, models, keep, apart)
    before = recipe.before_training(training, given, lesson) if isinstance(recipe, Recipe) else {}
    if isinstance(build, Estimates):
        seeds = [seed_of(*key, "init", m) for m in models]
        return [build.fitted(lesson, k, seed, before) for k, seed in enumerate(seeds)]
    kind = PrivateGroup if recipe.owns("privatise") else Group

    def train(rows: Sequence[int]) -> list[Model]:
        nets = [
            seeded(lambda: recipe.network(build()), seed_of(*key, "init", models[k])) for k in rows
        ]
        nets = [scale(net, lesson, k) for net, k in zip(nets, rows, strict=True)]
        group = kind(recipe, nets, _part(lesson, rows), own, key, [models[k] for k in rows])
        trained: list[Model] = []
        for k, net, acted in zip(rows, group.train(), group.acted(), strict=True):
            seen = lesson.x[torch.as_tensor(lesson.members[k][:CHUNK]).to(lesson.x.device)]
            with torch.no_grad():
                inside = recipe.inside(net, pixels(seen, group.dtype))
            split_ai = None if lesson.split_ai is None else lesson.split_ai[k]
            trained.append(Model(net, group.dtype, {**before, **acted, **inside}, split_ai))
        return trained

    out: dict[int, Predictor] = {}
    for rows in _groups(recipe, lesson):
        for k, (one, smaller) in zip(rows, halved(rows, train), strict=True):
            out[k] = _noted(one, smaller or k in apart)
    return [out[k] for k in range(len(models))]


def _noted(one: Predictor, smaller: bool) -> Predictor:
    """A model that says, where it can say anything, that its group was a smaller one."""
    if not smaller or not hasattr(one, "acted"):
        return one
    return replace(one, acted={**one.acted, APART: 1.0})  # type: ignore[type-var]


def taught(
    recipe: Defense,
    build: Build | Estimates,
    lesson: Lesson,
    training: Training,
    key: tuple[object, ...],
    models: Sequence[int],
    keep: Keep | None = None,
    apart: set[int] | None = None,
) -> Lesson:
    """What the models of `fit` learn from, after the same arguments. `apart` is told the models of
    which a teacher was trained in a smaller group.
    """
    rngs, told = [stream(*key, "teach", m) for m in models], set() if apart is None else apart
    return recipe.teach(lesson, _fit_under(build, training, key, models, keep, told), rngs)


def _fit_under(
    build: Build | Estimates,
    training: Training,
    key: tuple[object, ...],
    models: Sequence[int],
    keep: Keep | None,
    apart: set[int],
) -> Fit:
    """How a part trains teachers."""

    def sub_fit(part: Defense, sub: Lesson, name: str) -> list[Predictor]:
        def train() -> list[Predictor]:
            with PACE.teaching():
                return fit(part, build, sub, training, (*key, name), models)

        found = keep(part, sub, training, name, train) if keep else train()
        apart.update(k for k, one in enumerate(found) if APART in getattr(one, "acted", {}))
        return found

    return sub_fit


def _groups(recipe: Defense, lesson: Lesson) -> list[list[int]]:
    """Rows that can share a step: as many members each; one by one where gradients are private."""
    if recipe.owns("privatise"):
        return [[k] for k in range(len(lesson))]
    pairs = [(len(m), len(r)) for m, r in zip(lesson.members, lesson.reference, strict=True)]
    return [[k for k, p in enumerate(pairs) if p == size] for size in sorted(set(pairs))]


def _part(lesson: Lesson, rows: Sequence[int]) -> Lesson:
    target = None if lesson.target is None else lesson.target[list(rows)]
    members, reference = (
        tuple(side[k] for k in rows) for side in (lesson.members, lesson.reference)
    )
    return replace(lesson, members=members, reference=reference, target=target)


def seeded(build: Build, seed: int) -> Network:
    """A network whose initial weights depend on the seed alone; torch's global generator is
    left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        # not torch.manual_seed: it keeps the whole stack for every GPU that is not there yet
        torch.default_generator.manual_seed(seed)
        return build()
