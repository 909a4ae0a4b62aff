from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from raymia.lazy import F, torch
from raymia.point.schedule import Training
from raymia.point.space import Range
from raymia.training import inner_attack
from raymia.training.defense import Batch, Clock, Defense, Pass, Reference, Rng, Step, Traits

if TYPE_CHECKING:
    from torch import Tensor

    from raymia.training.network import Network, Outputs


@dataclass(frozen=True)
class Advreg(Defense):
    """Adversarial regularisation: the network is trained against an inner membership attack,
    which is trained beside it.

    Network: CE + alpha (mean h(z, y) - 0.5), h the inner attack's probability of "member" on
    the batch, held still. Inner attack, one pass after each epoch: binary cross-entropy (or mean
    square, `inner_loss: mse`) of members (1) against the reference (0), by Adam. It reads the
    logits sorted in ascending order and the label as -1 and +1: C-100-1024-512-64 and
    C-100-512-64, joined 128-1, ReLU.

    `warm_up` epochs are of CE alone, each with `warm_up_passes` of the inner attack after it;
    from then on an epoch of the attack goes before each of the network's. `inner_batches` k: it
    is trained within the epoch instead, on k batches of a fresh order (all, at most) before every
    `outer_batches` of the network's. As published, after RelaxLoss's code for tables {inner:
    relaxloss, start: normal, inner_loss: mse, warm_up: 1, inner_batches: 50, outer_batches: 2},
    and SELENA's for Purchase {inner: selena, start: normal, inner_loss: mse, inputs: logits,
    labels: one_hot, inner_lr: 1e-4, warm_up: 1, inner_batches: 13, outer_batches: 2}; for
    CIFAR-100 {warm_up: 4, warm_up_passes: 0, inner_batches: 1, outer_batches: 2}.

    The reference is the common reserve, or with `share` as much of each model's own members, in
    no attack's columns. SRCM and CRL give up half (0.5), which costs more accuracy than the
    defense does: on 500 digits 0.81 at AUC 0.69 against 0.87 at 0.60 with share 0.

    Source: Nasr, Shokri & Houmansadr, CCS 2018, algorithm 1; alternation and network of the
    code of SRCM and CRL, and by its knobs of RelaxLoss (Chen et al., ICLR 2022) and SELENA (Tang
    et al., USENIX Security 2022).

    Neutral: alpha 0 and share 0.

    Departures: the inner pass draws a reference record for each member with replacement (their
    code zips two loaders), both augmented as in the main pass (SELENA: not), with the network in
    evaluation mode. h reads logits, as in their code; the paper's reads `inputs: posteriors`.
    SELENA takes its k batches in turn through one order, and each of the network's twice.
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

    warm_up: Annotated[int, "no range: published runs fix it at 0, 1, 3 or 4"] = 0
    warm_up_passes: Annotated[int, "no range: published runs fix it at 5 or 0"] = 5
    inner_batches: Annotated[int, "no range: published runs fix it"] = 0
    outer_batches: Annotated[int, "no range: published runs fix it"] = 1
    inner_loss: Literal["bce", "mse"] = "bce"
    inner_lr: Annotated[float, "no range: published runs fix it at 1e-3 or 1e-4"] = 1e-3
    inner: Literal["srcm", "relaxloss", "selena"] = "srcm"
    inputs: Literal["sorted_logits", "logits", "posteriors"] = "sorted_logits"
    labels: Literal["signed", "one_hot"] = "signed"
    start: Literal["uniform", "normal"] = "uniform"

    def __post_init__(self) -> None:
        if not 0 <= self.share < 1:
            raise ValueError(f"share: got {self.share}; 0 or more and less than 1 is allowed")
        for name in ("warm_up", "warm_up_passes", "inner_batches", "outer_batches", "inner_lr"):
            least = int(name == "outer_batches")
            if (got := getattr(self, name)) < least:
                raise ValueError(f"{name}: got {got}; {least} or more is allowed")

    def traits(self) -> Traits:
        return Traits(couples=True, wants={"reference"}, share=self.share, share_knob="share")

    def extra(self, network: Network, rng: Rng) -> dict[str, Tensor]:
        return inner_attack.weights(self.inner, network.classes, self.start, rng)

    def extra_training(self) -> Mapping[str, Training]:
        how = Training(optimizer="adam", lr=self.inner_lr, weight_decay=0.0, milestones=())
        return {"": how}

    def penalty(
        self,
        outputs: Outputs,
        reference: Reference | None,
        batch: Batch,
        extra: Mapping[str, Tensor],
        clock: Clock,
    ) -> Tensor | None:
        if not self.alpha or clock.epoch < self.warm_up:
            return None
        still = {name: weight.detach() for name, weight in extra.items()}
        h = torch.sigmoid(self._suspicion(outputs.logits, batch.label, still))
        return self.alpha * (h.mean() - 0.5)

    def acted(self, step: Step) -> Mapping[str, Tensor]:
        return {}  # its pass says what the inner attack gained

    def passes(self, clock: Clock) -> list[Pass]:
        if not self.alpha:
            return []
        one = Pass(self._loss, moves="extra", reference="uniform", evaluation=True, augmented=True)
        warm = clock.epoch < self.warm_up
        after = self.warm_up_passes if warm else 0
        if self.inner_batches:
            within = replace(one, every=self.outer_batches, batches=self.inner_batches)
            return [one] * after if warm else [within]
        return [one] * (after + (clock.epoch >= self.warm_up - 1))

    def _loss(
        self, outputs: Outputs, batch: Batch, reference: Reference, extra: Any, clock: Clock
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """`gained`: the share of steps in which the inner attack suspects the members more than
        the reference.
        """
        inside = self._suspicion(outputs.logits.detach(), batch.label, extra)
        outside = self._suspicion(reference.outputs.logits.detach(), reference.batch.label, extra)
        gained = {"gained": (inside.mean() > outside.mean()).to(inside.dtype)}
        if self.inner_loss == "mse":
            wrong = torch.sigmoid(-inside).square().mean() + torch.sigmoid(outside).square().mean()
            return wrong / 2, gained
        return (F.softplus(-inside).mean() + F.softplus(outside).mean()) / 2, gained

    def _suspicion(self, logits: Tensor, label: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
        return inner_attack.suspicion(logits, label, weights, self.inputs, self.labels)
