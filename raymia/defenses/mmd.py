from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from raymia.point.space import Range
from raymia.training.defense import Array, Batch, Clock, Defense, Gap, Pass, Reference, Step, Traits
from raymia.training.losses import mmd, mmd_by_class

if TYPE_CHECKING:
    from torch import Tensor

    from raymia.training.network import Outputs


@dataclass(frozen=True)
class Mmd(Defense):
    """Pulls the distribution of outputs on members towards that on the defender's reference, by
    maximum mean discrepancy.

    MMD^2 with one Gaussian kernel (sigma 1) between the softmax vectors of a batch of members
    and of a reference batch with the same per-class counts; the gradient flows through the
    members' half only.

    `form: authors` as their code trains it: after each ordinary epoch a separate pass over the
    members in class-sorted order, loss weight * MMD^2 alone, same optimizer, evaluation mode
    (frozen BatchNorm, no dropout) unless `bn_mode` is train; skipped where accuracy on members
    and reference differ by less than `gate` (3 points), and in the last epoch if `skip_last`.
    `form: paper`: weight times the norm (not squared) is added to the loss of every step, the
    mean over the classes in the batch of the norm within each (`batches: class`), or that of the
    whole batch, which is 1.7 (10 classes) to 2.0 times (100) smaller (`whole`), or the norm
    between half a batch of members and half a batch of reference records "in the same class",
    as the paper writes it (`one_class`): that of the first record of the shuffled batch, on
    which the cross-entropy stays.

    Source: Li, Li & Ribeiro, CODASPY 2021, equation 2 and section 4; its code for `authors`.

    Neutral: weight 0.

    Departures: the reference is half of the protocol's `reserve`, one for targets and shadows
    alike, and disjoint from all that is judged (the paper's is as large as the training set,
    its code's overlaps the shadows' pool); the gate's accuracies are measured in evaluation
    mode without augmentation; the pass is not augmented. The paper says neither how large its
    batches of one class are nor which class has its turn; both halves of `one_class` are drawn
    with replacement and not augmented. In `class` a batch holds all classes,
    and each is compared with itself.
    """

    revision: ClassVar[int] = 2
    neutral: ClassVar[Mapping[str, object] | None] = {"weight": 0.0}
    cite: ClassVar[str] = (
        "@inproceedings{li2021mmd, title={Membership Inference Attacks and Defenses in "
        "Classification Models}, author={Li, Jiacheng and Li, Ninghui and Ribeiro, Bruno}, "
        "booktitle={CODASPY}, year={2021}}"
    )

    weight: Annotated[float, Range(0.0, 20.0, least=0.0)] = 1.0
    form: Literal["authors", "paper"] = "authors"
    batches: Literal["class", "whole", "one_class"] = "class"
    sigma: Annotated[float, "no range: the published code fixes it"] = 1.0
    gate: Annotated[float, "no range: the published code fixes it"] = 0.03
    skip_last: bool = True
    bn_mode: Literal["eval", "train"] = "eval"

    def __post_init__(self) -> None:
        if self.sigma <= 0 or self.gate < 0:
            raise ValueError(
                f"got sigma {self.sigma}, gate {self.gate}; sigma more than 0, gate 0 or more is "
                "allowed"
            )

    def traits(self) -> Traits:
        kind = "one_class" if self.batches == "one_class" else "by_class"
        beside = kind if self.form == "paper" and self.weight else None
        return Traits(couples=True, wants={"reference"}, beside=beside)

    def penalty(
        self,
        outputs: Outputs,
        reference: Reference | None,
        batch: Batch,
        extra: Mapping[str, Tensor],
        clock: Clock,
    ) -> Tensor | None:
        if reference is None:
            return None
        # rounding makes a square of 0 negative, and the root has no gradient at 0
        if self.batches == "whole":
            return self.weight * (self._square(outputs, reference).clamp(min=0.0) + 1e-12).sqrt()
        if self.batches == "one_class":
            said = reference.outputs.logits.softmax(-1)
            half = (len(said) + 1) // 2  # the members beside the batch
            square = mmd(said[:half], said[half:].detach(), self.sigma)
            return self.weight * (square.clamp(min=0.0) + 1e-12).sqrt()
        squares, there = mmd_by_class(
            outputs.logits.softmax(-1),
            batch.label,
            reference.outputs.logits.softmax(-1).detach(),
            reference.batch.label,
            self.sigma,
        )
        norms = (squares.clamp(min=0.0) + 1e-12).sqrt() * there
        return self.weight * norms.sum() / there.sum()

    def acted(self, step: Step) -> Mapping[str, Tensor]:
        """`norm`: of the paper's form, what a step adds to the loss, before its weight."""
        added = self.penalty(*step)
        return {} if added is None else {"norm": added / self.weight}

    def passes(self, clock: Clock) -> list[Pass]:
        last = self.skip_last and clock.epoch == clock.epochs - 1
        if self.form == "paper" or self.weight < 1e-5 or last:
            return []
        return [
            Pass(
                self._loss,
                order="by_class",
                reference="by_class",
                evaluation=self.bn_mode == "eval",
                gate=self._open,
            )
        ]

    def _square(self, outputs: Outputs, reference: Reference) -> Tensor:
        return mmd(
            outputs.logits.softmax(-1), reference.outputs.logits.softmax(-1).detach(), self.sigma
        )

    def _loss(
        self, outputs: Outputs, batch: Batch, reference: Reference, extra: Any, clock: Clock
    ) -> tuple[Tensor, dict[str, Tensor]]:
        return self.weight * self._square(outputs, reference), {}

    def _open(self, gap: Gap) -> Array:
        return abs(gap.members - gap.reference) >= self.gate
