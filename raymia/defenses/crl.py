from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import log, sqrt
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from raymia.lazy import torch
from raymia.point.schedule import Training
from raymia.point.space import Range
from raymia.training.defense import (
    Batch,
    Clock,
    Defense,
    Facts,
    Reference,
    Rng,
    Step,
    Traits,
    cross_entropy,
)
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

    `centre: fraction` takes alpha_rcl as a share of what the centre loss is where features are
    0, D / (2 (1 + tau_rcl sqrt(D))^2) for D features: centres start as N(0, I), so the loss
    floors near half of that, and the `absolute` thresholds of the paper (0 to 5) relax it never.
    `form: code` moves centres by the gradient of the total loss (with lam in it): SGD 0.001,
    momentum 0.9, weight decay 5e-4; `paper` by 0.001 times that of the centre loss (line 24).

    The paper's ablations: lam 0 is ImpRelaxLoss alone, tau_rce = tau_rcl = 0 not normalised.
    alpha_rce relaxes above the floor of the normalised loss (10 classes: 0.0002, 0.045, 0.74,
    1.42 at tau 0.1, 0.2, 0.5, 1). An absolute alpha_rcl from 2 / tau_rcl^2 on, which L_ct never
    reaches, is refused.

    Source: Fang & Kim, UAI 2024, algorithm 1 and equations 3 to 9; its code.

    Neutral: lam = alpha_rce = tau_rce = 0.

    Departures: where paper and code differ in the loss, the code: centre loss with a plus sign,
    u and t not detached, tau_rce in the cross-entropy (line 20 passes tau_rcl).
    """

    revision: ClassVar[int] = 2
    neutral: ClassVar[Mapping[str, object] | None] = {"lam": 0.0, "alpha_rce": 0.0, "tau_rce": 0.0}
    cite: ClassVar[str] = (
        "@inproceedings{fang2024crl, title={Center-Based Relaxed Learning Against Membership "
        "Inference Attacks}, author={Fang, Xingli and Kim, Jung-Eun}, booktitle={Uncertainty in "
        "Artificial Intelligence}, year={2024}}"
    )

    lam: Annotated[float, Range(0.01, 3.0, log=True, least=0.0)] = 0.1
    alpha_rce: Annotated[float, Range(0.0, 1.5, least=0.0)] = 0.5
    alpha_rcl: Annotated[float, Range(0.0, 1.0, least=0.0)] = 0.7
    centre: Literal["fraction", "absolute"] = "fraction"
    form: Literal["code", "paper"] = "code"
    tau_rce: Annotated[float, "no range: a sweep may look at 0, 0.01, 0.05 and 0.1"] = 0.05
    tau_rcl: Annotated[float, "no range: a sweep may look at 0, 0.01, 0.05 and 0.1"] = 0.05
    upper_rce: Annotated[float, "no range: as RelaxLoss's, published runs fix it"] = 1.0
    upper_rcl: Annotated[float, "no range: as RelaxLoss's, published runs fix it"] = 1.0

    def __post_init__(self) -> None:
        for name in ("tau_rce", "tau_rcl"):
            if (got := getattr(self, name)) < 0:
                raise ValueError(f"{name}: got {got}; 0 or more is allowed")
        for name in ("upper_rce", "upper_rcl"):
            if not 0 < (got := getattr(self, name)) <= 1:
                raise ValueError(f"{name}: got {got}; more than 0 and at most 1 is allowed")
        if self.centre == "absolute" and self.lam and self.alpha_rcl * self.tau_rcl**2 >= 2:
            most = f"less than 2 / tau_rcl^2 = {2 / self.tau_rcl**2:g} is allowed"
            raise ValueError(f"alpha_rcl: got {self.alpha_rcl}; {most}: above it is always relaxed")

    @classmethod
    def ranges(cls, facts: Facts) -> Mapping[str, Range]:
        """alpha_rce to 1.5 for 10 classes: 0.65 of ln C, the loss of a guess."""
        return {"alpha_rce": Range(0.0, 0.65 * log(facts.classes))}

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
        q, apart = self._apart(outputs, batch, extra)
        right = outputs.logits.softmax(-1).gather(-1, batch.label[:, None])[:, 0]
        keep = right.clamp(0.0, self.upper_rcl)
        flat = (keep * apart + (1 - keep) * q.square().sum(-1)).mean() / 2
        return self.lam * relax(apart.mean() / 2, self._threshold(q.shape[-1]), _even(clock), flat)

    def _apart(
        self, outputs: Outputs, batch: Batch, extra: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """The shrunk features [B, D], and their squared distances to their centres [B]."""
        q = _shrunk(outputs.features, self.tau_rcl)
        return q, (q - _shrunk(extra["centres"], self.tau_rcl)[batch.label]).square().sum(-1)

    def _threshold(self, features: int) -> float:
        """Of the centre loss."""
        if self.centre == "absolute":
            return self.alpha_rcl
        return self.alpha_rcl * features / (2 * (1 + self.tau_rcl * sqrt(features)) ** 2)

    def acted(self, step: Step) -> Mapping[str, Tensor]:
        """`relaxed_rce`, `relaxed_rcl`: the shares of steps at or below the thresholds."""
        z = _shrunk(step.outputs.logits, self.tau_rce)
        ce = cross_entropy(z, step.batch.target).mean()
        q, apart = self._apart(step.outputs, step.batch, step.extra)
        return {
            "relaxed_rce": (ce <= self.alpha_rce).to(ce.dtype),
            "relaxed_rcl": (apart.mean() / 2 <= self._threshold(q.shape[-1])).to(ce.dtype),
        }

    def extra(self, network: Network, rng: Rng) -> dict[str, Tensor]:
        drawn = rng.standard_normal((network.classes, network.features))
        return {"centres": torch.as_tensor(drawn)}

    def extra_training(self) -> Mapping[str, Training]:
        if self.form == "code":
            return {"": Training(lr=1e-3, momentum=0.9, weight_decay=5e-4, milestones=())}
        # what moves them is the gradient of the total loss, which has lam in it
        lr = 1e-3 / (self.lam or 1.0)
        return {"": Training(lr=lr, momentum=0.0, weight_decay=0.0, milestones=())}


def _even(clock: Clock) -> bool:
    return (clock.epoch + 1) % 2 == 0


def _shrunk(v: Tensor, tau: float) -> Tensor:
    """v / (1 + tau (|v| + 1e-7)), norm over the last axis."""
    if not tau:
        return v
    norm = (v.square().sum(-1, keepdim=True) + 1e-24).sqrt()
    return v / (1 + tau * (norm + 1e-7))
