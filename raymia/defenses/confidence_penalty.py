from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from raymia.point.space import Range
from raymia.training.defense import Batch, Clock, Defense, Reference, Step
from raymia.training.losses import entropy, unspent

if TYPE_CHECKING:
    from torch import Tensor

    from raymia.training.network import Outputs


@dataclass(frozen=True)
class ConfidencePenalty(Defense):
    """Cross-entropy minus alpha times the entropy of the prediction: CE + alpha sum_c p_c log p_c.

    Source: Pereyra et al., ICLR workshop 2017; as a defense in RelaxLoss and SRCM (default
    alpha 0.1).

    Neutral: alpha 0.
    """

    neutral: ClassVar[Mapping[str, object] | None] = {"alpha": 0.0}
    cite: ClassVar[str] = (
        "@inproceedings{pereyra2017confidence, title={Regularizing Neural Networks by Penalizing "
        "Confident Output Distributions}, author={Pereyra, Gabriel and Tucker, George and "
        "Chorowski, Jan and Kaiser, Lukasz and Hinton, Geoffrey}, booktitle={ICLR Workshop}, "
        "year={2017}}"
    )

    alpha: Annotated[float, Range(0.05, 5.0, log=True, least=0.0)] = 0.1

    def acted(self, step: Step) -> Mapping[str, Tensor]:
        """`penalised`: the entropy that is missing to a uniform answer, as a share of it."""
        missing = unspent(step.outputs.logits)
        return {"penalised": missing if self.alpha else 0 * missing}

    def penalty(
        self,
        outputs: Outputs,
        reference: Reference | None,
        batch: Batch,
        extra: Mapping[str, Tensor],
        clock: Clock,
    ) -> Tensor:
        return -self.alpha * entropy(outputs.logits)
