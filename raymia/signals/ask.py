"""Where models are trained, loaded and questioned: the one place between a point and torch."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from raymia.point.schedule import Training
from raymia.records.data import Data
from raymia.signals.queries import QUERIES, Subject
from raymia.signals.view import ACTED
from raymia.signals.world import World
from raymia.streams import key, stream
from raymia.training.architecture import Estimator
from raymia.training.defense import Defense, Lesson, Owned, Predictor, Release
from raymia.training.estimators import Estimates
from raymia.training.fit import fit, taught
from raymia.training.group import Diverged
from raymia.training.model import Build, Model, builder, front, predict, restored
from raymia.training.recipe import Recipe
from raymia.training.teachers import TEACHERS

Array = np.ndarray[Any, Any]


class Bench:
    """One group of a world's models, trained on tensors that stay on the device, before any
    release.

    One thread computes: the same bits whatever the number of cores (numpy, scikit-learn and
    torch repeat on one thread).
    """

    def __init__(self, world: World, data: Data, group: Sequence[int]) -> None:
        torch.set_num_threads(1)
        self.world, self.split, self.group = world, world.split, group
        self.recipe, self.point = world.base.recipe, world.point
        self.x, self.y = resident(data, self.point.device)
        self.data = data.sha256()
        self.classes = data.classes
        self.scale = self.point.training.scaled_by(data.settled, len(self.split.aside))
        self.build = _builder(world, data)
        self.key: tuple[int, ...] = (self.point.seed, self.point.replicate)

    def lesson(self) -> Lesson:
        """What the models of the group learn from."""
        return Lesson(
            self.x,
            self.y,
            tuple(self.split.members(m) for m in self.group),
            tuple(self.split.reference(m) for m in self.group),
            self.classes,
            scale=self.scale,
            aside=self.split.aside,
        )

    def train(self) -> Mapping[int, Predictor]:
        return dict(zip(self.group, fit(*self._how), strict=True))

    @property
    def _how(self) -> tuple[Any, ...]:
        """What `fit` and `taught` are given."""
        return (
            *(self.recipe, self.build, self.lesson(), self.point.training, self.key),
            *(list(self.group), self._kept),
        )

    @cached_property
    def _lesson(self) -> Lesson:
        """What the group was taught, once more: weights are kept, lessons are not."""
        return taught(*self._how)

    def _split_ai(self, model: Predictor, m: int) -> Tensor | None:
        """Of model m, as it was trained, or else as it is taught again."""
        own: Tensor | None = getattr(model, "split_ai", None)
        if own is not None:
            return own
        said = self._lesson.split_ai
        return None if said is None else said[list(self.group).index(m)]

    def _kept(
        self,
        recipe: Defense,
        lesson: Lesson,
        training: Training,
        name: str,
        train: Callable[[], list[Predictor]],
    ) -> list[Predictor]:
        """Teachers of this group: those of an earlier point, where all that determines them is
        the same.
        """
        if isinstance(self.build, Estimates) or lesson.x is not self.x or lesson.target is not None:
            return train()
        point, rows = self.point, [r.tobytes().hex() for r in (*lesson.members, *lesson.reference)]
        parts = [
            self.data,
            point.network,
            training,
            point.device,
            self.key,
            list(self.group),
            name,
            recipe,
            rows,
            self.split.aside.tobytes().hex(),
        ]
        return TEACHERS.get(key(repr(parts)), train)

    def load(self, content: bytes) -> Model:
        assert not isinstance(self.build, Estimates)  # of which no weights are kept
        return restored(content, self.recipe, self.build, self.point.training.dtype, self.x.device)

    def ask(
        self,
        model: Predictor,
        m: int,
        needs: Sequence[str],
        recipe: Recipe,
        raw: Array | None = None,
    ) -> dict[str, Array]:
        """Answers to the needs, of logits as `recipe` releases them; `raw`: the model's own,
        which a release is fitted on. Raises Diverged.
        """
        rng = stream(*self.key, "release", m)
        release: Release = _as_is
        moves: dict[str, float] = {}
        if raw is not None:
            noise = partial(self._of_noise, model, stream(*self.key, "noise", m))
            owned = Owned(raw, self.split.members(m), self.split.reference(m), rng, noise)
            release, moves = recipe.release_and_moves(owned)
        subject = Subject(
            model,
            release,
            self.x,
            self.y,
            stream(*self.key, "query", m),
            self.split.members(m),
            self.split.asked,
            partial(self._split_ai, model, m),
        )
        acted = {**getattr(model, "acted", {}), **moves}
        said = {f"{ACTED}_{name}": np.float64(value) for name, value in acted.items()}
        # one stands there in any case, so that nobody asks again
        answers: dict[str, Mapping[str, Any]] = {ACTED: said or {f"{ACTED}_": np.float64(0.0)}}
        for need in needs:
            if need not in answers:
                answers[need] = QUERIES[need](subject)
        if "logits" in answers:
            _finite(np.asarray(answers["logits"]["logits"]), m)
        return {name: np.asarray(a) for need in needs for name, a in answers[need].items()}

    def _of_noise(self, model: Predictor, rng: np.random.Generator, n: int) -> Array:
        """Logits [n, C] of inputs whose features are drawn one by one from the records' values."""
        flat = self.x.flatten(1)
        drawn = torch.as_tensor(
            rng.integers(len(flat), size=(n, flat.shape[1])), device=flat.device
        )
        return predict(model, flat.gather(0, drawn).reshape(n, *self.x.shape[1:]))


def _builder(world: World, data: Data) -> Build | Estimates:
    """What makes the world's models, before any defense."""
    network, before = world.network, (data.mean, data.std, data.vectors)
    if isinstance(network, Estimator):
        return Estimates(network, partial(front, data.shape, *before))
    return builder(network, data.shape, data.classes, *before)


def _finite(logits: Array, m: int) -> None:
    bad = int((~np.isfinite(logits)).sum())
    if bad:
        raise Diverged(f"model {m}: {bad} of {logits.size} logits, as released, are not finite")


def _as_is(logits: Array) -> Array:
    return logits


# (hash of the data, device) -> x and y
_RESIDENT: OrderedDict[tuple[str, str], tuple[Tensor, Tensor]] = OrderedDict()


def resident(data: Data, device: str) -> tuple[Tensor, Tensor]:
    """x and y on the device, copied once a process: arrays from an object store are read-only.
    The last two are kept.
    """
    name = (data.sha256(), device)
    if name not in _RESIDENT:
        _RESIDENT[name] = torch.tensor(data.x, device=device), torch.tensor(data.y, device=device)
    _RESIDENT.move_to_end(name)
    while len(_RESIDENT) > 2:
        _RESIDENT.popitem(last=False)
    return _RESIDENT[name]
