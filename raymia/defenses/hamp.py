from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np

from raymia.point.space import Range
from raymia.training.defense import (
    Array,
    Batch,
    Clock,
    Defense,
    Owned,
    Reference,
    Release,
    Rng,
    Step,
    Traits,
)
from raymia.training.losses import drawn, entropy, logarithm, probabilities, unspent

if TYPE_CHECKING:
    from torch import Tensor

    from raymia.training.network import Outputs

DONORS = 1000  # inputs of noise, one of which answers each query


@dataclass(frozen=True)
class Hamp(Defense):
    """HAMP: less confident targets, a bonus for entropy, and releases that keep only an order.

    Targets: p for the class, (1 - p) / (C - 1) for each other, with the p at which their entropy
    is `gamma` log C. Loss: the divergence from them less `alpha` times the entropy of the
    prediction. Release (`randomise`): the sorted probabilities of an input of noise, in the order
    that the query's own probabilities have; a query gets the same noise whenever it is asked.

    Source: Chen & Pattabiraman, NDSS 2024, sections IV-B to IV-D, and its code.

    Neutral: gamma 0, alpha 0, without randomise.

    Departures: p solves its equation; the code lowers p by 0.01 until the entropy is reached. The
    code's divergence is a mean over the classes, too, and its entropy is not: its alpha of 0.001
    (CIFAR-10, gamma 0.95) is 0.01 here, that of Purchase-100 (0.01, gamma 0.8) 1. One fixed draw
    of 1,000 inputs a query, where the code draws anew; their features are drawn one by one from
    the records' own values, where the code has uniform pixels and random bits. Where the largest
    of a draw is all but tied, the label stays first by one part in 100,000.
    """

    revision: ClassVar[int] = 2
    neutral: ClassVar[Mapping[str, object] | None] = dict(gamma=0.0, alpha=0.0, randomise=False)
    unreleased: ClassVar[Mapping[str, object] | None] = {"randomise": False}
    cite: ClassVar[str] = (
        "@inproceedings{chen2024hamp, title={Overconfidence is a Dangerous Thing: Mitigating "
        "Membership Inference Attacks by Enforcing Less Confident Prediction}, author={Chen, Zitao "
        "and Pattabiraman, Karthik}, booktitle={NDSS}, year={2024}}"
    )

    gamma: Annotated[float, Range(0.05, 0.99, least=0.0, most=0.999)] = 0.5
    alpha: Annotated[float, Range(0.001, 1.0, log=True, least=0.0)] = 0.01
    randomise: bool = True

    def traits(self) -> Traits:
        return Traits(mixes_targets=True)

    def batch(self, batch: Batch, rngs: Sequence[Rng], clock: Clock) -> Batch:
        classes = batch.target.shape[-1]
        p = confidence(self.gamma, classes)
        rest = (1 - p) / (classes - 1)
        return batch._replace(target=(p - rest) * batch.target + rest)

    def penalty(
        self,
        outputs: Outputs,
        reference: Reference | None,
        batch: Batch,
        extra: Mapping[str, Tensor],
        clock: Clock,
    ) -> Tensor:
        return -self.alpha * entropy(outputs.logits)

    def acted(self, step: Step) -> Mapping[str, Tensor]:
        """`penalised`: the entropy that is missing to a uniform answer, as a share of it."""
        missing = unspent(step.outputs.logits)
        return {"penalised": missing if self.alpha else 0 * missing}

    def release(self, owned: Owned) -> Release:
        if not self.randomise:
            return lambda logits: logits
        donors, salt = -np.sort(-probabilities(owned.noise(DONORS)), -1), owned.rng.bytes(16)
        # signals are kept in float32, in which the two largest of a flat answer are one number
        donors[:, 0] = np.maximum(donors[:, 0], donors[:, 1] * (1 + 1e-5))

        def released(logits: Array) -> Array:
            donor = (drawn(logits, salt) * DONORS).astype(np.int64)
            order, out = np.argsort(-logits, -1, kind="stable"), np.empty(logits.shape)
            np.put_along_axis(out, order, donors[donor], -1)
            return logarithm(out)

        return released


def confidence(gamma: float, classes: int) -> float:
    """The p in [1 / C, 1] at which p, (1 - p) / (C - 1), ... has an entropy of gamma log C."""
    low, high = 1 / classes, 1.0
    for _ in range(60):
        p = (low + high) / 2
        entropy = -p * np.log(p) - (1 - p) * np.log(max(1 - p, 1e-300) / (classes - 1))
        low, high = (p, high) if entropy > gamma * np.log(classes) else (low, p)
    return high
