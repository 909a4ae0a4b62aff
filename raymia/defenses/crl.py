from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from raymia.lazy import torch
from raymia.point.schedule import Training
from raymia.point.space import Range
from raymia.training.defense import Batch, Clock, Defense, Reference, Rng, Traits, cross_entropy
from raymia.training.losses import flattened, relax

if TYPE_CHECKING:
    from torch import Tensor

    from raymia.training.network import Network, Outputs


@dataclass(frozen=True)
class Crl(Defense):
    """Centre-based relaxed learning: RelaxLoss plus lam times a relaxed centre loss on features.

    z_n = z / (1 + tau_rce (|z| + 1e-7)); the relaxed cross-entropy is RelaxLoss on z_n with
    threshold alpha_rce, its soft target from the un-normalised p. With q_n, c_n normalised
    alike by tau_rcl, the centre loss is L_ct = 1/(2B) sum_i |q_n,i - c_n,y_i|^2; even epoch
    |L_ct - alpha_rcl|; odd and above: L_ct; odd and below: 1/(2B) sum_i [u_i |q_n,i - c_n,yi|^2
    + (1 - u_i) |q_n,i|^2] with u_i = clamp(p_y, 0, upper_rcl). Epochs count from 1.

    The paper's ablations are knobs: lam 0 is ImpRelaxLoss alone; tau_rce = tau_rcl = 0 is
    without normalisation. The cross-entropy is relaxed only where alpha_rce lies above the
    floor of the normalised loss (10 classes: 0.0002, 0.045, 0.74, 1.42 at tau 0.1, 0.2, 0.5,
    1). L_ct stays below 2 / tau_rcl^2: an alpha_rcl there or above would relax the centre loss
    in every step, and is refused.

    Source: Fang & Kim, UAI 2024, algorithm 1 and equations 3 to 9; its code.

    Neutral: lam = alpha_rce = tau_rce = 0.

    Departures: where paper and code differ, the code: centre loss with a plus sign, u and t not
    detached, centres moved by the gradient of the total loss (so scaled by lam) with SGD 0.001,
    momentum 0.9, weight decay 5e-4.
    """

    neutral: ClassVar[Mapping[str, object] | None] = {"lam": 0.0, "alpha_rce": 0.0, "tau_rce": 0.0}
    cite: ClassVar[str] = (
        "@inproceedings{fang2024crl, title={Center-Based Relaxed Learning Against Membership "
        "Inference Attacks}, author={Fang, Xingli and Kim, Jung-Eun}, booktitle={Uncertainty in "
        "Artificial Intelligence}, year={2024}}"
    )

    lam: Annotated[float, Range(0.01, 3.0, log=True, least=0.0)] = 0.1
    alpha_rce: Annotated[float, Range(0.0, 1.5, least=0.0)] = 0.5
    alpha_rcl: Annotated[float, "no range: a sweep may look at 0 to 5"] = 1.0
    tau_rce: Annotated[float, "no range: a sweep may look at 0, 0.01, 0.05 and 0.1"] = 0.05
    tau_rcl: Annotated[float, "no range: a sweep may look at 0, 0.01, 0.05 and 0.1"] = 0.05
    upper_rce: Annotated[float, "no range: as RelaxLoss's, published runs fix it"] = 1.0
    upper_rcl: Annotated[float, "no range: as RelaxLoss's, published runs fix it"] = 1.0

    def __post_init__(self) -> None:
        for name in ("alpha_rcl", "tau_rce", "tau_rcl"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: got {getattr(self, name)}; 0 or more is allowed")
        for name in ("upper_rce", "upper_rcl"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(
                    f"{name}: got {getattr(self, name)}; more than 0 and at most 1 is allowed"
                )
        if self.lam and self.tau_rcl and self.alpha_rcl >= 2 / self.tau_rcl**2:
            raise ValueError(
                f"alpha_rcl: got {self.alpha_rcl}; less than 2 / tau_rcl^2 = "
                f"{2 / self.tau_rcl**2:g} is allowed: from there on the centre loss is always "
                "relaxed"
            )

    def traits(self) -> Traits:
        return Traits(couples=True)

    def criterion(self, outputs: Outputs, batch: Batch, clock: Clock) -> Tensor:
        z = _shrunk(outputs.logits, self.tau_rce)
        soft = flattened(outputs.logits.softmax(-1), batch.label, self.upper_rce)
        flat = cross_entropy(z, soft).mean()
        return relax(cross_entropy(z, batch.target).mean(), self.alpha_rce, _even(clock), flat)

    def penalty(
        self,
        outputs: Outputs,
        reference: Reference | None,
        batch: Batch,
        extra: Mapping[str, Tensor],
        clock: Clock,
    ) -> Tensor:
        q = _shrunk(outputs.features, self.tau_rcl)
        centre = _shrunk(extra["centres"], self.tau_rcl)[batch.label]
        apart = (q - centre).square().sum(-1)
        right = outputs.logits.softmax(-1).gather(-1, batch.label[:, None])[:, 0]
        keep = right.clamp(0.0, self.upper_rcl)
        flat = (keep * apart + (1 - keep) * q.square().sum(-1)).mean() / 2
        return self.lam * relax(apart.mean() / 2, self.alpha_rcl, _even(clock), flat)

    def extra(self, network: Network, rng: Rng) -> dict[str, Tensor]:
        drawn = rng.standard_normal((network.classes, network.features))
        return {"centres": torch.as_tensor(drawn)}

    def extra_training(self) -> Mapping[str, Training]:
        return {"": Training(lr=1e-3, momentum=0.9, weight_decay=5e-4, milestones=())}


def _even(clock: Clock) -> bool:
    return (clock.epoch + 1) % 2 == 0


def _shrunk(v: Tensor, tau: float) -> Tensor:
    """v / (1 + tau (|v| + 1e-7)), norm over the last axis."""
    if not tau:
        return v
    norm = (v.square().sum(-1, keepdim=True) + 1e-24).sqrt()
    return v / (1 + tau * (norm + 1e-7))
