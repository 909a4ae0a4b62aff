"""What a defense may change.

Training is one sentence: configure, build, teach, batch, loss, gradient, further passes,
release. A defense overrides the words that it changes; everything else is the identity. Several
defenses are one in `recipe`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from raymia.lazy import F
from raymia.point.schedule import Scale, Training
from raymia.point.space import Range
from raymia.records.split import Bools, Ints

if TYPE_CHECKING:
    from torch import Tensor

    from raymia.training.network import Network, Outputs

Array = np.ndarray[Any, Any]
Rng = np.random.Generator
Predictor = Callable[["Tensor"], "Tensor"]  # x [B, ...] -> logits [B, C]


class Batch(NamedTuple):
    """One step's records: x [B, ...] in the data's units, target [B, C] distributions, label
    [B] the records' own classes.

    In the `batch` seam all three carry the models' axis in front, [K, B, ...], and records that
    are no images are standardised as the network does it.
    """

    x: Tensor
    target: Tensor
    label: Tensor


class Reference(NamedTuple):
    """The defender's own records beside a batch: what the network says of them, and what they
    are.
    """

    outputs: Outputs
    batch: Batch


class Clock(NamedTuple):
    """Where training stands: epoch from 0 of `epochs` that are run; step from 0 over the whole
    run.
    """

    epoch: int
    epochs: int
    step: int


class Step(NamedTuple):
    """All that the loss of a step is made of."""

    outputs: Outputs
    reference: Reference | None
    batch: Batch
    extra: Mapping[str, Tensor]
    clock: Clock


class Facts(NamedTuple):
    """What a range may depend on: how many classes, the smaller side of images (0: none), and
    the schedule.
    """

    classes: int
    side: int
    training: Training


class Gap(NamedTuple):
    """Accuracy of each model on its members and on its reference, [K] each, in evaluation mode."""

    members: Array
    reference: Array


@dataclass(frozen=True, eq=False)
class Lesson:
    """What K models learn from: x [N, ...] and y [N] on the device; members K x [n]; reference
    K x [r]; classes.

    `target` [K, N, C] replaces the one-hot labels. `scale`: by what the features are
    standardised; `aside`: the records that no model trains on, for `reference`. `split_ai` [K, N,
    C]: probabilities of all records by sub-models that have not seen them, where a part `splits`.
    """

    x: Tensor
    y: Tensor
    members: tuple[Ints, ...]
    reference: tuple[Ints, ...]
    classes: int
    target: Tensor | None = None
    split_ai: Tensor | None = None
    scale: Scale = "none"
    aside: Ints = field(default_factory=lambda: np.zeros(0, np.int64))

    def __len__(self) -> int:
        return len(self.members)


# recipe, lesson, name of the streams -> K predictors (logits)
Fit = Callable[["Defense", Lesson, str], "list[Predictor]"]


@dataclass(frozen=True)
class Pass:
    """A further pass over the members, after the main one of an epoch or within it.

    `loss(outputs, batch, reference, extra, clock)` -> scalar of one model, and what it did there
    as in the seam `acted`. `moves` is "network" (with the main optimizer, so that momentum and
    weight decay act) or "extra". `order`: "shuffled" or "by_class". `reference`: None,
    "by_class" (the same per-class counts as the batch) or "uniform". `evaluation`: run the
    network in evaluation mode. `gate(gap)` -> bool [K]: which models take part in this epoch;
    how many did is counted as `gates`. `augmented`: members and reference are augmented as in
    the main pass. `every` n: not after the main pass, but before its first step and each n-th
    from there. `batches`: of so many, not all that the members are.
    """

    loss: Callable[..., tuple[Tensor, Mapping[str, Tensor]]]
    moves: str = "network"
    order: str = "shuffled"
    reference: str | None = None
    evaluation: bool = False
    gate: Callable[[Gap], Array] | None = None
    augmented: bool = False
    every: int = 0
    batches: int | None = None
    name: str = ""  # of the part, in a recipe
    owner: str = ""  # what the names of the extra parameters begin with that `moves: extra` moves


def _unasked(n: int) -> Array:
    raise TypeError("no network is there to be asked about noise")


@dataclass(frozen=True)
class Owned:
    """What a release defense is fitted on: the model's logits [S, C] of all records, its
    members and reference. `noise`: n -> its logits [n, C] of inputs that mean nothing.
    """

    logits: Array
    members: Ints
    reference: Ints
    rng: Rng
    noise: Callable[[int], Array] = _unasked


# how extra parameters are trained unless a part says
EXTRA = Training(lr=1e-3, weight_decay=0.0, milestones=())
Release = Callable[[Array], Array]  # logits [S, C] -> finite logits [S, C] as released


class Private(NamedTuple):
    """How a gradient is made private: the draw of a batch (n records, stream -> bool [n]), its
    clipped noisy mean gradient, and what takes the hooks off the network again.
    """

    sample: Callable[[int, Rng], Bools]
    # losses [B], computed when called, and B -> one a parameter
    gradients: Callable[[Callable[[], Tensor], int], list[Tensor]]
    close: Callable[[], None]
    # shares of what was done so far, by name
    acted: Callable[[], Mapping[str, float]] = dict


@dataclass(frozen=True)
class Traits:
    """What must be known of a defense, with its knobs, before and beside its seams.

    `couples`: its criterion or penalty is a scalar of the whole batch, not one loss an example.
    `wants`: what must be there: `reference` (the protocol's, or given up), `reserve` (the
    protocol's), `images`, `numbers` (no words), `convolutions` (in the network). `beside`:
    reference records stand beside every batch, drawn "by_class" or "uniform", or members and
    reference of "one_class". `share` of its members a model gives up for its own reference, as the
    knob `share_knob` says.
    `spends_reference`: trains on the reference, which no other part can then hold out. `invents`:
    trains on made-up records, which a reference says nothing of.
    `mixes_targets`: its batches carry other targets than what the records were taught.
    `reads_labels`: its loss reads the records' own labels beside their targets.
    `splits`: it teaches by sub-models that have not seen a record (`Lesson.split_ai`).
    `voids_epsilon`: why the accountant's epsilon does not hold beside it; empty where it does.
    """

    couples: bool = False
    wants: Set[str] = frozenset()
    beside: str | None = None
    share: float = 0.0
    share_knob: str = ""
    spends_reference: bool = False
    invents: bool = False
    mixes_targets: bool = False
    reads_labels: bool = False
    splits: bool = False
    voids_epsilon: str = ""

    def __post_init__(self) -> None:
        if self.beside:
            object.__setattr__(self, "wants", self.wants | {"reference"})


@dataclass(frozen=True)
class Defense:
    """The identity: no defense. Subclasses override the seams that they change, and declare
    their knobs as fields.
    """

    revision: ClassVar[int] = 1
    cite: ClassVar[str] = ""
    neutral: ClassVar[Mapping[str, object] | None] = (
        None  # knobs at which it is no defense; None where there are none
    )
    # knobs at which a part that releases trains as it does and releases what there is; None: it
    # does nothing but release
    unreleased: ClassVar[Mapping[str, object] | None] = None

    @classmethod
    def ranges(cls, facts: Facts) -> Mapping[str, Range]:
        """Where a search looks on such data, for the knobs whose declared range is no good
        there.
        """
        return {}

    def traits(self) -> Traits:
        """What it couples, wants, spends and voids; its knobs may decide."""
        return Traits()

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
        self,
        outputs: Outputs,
        reference: Reference | None,
        batch: Batch,
        extra: Mapping[str, Tensor],
        clock: Clock,
    ) -> Tensor | None:
        """Added to the criterion: [B], or a scalar if the part couples its batch. Pure."""
        return None

    def acted(self, step: Step) -> Mapping[str, Tensor]:
        """What the part did in a step of one model, scalars by name: 0 where it did nothing, 1
        where it did all it can. Their means over the steps are columns `acted.<part>.<name>`.
        Pure.

        Left as it is, it says in how many steps its `criterion` differs from the cross-entropy
        and its `penalty` from 0. Beside it are counted, without a word of the part: `changed`
        records of its batches, `moved` releases, `dropped` units, open `gates` of its passes,
        `targets` that it teaches, and whether it changes the `schedule`.
        """
        done = {}
        if self.owns("criterion"):
            own = self.criterion(step.outputs, step.batch, step.clock).mean()
            plain = cross_entropy(step.outputs.logits, step.batch.target).mean()
            done["criterion"] = (own != plain).to(plain.dtype)
        if self.owns("penalty") and (added := self.penalty(*step)) is not None:
            done["penalty"] = (added.mean() != 0).to(added.dtype)
        return done

    def inside(self, network: Network, x: Tensor) -> Mapping[str, float]:
        """The same of what it does inside a trained network, on some members x [B, ...]."""
        return {}

    def extra(self, network: Network, rng: Rng) -> dict[str, Tensor]:
        """Parameters trained beside one model's network, each by the optimizer that
        `extra_training` names.
        """
        return {}

    def extra_training(self) -> Mapping[str, Training]:
        """What the names of extra parameters begin with (up to the last slash) -> how those are
        trained.
        """
        return {"": EXTRA}

    def losses(
        self,
        outputs: Outputs,
        reference: Reference | None,
        batch: Batch,
        extra: Mapping[str, Tensor],
        clock: Clock,
    ) -> list[Tensor]:
        """The criterion and what is added to it, in that order, each [B] or a scalar. No seam:
        it puts two of them together.
        """
        added = self.penalty(outputs, reference, batch, extra, clock)
        return [self.criterion(outputs, batch, clock), *([] if added is None else [added])]

    def privatise(
        self,
        network: Network,
        parameters: Sequence[Tensor],
        members: int,
        training: Training,
        rng: Rng,
    ) -> Private:
        """How the gradients of one model are made private."""
        raise NotImplementedError

    def passes(self, clock: Clock) -> list[Pass]:
        """Further passes after the main one of this epoch, or within it; asked before and after."""
        return []

    def release(self, owned: Owned) -> Release:
        """How one model's logits are released; fitted on what its owner has. The label is never
        changed (a law): attacks that see labels alone need not ask.
        """
        return lambda logits: logits

    def in_graph(self, logits: Tensor) -> Tensor:
        """`release` in torch, [B, C], for those that are fitted on nothing: so that it can stand
        inside a model that is handed out.
        """
        raise NotImplementedError

    def assemble(self, lesson: Lesson, fit: Fit, rngs: Sequence[Rng]) -> list[Predictor]:
        """K predictors instead of K networks; white-box attacks do not apply to them."""
        raise NotImplementedError

    def facts(self, members: int, training: Training) -> dict[str, float | None]:
        """Numbers that go into the row, e.g. epsilon and delta."""
        return {}

    def owns(self, seam: str) -> bool:
        """Whether this part overrides a seam."""
        return getattr(type(self), seam) is not getattr(Defense, seam)


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """-sum_c t_c log softmax(z)_c, shape [B]."""
    return -(target * F.log_softmax(logits, -1)).sum(-1)
