"""Several defenses as one, and which cannot stand together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from raymia.errors import SweepError
from raymia.point import catalog
from raymia.point.schedule import Training
from raymia.point.space import Choice, Part, Range
from raymia.streams import Stream
from raymia.training.clashes import SEAMS, check_clashes
from raymia.training.defense import (
    Array,
    Batch,
    Clock,
    Defense,
    Fit,
    Lesson,
    Owned,
    Pass,
    Predictor,
    Private,
    Reference,
    Release,
    Rng,
    Step,
    Traits,
)
from raymia.training.losses import SEEN, logarithm, probabilities

if TYPE_CHECKING:
    from torch import Tensor

    from raymia.training.network import Network, Outputs

WANTED = {
    "reference": "the defender's reference; a protocol with reserve > 0 is allowed",
    "reserve": "records to choose the best epoch by; a protocol with reserve > 0 is allowed",
    "images": "records that are images",
    "numbers": "records that are numbers, no words",
    "convolutions": "a network with convolutions",
    "steps": "a network that learns step by step, not an estimator that trains itself",
}
# what only training by steps has; whoever owns one of these needs it
_OF_STEPS = frozenset(SEAMS) - {"teach", "release", "assemble"}


def _through(step: Release, noise: Callable[[int], Array], n: int) -> Array:
    return step(noise(n))


@dataclass(frozen=True)
class Recipe(Defense):
    """Defenses in the written order, as one defense: every seam and every trait is folded over
    them.

    A recipe of one part equals the part, and a recipe among the parts is its parts. The extra
    parameters of the i-th part carry its prefix `i/`, those of the first carry none; its draws
    come from the i-th sub-stream, those of the first from the stream itself. Raises SweepError
    where two parts own one seam, or clash.
    """

    parts: tuple[Defense, ...] = ()
    names: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        names = self.names or tuple(type(p).__name__.lower() for p in self.parts)
        flat: list[tuple[Defense, str]] = []
        for part, name in zip(self.parts, names, strict=True):
            flat += (
                zip(part.parts, part.names, strict=True)
                if isinstance(part, Recipe)
                else [(part, name)]
            )
        object.__setattr__(self, "parts", tuple(part for part, _ in flat))
        object.__setattr__(self, "names", tuple(name for _, name in flat))
        check_clashes(flat)

    def owns(self, seam: str) -> bool:
        return any(part.owns(seam) for part in self.parts)

    def _owner(self, seam: str) -> Defense:
        """The part that owns a seam which one may own; where none does, no defense."""
        return next((part for part in self.parts if part.owns(seam)), Defense())

    def traits(self) -> Traits:
        each = [part.traits() for part in self.parts]
        return Traits(
            couples=any(t.couples for t in each),
            wants=frozenset().union(*(t.wants for t in each)),
            beside=next((t.beside for t in each if t.beside), None),
            share=max((t.share for t in each), default=0.0),
            share_knob=next((t.share_knob for t in each if t.share_knob), ""),
            spends_reference=any(t.spends_reference for t in each),
            invents=any(t.invents for t in each),
            mixes_targets=any(t.mixes_targets for t in each),
            reads_labels=any(t.reads_labels for t in each),
            splits=any(t.splits for t in each),
            voids_epsilon="; ".join(t.voids_epsilon for t in each if t.voids_epsilon),
        )

    @property
    def offers(self) -> frozenset[str]:
        """What attacks may want of it: `white_box`, `split_ai`."""
        lacks = {"white_box": self.owns("assemble"), "split_ai": not self.traits().splits}
        return frozenset(name for name, lacking in lacks.items() if not lacking)

    def training(self, training: Training) -> Training:
        for part in self.parts:
            training = part.training(training)
        return training

    def network(self, network: Network) -> Network:
        for part in self.parts:
            network = part.network(network)
        return network

    def teach(self, lesson: Lesson, fit: Fit, rngs: Sequence[Rng]) -> Lesson:
        return self._owner("teach").teach(lesson, fit, rngs)

    def batch(self, batch: Batch, rngs: Sequence[Rng], clock: Clock) -> Batch:
        return self.batch_and_changes(batch, rngs, clock, False)[0]

    def batch_and_changes(
        self, batch: Batch, rngs: Sequence[Rng], clock: Clock, counted: bool
    ) -> tuple[Batch, dict[str, Tensor]]:
        """The batch, and if counted the share of its records that each part changed, [K]."""
        changes = {}
        for i, part in enumerate(self.parts):
            if part.owns("batch"):
                before = batch
                batch = part.batch(batch, [_sub(rng, i) for rng in rngs], clock)
                if counted:
                    changes[f"{self.names[i]}.changed"] = _changed(before, batch)
        return batch, changes

    def criterion(self, outputs: Outputs, batch: Batch, clock: Clock) -> Tensor:
        return self._owner("criterion").criterion(outputs, batch, clock)

    def penalty(
        self,
        outputs: Outputs,
        reference: Reference | None,
        batch: Batch,
        extra: Mapping[str, Tensor],
        clock: Clock,
    ) -> Tensor | None:
        added = self._penalties(outputs, reference, batch, extra, clock)
        return None if not added else added[0] if len(added) == 1 else sum(added[1:], added[0])

    def losses(
        self,
        outputs: Outputs,
        reference: Reference | None,
        batch: Batch,
        extra: Mapping[str, Tensor],
        clock: Clock,
    ) -> list[Tensor]:
        return [
            self.criterion(outputs, batch, clock),
            *self._penalties(outputs, reference, batch, extra, clock),
        ]

    def _penalties(
        self, outputs: Outputs, reference: Any, batch: Batch, extra: Any, clock: Clock
    ) -> list[Tensor]:
        each = (
            part.penalty(outputs, reference, batch, own, clock)
            for part, own in self._with_extra(extra)
        )
        return [penalty for penalty in each if penalty is not None]

    def acted(self, step: Step) -> dict[str, Tensor]:
        each = zip(self.names, self._with_extra(step.extra), strict=True)
        return {
            f"{name}.{what}": value
            for name, (part, own) in each
            for what, value in part.acted(step._replace(extra=own)).items()
        }

    def inside(self, network: Network, x: Tensor) -> dict[str, float]:
        each = zip(self.names, self.parts, strict=True)
        return {
            f"{name}.{what}": value
            for name, part in each
            for what, value in part.inside(network, x).items()
        }

    def before_training(
        self, training: Training, lesson: Lesson, taught: Lesson
    ) -> dict[str, float]:
        """What its parts did before the first step: to the schedule, and to what is learned."""
        done = {}
        for name, part in zip(self.names, self.parts, strict=True):
            if part.owns("training"):
                own = part.training(training)
                kept = replace(own, stop=training.stop) == training
                other = not kept or own.run_epochs != training.run_epochs
                done[f"{name}.schedule"] = float(other)
            if part.owns("teach"):
                done[f"{name}.targets"] = _taught(lesson, taught)
        return done

    def extra(self, network: Network, rng: Rng) -> dict[str, Tensor]:
        own = [
            part.extra(network, _sub(rng, i)) if part.owns("extra") else {}
            for i, part in enumerate(self.parts)
        ]
        return {
            f"{_prefix(i)}{name}": tensor
            for i, one in enumerate(own)
            for name, tensor in one.items()
        }

    def extra_training(self) -> Mapping[str, Training]:
        each = (
            (f"{_prefix(i)}{name}", t)
            for i, p in enumerate(self.parts)
            for name, t in p.extra_training().items()
        )
        return dict(each)

    def _with_extra(
        self, extra: Mapping[str, Tensor]
    ) -> Iterator[tuple[Defense, dict[str, Tensor]]]:
        """Each part with its own extra parameters, by its own names."""
        for i, part in enumerate(self.parts):
            yield part, _of(extra, _prefix(i))

    def privatise(
        self,
        network: Network,
        parameters: Sequence[Tensor],
        members: int,
        training: Training,
        rng: Rng,
    ) -> Private:
        owner = self._owner("privatise")
        name = self.names[self.parts.index(owner)]
        private = owner.privatise(network, parameters, members, training, rng)
        return private._replace(
            acted=lambda: {f"{name}.{what}": share for what, share in private.acted().items()}
        )

    def passes(self, clock: Clock) -> list[Pass]:
        return [
            _owned(further, _prefix(i), self.names[i])
            for i, part in enumerate(self.parts)
            for further in part.passes(clock)
        ]

    def release(self, owned: Owned) -> Release:
        """Each part is fitted on what the parts before it release. Here alone it is decided
        what an attacker sees of a release defense: log-probabilities, floored.
        """
        return self.release_and_moves(owned)[0]

    def release_and_moves(self, owned: Owned) -> tuple[Release, dict[str, float]]:
        """The release, and the share of all records whose released probabilities each part
        moves.
        """
        if not self.owns("release"):
            return super().release(owned), {}
        steps: list[Release] = []
        moves = {}
        for name, part in zip(self.names, self.parts, strict=True):
            step, before = part.release(owned), probabilities(owned.logits)
            steps.append(step)
            owned = replace(
                owned, logits=step(owned.logits), noise=partial(_through, step, owned.noise)
            )
            if part.owns("release"):
                moved = abs(probabilities(owned.logits) - before).max(-1) > SEEN
                moves[f"{name}.moved"] = float(moved.mean())

        def released(logits: Array) -> Array:
            for step in steps:
                logits = step(logits)
            return logarithm(probabilities(logits))

        return released, moves

    def assemble(self, lesson: Lesson, fit: Fit, rngs: Sequence[Rng]) -> list[Predictor]:
        return self._owner("assemble").assemble(lesson, fit, rngs)

    def facts(self, members: int, training: Training) -> dict[str, float | None]:
        facts: dict[str, float | None] = {}
        for part in self.parts:
            facts |= part.facts(members, training)
        if self.traits().voids_epsilon and "epsilon" in facts:
            facts["epsilon"] = None
        if self.owns("teach") and "sample_rate" in facts:
            facts["sample_rate"] = None  # what is learned is not what the members are
        return facts


def _prefix(i: int) -> str:
    return f"{i}/" if i else ""


def _of(extra: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The parameters whose names have this prefix, without it; the empty prefix is that of
    names without a slash.
    """
    return {
        name.removeprefix(prefix): t
        for name, t in extra.items()
        if name[: name.rfind("/") + 1] == prefix
    }


def _changed(before: Batch, after: Batch) -> Tensor:
    """The share of records [K] of which input or target are others now."""
    differs = [
        (a != b).flatten(2).any(-1)
        for a, b in ((before.x, after.x), (before.target, after.target))
        if a is not b
    ]
    if not differs:
        return before.target.new_zeros(len(before.target))
    changed = differs[0] if len(differs) == 1 else differs[0] | differs[1]
    return changed.to(before.target.dtype).mean(-1)


def _taught(lesson: Lesson, taught: Lesson) -> float:
    """The share of what the models learn from that are no labelled members."""
    other = 0.0
    for k, rows in enumerate(taught.members):
        if taught.x is not lesson.x or not np.array_equal(rows, lesson.members[k]):
            other += 1.0
        elif taught.target is not None:
            said = taught.target[k, rows].cpu().numpy()
            label = np.eye(lesson.classes)[lesson.y.cpu().numpy()[rows]]
            other += float((abs(said - label).max(-1) > SEEN).mean())
    return other / len(taught)


def _owned(further: Pass, prefix: str, name: str) -> Pass:
    """A pass of a part as one of the recipe, whose extra parameters carry the part's prefix."""

    def loss(
        outputs: Outputs,
        batch: Batch,
        reference: Reference,
        extra: Mapping[str, Tensor],
        clock: Clock,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        found, acted = further.loss(outputs, batch, reference, _of(extra, prefix), clock)
        return found, {f"{name}.{what}": value for what, value in acted.items()}

    return replace(further, loss=loss, owner=prefix + further.owner, name=name)


def _sub(rng: Rng, i: int) -> Rng:
    """The stream of the i-th part."""
    if isinstance(rng, Stream):
        return rng.part(i)
    if i:
        raise TypeError(
            "several parts that draw need a streams.Stream, which has a stream for each"
        )
    return rng


def recipe(parts: Sequence[Part]) -> Recipe:
    """The Recipe that a list of parts spells. Raises SweepError."""
    return Recipe(tuple(catalog.made("defenses", p) for p in parts), tuple(p.name for p in parts))


def check(parts: Sequence[Part], offers: frozenset[str] = frozenset(WANTED)) -> None:
    """Refuses clashing seams of an arm by name, whatever its free knobs will be, and parts that
    lack what they need among the `offers`. Raises SweepError.
    """
    fixed = [
        Part(p.name, {k: v for k, v in p.knobs.items() if not isinstance(v, Range | Choice)})
        for p in parts
    ]
    made = recipe(fixed)
    offers |= {"reserve"} if "reference" in offers else set()
    for part, name in zip(made.parts, made.names, strict=True):
        steps = {"steps"} if any(part.owns(seam) for seam in _OF_STEPS) else set()
        for want in sorted((part.traits().wants | steps) - offers):
            if not (want == "reference" and made.traits().share):
                raise SweepError(f"{name} needs {WANTED[want]}")
