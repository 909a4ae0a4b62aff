"""What a defense may change, and how several are one.

Training is one sentence: configure, build, teach, batch, loss, gradient, further passes, release. A defense overrides the words
that it changes; everything else is the identity. `Recipe` is a Defense made of defenses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from raymia import catalog
from raymia.errors import SweepError
from raymia.lazy import F
from raymia.losses import logarithm, probabilities
from raymia.network import Outputs
from raymia.schedule import Training
from raymia.space import Choice, Part, Range
from raymia.split import Bools, Ints

if TYPE_CHECKING:
    from torch import Tensor

    from raymia.modules import Network

Array = np.ndarray[Any, Any]
Rng = np.random.Generator
Predictor = Callable[["Tensor"], "Tensor"]  # x [B, ...] -> logits [B, C]


class Batch(NamedTuple):
    """One step's records: x [B, ...] in the data's units, target [B, C] distributions, label [B] the records' own classes.

    In the `batch` seam all three carry the models' axis in front: [K, B, ...].
    """

    x: Tensor
    target: Tensor
    label: Tensor


class Reference(NamedTuple):
    """The defender's own records beside a batch: what the network says of them, and what they are."""

    outputs: Outputs
    batch: Batch


class Clock(NamedTuple):
    """Where training stands: epoch from 0 of `epochs` that are run; step from 0 over the whole run."""

    epoch: int
    epochs: int
    step: int


class Gap(NamedTuple):
    """Accuracy of each model on its members and on its reference, [K] each, in evaluation mode."""

    members: Array
    reference: Array


@dataclass(frozen=True, eq=False)
class Lesson:
    """What K models learn from: x [N, ...] and y [N] on the device; members K x [n]; reference K x [r]; classes.

    `target` [K, N, C] replaces the one-hot labels.
    """

    x: Tensor
    y: Tensor
    members: tuple[Ints, ...]
    reference: tuple[Ints, ...]
    classes: int
    target: Tensor | None = None

    def __len__(self) -> int:
        return len(self.members)


Fit = Callable[["Defense", Lesson, str], "list[Predictor]"]  # recipe, lesson, name of the streams -> K predictors (logits)


@dataclass(frozen=True)
class Pass:
    """A further pass over the members after the main one of an epoch.

    `loss(outputs, batch, reference, extra, clock)` -> scalar of one model. `moves` is "network" (with the main optimizer, so
    that momentum and weight decay act) or "extra". `order`: "shuffled" or "by_class". `reference`: None, "by_class" (the same
    per-class counts as the batch) or "uniform". `evaluation`: run the network in evaluation mode. `gate(gap)` -> bool [K]:
    which models take part in this epoch.
    """

    loss: Callable[..., Tensor]
    moves: str = "network"
    order: str = "shuffled"
    reference: str | None = None
    evaluation: bool = False
    gate: Callable[[Gap], Array] | None = None


@dataclass(frozen=True, eq=False)
class Owned:
    """What a release defense is fitted on: the model's logits [S, C] of all records, its members and reference."""

    logits: Array
    members: Ints
    reference: Ints
    rng: Rng


Release = Callable[[Array], Array]  # logits [S, C] -> finite logits [S, C] as released


class Private(NamedTuple):
    """How a gradient is made private: the draw of a batch (n records, stream -> bool [n]), its clipped noisy mean gradient, and
    what takes the hooks off the network again."""

    sample: Callable[[int, Rng], Bools]
    gradients: Callable[[Callable[[], Tensor], int], list[Tensor]]  # losses [B], computed when called, and B -> one a parameter
    close: Callable[[], None]


@dataclass(frozen=True)
class Defense:
    """The identity: no defense. Subclasses override the seams that they change, and declare their knobs as fields."""

    revision: ClassVar[int] = 1
    cite: ClassVar[str] = ""
    couples: ClassVar[bool] = False  # criterion or penalty is a scalar of the whole batch, not one loss an example
    wants_reference: ClassVar[str | None] = None  # "by_class" or "uniform": reference records beside every batch
    carves: ClassVar[str | None] = None  # the knob that says which share of the members becomes the model's own reference
    spends_reference: ClassVar[bool] = False  # trains on the reference, which no other part can then hold out
    invents: ClassVar[bool] = False  # trains on made-up records, which a reference says nothing of
    mixes_targets: ClassVar[bool] = False  # its batches carry other targets than what the records were taught
    wants_labels: ClassVar[bool] = False  # its loss reads the records' own labels beside their targets
    neutral: ClassVar[Mapping[str, object] | None] = None  # knobs at which it is no defense; None where there are none
    voids_epsilon: ClassVar[str] = ""  # why the accountant's epsilon does not hold beside this part
    extra_optimizer: ClassVar[Training] = Training(lr=1e-3, weight_decay=0.0, milestones=())

    def training(self, training: Training) -> Training:
        """The schedule that the models are trained with."""
        return training

    def network(self, network: Network) -> Network:
        """The network that is trained; edited through Network's own methods."""
        return network

    def teach(self, lesson: Lesson, fit: Fit, rngs: Sequence[Rng]) -> Lesson:
        """What is learned: soft targets, other records. `rngs` holds one stream a model."""
        return lesson

    def batch(self, batch: Batch, rngs: Sequence[Rng], clock: Clock) -> Batch:
        """The stacked batch [K, B, ...] of a step; `rngs` holds one stream a model."""
        return batch

    def criterion(self, outputs: Outputs, batch: Batch, clock: Clock) -> Tensor:
        """Loss of one model: [B], or a scalar if the part couples its batch. Pure."""
        return cross_entropy(outputs.logits, batch.target)

    def penalty(
        self, outputs: Outputs, reference: Reference | None, batch: Batch, extra: Mapping[str, Tensor], clock: Clock
    ) -> Tensor | None:
        """Added to the criterion: [B], or a scalar if the part couples its batch. Pure."""
        return None

    def extra(self, network: Network, rng: Rng) -> dict[str, Tensor]:
        """Parameters trained beside one model's network, by `extra_optimizer`."""
        return {}

    def privatise(self, network: Network, parameters: Sequence[Tensor], members: int, training: Training, rng: Rng) -> Private:
        """How the gradients of one model are made private."""
        raise NotImplementedError

    def passes(self, clock: Clock) -> list[Pass]:
        """Further passes after the main one of this epoch."""
        return []

    def release(self, owned: Owned) -> Release:
        """How one model's logits leave the house; fitted on what its owner has. The label is never changed (a law): attacks
        that see labels alone need not ask."""
        return lambda logits: logits

    def assemble(self, lesson: Lesson, fit: Fit, rngs: Sequence[Rng]) -> list[Predictor]:
        """K predictors instead of K networks; white-box attacks do not apply to them."""
        raise NotImplementedError

    def facts(self, members: int, training: Training) -> dict[str, float | None]:
        """Numbers that go into the row, e.g. epsilon and delta."""
        return {}

    def owns(self, seam: str) -> bool:
        """Whether this part overrides a seam."""
        return getattr(type(self), seam) is not getattr(Defense, seam)

    @property
    def wants(self) -> frozenset[str]:
        """What must be there: `reference` (the protocol's, or carved), `images`, `convolutions` (in the network)."""
        return frozenset({"reference"} if self.wants_reference else ())

    @property
    def share(self) -> float:
        """The share of its members that a model gives up for its own reference."""
        return float(getattr(self, self.carves)) if self.carves else 0.0


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """-sum_c t_c log softmax(z)_c, shape [B]."""
    return -(target * F.log_softmax(logits, -1)).sum(-1)


SEAMS = tuple("training network teach batch criterion penalty extra privatise passes release assemble".split())
SOLE = ("criterion", "privatise", "assemble", "teach")  # seams that one part of a recipe may own
BESIDE_ASSEMBLE = {"assemble", "training", "release"}  # what reaches a predictor that is no network


@dataclass(frozen=True)
class Recipe(Defense):
    """Defenses in the written order, as one defense. Raises SweepError where two own one seam."""

    parts: tuple[Defense, ...] = ()
    names: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        names = self.names or tuple(type(p).__name__.lower() for p in self.parts)
        flat: list[tuple[Defense, str]] = []  # a recipe among the parts is its parts: seams are asked of each one
        for part, name in zip(self.parts, names, strict=True):
            flat += zip(part.parts, part.names, strict=True) if isinstance(part, Recipe) else [(part, name)]
        object.__setattr__(self, "parts", tuple(part for part, _ in flat))
        object.__setattr__(self, "names", tuple(name for _, name in flat))
        _check(flat)

    def owner(self, seam: str) -> Defense | None:
        """The part that owns a seam; the first where several may."""
        return next((p for p in self.parts if p.owns(seam)), None)

    def owns(self, seam: str) -> bool:
        return self.owner(seam) is not None

    @property
    def share(self) -> float:
        return max((p.share for p in self.parts), default=0.0)

    @property
    def wants(self) -> frozenset[str]:
        return frozenset().union(*(p.wants for p in self.parts))

    @property
    def wants_reference(self) -> str | None:  # type: ignore[override]  # its parts decide
        return next((p.wants_reference for p in self.parts if p.wants_reference), None)

    def training(self, training: Training) -> Training:
        for part in self.parts:
            training = part.training(training)
        return training

    def network(self, network: Network) -> Network:
        for part in self.parts:
            network = part.network(network)
        return network

    def teach(self, lesson: Lesson, fit: Fit, rngs: Sequence[Rng]) -> Lesson:
        for part in self.parts:
            lesson = part.teach(lesson, fit, rngs)
        return lesson

    def criterion(self, outputs: Outputs, batch: Batch, clock: Clock) -> Tensor:
        return (self.owner("criterion") or Defense()).criterion(outputs, batch, clock)

    def passes(self, clock: Clock) -> list[Pass]:
        return [p for part in self.parts for p in part.passes(clock)]

    def release(self, owned: Owned) -> Release:
        """Each part is fitted on what the parts before it release. Here alone it is decided what an attacker sees of a release
        defense: log-probabilities, floored."""
        if not self.owns("release"):
            return super().release(owned)
        steps: list[Release] = []
        for part in self.parts:
            step = part.release(owned)
            steps.append(step)
            owned = Owned(step(owned.logits), owned.members, owned.reference, owned.rng)

        def released(logits: Array) -> Array:
            for step in steps:
                logits = step(logits)
            return logarithm(probabilities(logits))

        return released

    def facts(self, members: int, training: Training) -> dict[str, float | None]:
        facts: dict[str, float | None] = {}
        for part in self.parts:
            facts |= part.facts(members, training)
        if self.voids and "epsilon" in facts:
            facts["epsilon"] = None
        if self.owns("teach") and "sample_rate" in facts:
            facts["sample_rate"] = None  # what is learned is not what the members are
        return facts

    @property
    def voids(self) -> str:
        """Why an epsilon is left empty; empty where it holds."""
        return "; ".join(p.voids_epsilon for p in self.parts if p.voids_epsilon)


WANTED = {
    "reference": "the defender's reference; a protocol with reserve > 0 is allowed",
    "images": "records that are images",
    "convolutions": "a network with convolutions",
}


def recipe(parts: Sequence[Part]) -> Recipe:
    """The Recipe that a list of parts spells. Raises SweepError."""
    return Recipe(
        tuple(catalog.made("defenses", p) for p in parts),
        tuple(p.name for p in parts),
    )


def check(parts: Sequence[Part], offers: frozenset[str] = frozenset(WANTED)) -> None:
    """Refuses clashing seams of an arm by name, whatever its free knobs will be, and parts that lack what they need among
    the `offers`. Raises SweepError."""
    fixed = [Part(p.name, {k: v for k, v in p.knobs.items() if not isinstance(v, Range | Choice)}) for p in parts]
    made = recipe(fixed)
    for part, name in zip(made.parts, made.names, strict=True):
        for want in sorted(part.wants - offers):
            if not (want == "reference" and made.share):
                raise SweepError(f"{name} needs {WANTED[want]}")


def _check(named: Sequence[tuple[Defense, str]]) -> None:
    for seam in SOLE:
        owners = [name for part, name in named if part.owns(seam)]
        if len(owners) > 1:
            raise SweepError(f"{owners[0]} and {owners[1]} both replace the {seam}; a recipe has one")
    private = next((n for p, n in named if p.owns("privatise")), None)
    assembler = next((n for p, n in named if p.owns("assemble")), None)
    spender = next((n for p, n in named if p.spends_reference), None)
    inventor = next((n for p, n in named if p.invents), None)
    labelled = next((n for p, n in named if p.wants_labels), None)
    first, how = next(((n, p.wants_reference) for p, n in named if p.wants_reference), ("", None))
    for part, name in named:
        if private and (part.couples or part.owns("passes")):
            raise SweepError(f"{name} couples the records of a batch, which {private} cannot clip one by one; leave one out")
        if assembler and any(part.owns(seam) for seam in SEAMS if seam not in BESIDE_ASSEMBLE):
            raise SweepError(f"{name} changes how a network is trained, and {assembler} releases no network; leave one out")
        if spender and name != spender and "reference" in part.wants:
            raise SweepError(f"{name} holds out the reference that {spender} trains on; leave one out")
        if inventor and part.owns("penalty") and "reference" in part.wants:
            raise SweepError(f"{name} compares members with a reference, {inventor} trains on made-up records; leave one out")
        if labelled and part.mixes_targets:
            raise SweepError(f"{name} changes a batch's targets, {labelled} reads its labels beside them; leave one out")
        if part.wants_reference not in (None, how):
            ways = f"{name} wants {part.wants_reference}, {first} {how}"
            raise SweepError(f"a batch has one reference beside it: {ways}; leave one out")
