from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from raymia.lazy import F, torch
from raymia.point.space import Range
from raymia.training.crossing import crossed
from raymia.training.defense import Array, Defense, Owned, Predictor, Release, Traits
from raymia.training.losses import drawn, logarithm, probabilities


@dataclass(frozen=True)
class Memguard(Defense):
    """Adds noise to released probabilities until the defender's own membership classifier h
    cannot tell; labels stay.

    h: ascending-sorted softmax -> 256-128-64-1, from Glorot's uniform weights and no biases,
    trained on the model's own members against
    reference records, as many of each. Phase I, per query: from the logits z, steps of length
    0.1 down the gradient of |h's log-odds| + 10 ReLU(max_{j != l} z_j - z_l) + c3 |softmax(z) -
    s|_1 until the label l stands and h has crossed 0.5 (at most `iterations`); again from z for
    c3 = 0.1, 1, ... 1e5, the last success kept; no noise where the first fails or |h - 0.5| <=
    1e-5. Phase II: s' is released if it brings h nearer to 0.5, with probability min(epsilon /
    |s - s'|_1, 1), one fixed draw a query.

    Source: Jia et al., CCS 2019, algorithm 1 and section 4; constants of its code. Adaptive:
    each shadow has its own h.

    Neutral: epsilon 0.

    Departures: the code's 400 epochs of SGD 0.001 in batches of 64 on 2,000 records are 12,500
    `steps`; counted so, h is trained as much where the reference is small. h sees no more
    members, drawn at random, than there are reference records; the code's sees all of them, and
    as many others. Their phase I takes 299 steps and sorts a query once; here it is sorted at
    every step, as an attacker would. Phase II's draw is a hash of the query's logits,
    to a thousandth.
    """

    revision: ClassVar[int] = 3
    neutral: ClassVar[Mapping[str, object] | None] = {"epsilon": 0.0}
    cite: ClassVar[str] = (
        "@inproceedings{jia2019memguard, title={MemGuard: Defending against Black-Box Membership "
        "Inference Attacks via Adversarial Examples}, author={Jia, Jinyuan and Salem, Ahmed and "
        "Backes, Michael and Zhang, Yang and Gong, Neil Zhenqiang}, booktitle={CCS}, year={2019}}"
    )

    epsilon: Annotated[float, Range(0.0, 1.0, least=0.0)] = 1.0
    steps: Annotated[int, "no range: the published code fixes it"] = 12_500
    iterations: Annotated[int, "no range: the published code fixes it"] = 300
    lr: Annotated[float, "no range: the published code fixes it"] = 1e-3

    def __post_init__(self) -> None:
        if self.steps < 1 or self.iterations < 0 or self.lr <= 0:
            raise ValueError(
                f"got {self}; steps of at least 1, iterations of at least 0, lr more than 0 is "
                "allowed"
            )

    def traits(self) -> Traits:
        voids = "memguard: its classifier is trained on outputs for the members without privacy"
        return Traits(wants={"reference"}, voids_epsilon=voids)

    def release(self, owned: Owned) -> Release:
        h, salt = self._classifier(owned), owned.rng.bytes(16)

        def released(logits: Array) -> Array:
            s = probabilities(logits)
            noisy = crossed(logits, h, self.iterations)
            nearer = abs(_h(h, noisy) - 0.5) < abs(_h(h, s) - 0.5)
            keep = drawn(logits, salt) * abs(noisy - s).sum(-1) < self.epsilon
            return logarithm(np.where((nearer & keep)[:, None], noisy, s))

        return released

    def _classifier(self, owned: Owned) -> "torch.nn.Module":
        """h on sorted probabilities, as log-odds."""
        rng, count = owned.rng, min(len(owned.members), len(owned.reference))
        rows = np.concatenate(
            [rng.choice(side, count, replace=False) for side in (owned.members, owned.reference)]
        )
        x = torch.as_tensor(np.sort(probabilities(owned.logits[rows]), -1)).float()
        sign = torch.as_tensor(np.repeat([-1.0, 1.0], count)).float()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**62)))
            sizes = (x.shape[1], 256, 128, 64)
            layers = [
                m
                for a, b in zip(sizes, sizes[1:], strict=False)
                for m in (torch.nn.Linear(a, b), torch.nn.ReLU())
            ]
            h = torch.nn.Sequential(*layers, torch.nn.Linear(64, 1), torch.nn.Flatten(0))
            for weight in h.parameters():  # as the layers of the authors' Keras start
                if weight.ndim == 2:
                    torch.nn.init.xavier_uniform_(weight)
                else:
                    torch.nn.init.zeros_(weight)
        weights: list[torch.Tensor] = list(h.parameters())
        picks = np.concatenate(
            [rng.permutation(len(x)) for _ in range(-(-self.steps * 64 // len(x)))]
        )
        for batch in picks[: self.steps * 64].reshape(-1, 64):
            grads = torch.autograd.grad(F.softplus(sign[batch] * h(x[batch])).mean(), weights)
            with torch.no_grad():
                torch._foreach_add_(weights, grads, alpha=-self.lr)
        return h.double().requires_grad_(False)


def _h(h: Predictor, p: Array) -> Array:
    """The probability of "member" that h gives to probabilities p [S, C]."""
    return np.asarray(torch.sigmoid(h(torch.as_tensor(np.sort(p, -1)))).numpy())
