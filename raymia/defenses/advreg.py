from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np

from raymia.lazy import F, torch
from raymia.point.schedule import Training
from raymia.point.space import Range
from raymia.training.defense import Batch, Clock, Defense, Pass, Reference, Rng, Step, Traits

if TYPE_CHECKING:
    from torch import Tensor

    from raymia.training.network import Network, Outputs


# widths of the inner attacker's three branches
LOGITS, LABEL, JOINED = ((100, 1024, 512, 64), (100, 512, 64), (128, 1))


@dataclass(frozen=True)
class Advreg(Defense):
    """Adversarial regularisation: the network is trained against an inner membership attack,
    which is trained beside it.

    Network: CE + alpha (mean h(z, y) - 0.5), h the inner attack's probability of "member" on
    the batch, held still. Inner attack, one pass after each epoch: binary cross-entropy of
    members (1) against the reference (0), by Adam 1e-3. It reads the logits sorted in ascending
    order and the label as -1 and +1: C-100-1024-512-64 and C-100-512-64, joined 128-1, ReLU.

    The reference is the common reserve, or with `share` as much of each model's own members, in
    no attack's columns. SRCM and CRL give up half (0.5), which costs more accuracy than the
    defense does: on 500 digits 0.81 at AUC 0.69 against 0.87 at 0.60 with share 0.

    Source: Nasr, Shokri & Houmansadr, CCS 2018, algorithm 1; alternation and network of the
    code of SRCM and CRL.

    Neutral: alpha 0 and share 0.

    Departures: the inner pass draws a reference record for each member with replacement (their
    code zips two loaders), both augmented as in the main pass, with the network in evaluation
    mode. h reads logits, as in their code; the paper's reads posteriors.
    """

    revision: ClassVar[int] = 2
    neutral: ClassVar[Mapping[str, object] | None] = {"alpha": 0.0, "share": 0.0}
    cite: ClassVar[str] = (
        "@inproceedings{nasr2018advreg, title={Machine Learning with Membership Privacy using "
        "Adversarial Regularization}, author={Nasr, Milad and Shokri, Reza and Houmansadr, Amir}, "
        "booktitle={CCS}, year={2018}}"
    )

    alpha: Annotated[float, Range(0.1, 10.0, log=True, least=0.0)] = 1.0
    share: Annotated[float, "no range: it decides who is judged"] = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.share < 1:
            raise ValueError(f"share: got {self.share}; 0 or more and less than 1 is allowed")

    def traits(self) -> Traits:
        return Traits(couples=True, wants={"reference"}, share=self.share, share_knob="share")

    def extra(self, network: Network, rng: Rng) -> dict[str, Tensor]:
        """Weights and biases of the inner attack, uniform in +-1/sqrt(inputs), as torch's
        linear layers start.
        """
        out = {}
        for name, widths in (("z", LOGITS), ("y", LABEL), ("h", JOINED)):
            sizes = widths if name == "h" else (network.classes, *widths)
            for i, (before, after) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
                bound = 1 / np.sqrt(before)
                out[f"{name}{i}.w"] = torch.as_tensor(rng.uniform(-bound, bound, (after, before)))
                out[f"{name}{i}.b"] = torch.as_tensor(rng.uniform(-bound, bound, after))
        return out

    def extra_training(self) -> Mapping[str, Training]:
        return {"": Training(optimizer="adam", lr=1e-3, weight_decay=0.0, milestones=())}

    def penalty(
        self,
        outputs: Outputs,
        reference: Reference | None,
        batch: Batch,
        extra: Mapping[str, Tensor],
        clock: Clock,
    ) -> Tensor | None:
        if not self.alpha:
            return None
        still = {name: weight.detach() for name, weight in extra.items()}
        return self.alpha * (
            torch.sigmoid(_suspicion(outputs.logits, batch.label, still)).mean() - 0.5
        )

    def acted(self, step: Step) -> Mapping[str, Tensor]:
        return {}  # its pass says what the inner attack gained

    def passes(self, clock: Clock) -> list[Pass]:
        further = Pass(
            self._loss, moves="extra", reference="uniform", evaluation=True, augmented=True
        )
        return [further] if self.alpha else []

    def _loss(
        self, outputs: Outputs, batch: Batch, reference: Reference, extra: Any, clock: Clock
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """`gained`: the share of steps in which the inner attack suspects the members more than
        the reference.
        """
        inside = _suspicion(outputs.logits.detach(), batch.label, extra)
        outside = _suspicion(reference.outputs.logits.detach(), reference.batch.label, extra)
        gained = (inside.mean() > outside.mean()).to(inside.dtype)
        return (F.softplus(-inside).mean() + F.softplus(outside).mean()) / 2, {"gained": gained}


def _suspicion(logits: Tensor, label: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
    """The inner attack's log-odds of "member", [B]."""
    hot = 2.0 * F.one_hot(label, logits.shape[-1]).to(logits.dtype) - 1
    branches = [_branch(logits.sort(-1).values, "z", weights), _branch(hot, "y", weights)]
    return F.linear(torch.cat(branches, -1), weights["h0.w"], weights["h0.b"])[..., 0]


def _branch(v: Tensor, name: str, weights: Mapping[str, Tensor]) -> Tensor:
    for i in range(sum(key.startswith(name) and key.endswith("w") for key in weights)):
        v = F.relu(F.linear(v, weights[f"{name}{i}.w"], weights[f"{name}{i}.b"]))
    return v
