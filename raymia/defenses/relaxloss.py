from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from raymia.point.space import Range
from raymia.training.defense import (
    Batch,
    Clock,
    Defense,
    Facts,
    Step,
    Traits,
    cross_entropy,
)
from raymia.training.losses import flattened, relax

if TYPE_CHECKING:
    from torch import Tensor

    from raymia.training.network import Outputs


@dataclass(frozen=True)
class Relaxloss(Defense):
    """Holds the training loss at alpha: ascent below it in even epochs, flattened posteriors in
    odd ones.

    With L the mean cross-entropy of the batch and t the flattened posterior, t_y = clamp(p_y,
    0, upper), the rest shared: even epoch |L - alpha|; odd epoch and L > alpha: L; odd epoch
    and L <= alpha: mean_i -sum_c t_c log p_c.

    Source: Chen, Yu & Fritz, RelaxLoss, ICLR 2022, algorithm 1.

    Neutral: alpha 0 (L is never at or below 0 but at perfect fit, and |L - 0| = L).

    Departures: four versions of the third branch exist; all are here. `paper` stops the
    gradient at t and counts epochs from 1; `jek` (the code of SRCM and CRL) does not stop it;
    `official_nonimage` does not either and counts from 0; `official_cifar` counts from 0 and
    takes mean_i[(1 - correct_i) softCE_i - CE_i]: -CE, ascent, on every record, and the soft
    cross-entropy on those alone that are wrong.
    """

    neutral: ClassVar[Mapping[str, object] | None] = {"alpha": 0.0}
    cite: ClassVar[str] = (
        "@inproceedings{chen2022relaxloss, title={RelaxLoss: Defending Membership Inference "
        "Attacks without Losing Utility}, author={Chen, Dingfan and Yu, Ning and Fritz, Mario}, "
        "booktitle={ICLR}, year={2022}}"
    )

    alpha: Annotated[float, Range(0.0, 2.0, least=0.0)] = 0.5
    upper: Annotated[float, "no range: published runs fix it"] = 1.0
    variant: Literal["paper", "jek", "official_nonimage", "official_cifar"] = "paper"

    def __post_init__(self) -> None:
        if not 0 < self.upper <= 1:
            raise ValueError(f"upper: got {self.upper}; more than 0 and at most 1 is allowed")

    @classmethod
    def ranges(cls, facts: Facts) -> Mapping[str, Range]:
        """To 2 for 10 classes and 3 for 30 or more: the loss of a guess is ln C, and a network
        held above it is trained to be wrong.
        """
        return {"alpha": Range(0.0, min(3.0, 0.87 * log(facts.classes)))}

    def traits(self) -> Traits:
        return Traits(couples=True)

    def acted(self, step: Step) -> Mapping[str, Tensor]:
        """`relaxed`: the share of steps whose loss is at or below alpha."""
        loss = cross_entropy(step.outputs.logits, step.batch.target).mean()
        return {"relaxed": (loss <= self.alpha).to(loss.dtype)}

    def criterion(self, outputs: Outputs, batch: Batch, clock: Clock) -> Tensor:
        base = 0 if self.variant.startswith("official") else 1
        even = (clock.epoch + base) % 2 == 0
        losses = cross_entropy(outputs.logits, batch.target)
        log_p = outputs.logits.log_softmax(-1)
        soft = flattened(log_p.exp(), batch.label, self.upper)
        if self.variant == "paper":
            soft = soft.detach()
        flat = -(soft * log_p).sum(-1)
        if self.variant == "official_cifar":
            wrong = (outputs.logits.argmax(-1) != batch.label).to(flat.dtype)
            flat = wrong * flat - losses
        return relax(losses.mean(), self.alpha, even, flat.mean())
