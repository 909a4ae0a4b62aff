from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from raymia.point.space import Range
from raymia.training.defense import Array, Batch, Clock, Defense, Gap, Pass, Reference, Traits
from raymia.training.losses import mmd

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
    `form: paper`: weight times the norm (not squared) is added to the loss of every step.

    Source: Li, Li & Ribeiro, CODASPY 2021, equation 2 and section 4; its code for `authors`.

    Neutral: weight 0.

    Departures: the reference is half of the protocol's `reserve`, one for targets and shadows
    alike, and disjoint from all that is judged (the paper's is as large as the training set,
    its code's overlaps the shadows' pool); the gate's accuracies are measured in evaluation
    mode without augmentation; the pass is not augmented.
    """

    neutral: ClassVar[Mapping[str, object] | None] = {"weight": 0.0}
    cite: ClassVar[str] = (
        "@inproceedings{li2021mmd, title={Membership Inference Attacks and Defenses in "
        "Classification Models}, author={Li, Jiacheng and Li, Ninghui and Ribeiro, Bruno}, "
        "booktitle={CODASPY}, year={2021}}"
    )

    weight: Annotated[float, Range(0.0, 6.0, least=0.0)] = 1.0
    form: Literal["authors", "paper"] = "authors"
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
        beside = "by_class" if self.form == "paper" and self.weight else None
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
        # the root has no gradient at 0
        return self.weight * (self._square(outputs, reference) + 1e-12).sqrt()

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
    ) -> Tensor:
        return self.weight * self._square(outputs, reference)

    def _open(self, gap: Gap) -> Array:
        return abs(gap.members - gap.reference) >= self.gate
