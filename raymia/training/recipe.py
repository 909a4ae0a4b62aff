"""Several defenses as one, and which cannot stand together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from raymia.errors import SweepError
from raymia.point import catalog
from raymia.point.schedule import Training
from raymia.point.space import Choice, Part, Range
from raymia.streams import Stream
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
    Traits,
)
from raymia.training.losses import logarithm, probabilities

if TYPE_CHECKING:
    from torch import Tensor

    from raymia.training.network import Network, Outputs

SEAMS = tuple(
    "training network teach batch criterion penalty extra privatise passes release assemble".split()
)
SOLE = ("criterion", "privatise", "assemble", "teach")  # seams that one part of a recipe may own
BESIDE_ASSEMBLE = {"assemble", "training", "release"}  # what reaches a predictor that is no network

WANTED = {
    "reference": "the defender's reference; a protocol with reserve > 0 is allowed",
    "images": "records that are images",
    "convolutions": "a network with convolutions",
}


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
        _check(flat)

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
            voids_epsilon="; ".join(t.voids_epsilon for t in each if t.voids_epsilon),
        )

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
        for i, part in enumerate(self.parts):
            batch = part.batch(
                batch, [_sub(rng, i) for rng in rngs] if part.owns("batch") else rngs, clock
            )
        return batch

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
        return self._owner("privatise").privatise(network, parameters, members, training, rng)

    def passes(self, clock: Clock) -> list[Pass]:
        return [
            _owned(further, _prefix(i))
            for i, part in enumerate(self.parts)
            for further in part.passes(clock)
        ]

    def release(self, owned: Owned) -> Release:
        """Each part is fitted on what the parts before it release. Here alone it is decided
        what an attacker sees of a release defense: log-probabilities, floored.
        """
        if not self.owns("release"):
            return super().release(owned)
        steps: list[Release] = []
        for part in self.parts:
            step = part.release(owned)
            steps.append(step)
            owned = replace(owned, logits=step(owned.logits))

        def released(logits: Array) -> Array:
            for step in steps:
                logits = step(logits)
            return logarithm(probabilities(logits))

        return released

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


def _owned(further: Pass, prefix: str) -> Pass:
    """A pass of a part as one of the recipe, whose extra parameters carry the part's prefix."""

    def loss(
        outputs: Outputs,
        batch: Batch,
        reference: Reference,
        extra: Mapping[str, Tensor],
        clock: Clock,
    ) -> Tensor:
        return further.loss(outputs, batch, reference, _of(extra, prefix), clock)

    return replace(further, loss=loss, owner=prefix + further.owner)


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
    for part, name in zip(made.parts, made.names, strict=True):
        for want in sorted(part.traits().wants - offers):
            if not (want == "reference" and made.traits().share):
                raise SweepError(f"{name} needs {WANTED[want]}")


class Clash(NamedTuple):
    """A part that `has` something cannot stand beside one that `meets` it (given the first).

    `why` names the two, {has} and {meets}, and may speak of their traits, {one} and {other}.
    """

    has: Callable[[Defense], bool]
    meets: Callable[[Defense, Defense], bool]
    why: str


CLASHES = (
    Clash(
        lambda one: one.owns("privatise"),
        lambda one, other: other.traits().couples or other.owns("passes"),
        "{meets} couples the records of a batch, which {has} cannot clip one by one; leave one out",
    ),
    Clash(
        lambda one: one.owns("assemble"),
        lambda one, other: any(other.owns(seam) for seam in SEAMS if seam not in BESIDE_ASSEMBLE),
        "{meets} changes how a network is trained, and {has} releases no network; leave one out",
    ),
    Clash(
        lambda one: one.traits().spends_reference,
        lambda one, other: "reference" in other.traits().wants,
        "{meets} holds out the reference that {has} trains on; leave one out",
    ),
    Clash(
        lambda one: one.traits().invents,
        lambda one, other: other.owns("penalty") and "reference" in other.traits().wants,
        "{meets} compares members with a reference, {has} trains on made-up records; leave one out",
    ),
    Clash(
        lambda one: one.traits().reads_labels,
        lambda one, other: other.traits().mixes_targets,
        "{meets} changes a batch's targets, {has} reads its labels beside them; leave one out",
    ),
    Clash(
        lambda one: one.traits().beside is not None,
        lambda one, other: other.traits().beside not in (None, one.traits().beside),
        "a batch has one reference beside it: {meets} wants {other.beside}, {has} {one.beside}; "
        "leave one out",
    ),
)


def _check(named: Sequence[tuple[Defense, str]]) -> None:
    """Raises SweepError naming two parts that cannot stand in one recipe."""
    for seam in SOLE:
        owners = [name for part, name in named if part.owns(seam)]
        if len(owners) > 1:
            raise SweepError(
                f"{owners[0]} and {owners[1]} both replace the {seam}; a recipe has one"
            )
    first = [next((pair for pair in named if clash.has(pair[0])), None) for clash in CLASHES]
    for other, meets in named:
        for clash, holder in zip(CLASHES, first, strict=True):
            if holder is not None and holder[0] is not other and clash.meets(holder[0], other):
                one, has = holder[0].traits(), holder[1]
                raise SweepError(
                    clash.why.format(has=has, meets=meets, one=one, other=other.traits())
                )
