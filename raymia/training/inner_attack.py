"""The membership attack that adversarial regularisation trains beside a network: two branches,
one of what the network says and one of the label, joined.

Weights are a flat dict: `z0.w`, `z0.b`, ... of the first branch, `y` of the second, `h` of what
joins them. Shapes: weights [out, in], biases [out].
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from raymia.lazy import F, torch

if TYPE_CHECKING:
    from torch import Tensor

Rng = np.random.Generator

# widths after the inputs: of the outputs' branch, of the label's, of the joined layers
WIDTHS = {
    "srcm": ((100, 1024, 512, 64), (100, 512, 64), (1,)),
    "relaxloss": ((512, 64), (64,), (64, 1)),
    "selena": ((1024, 512, 64), (128, 64), (512, 256, 128, 64, 1)),
}


def weights(net: str, classes: int, start: str, rng: Rng) -> dict[str, Tensor]:
    """As an attack starts: `uniform` in +-1/sqrt(inputs), weights and biases, as torch's linear
    layers do; or `normal`: weights N(0, 0.01^2), biases 0.
    """
    outputs, label, joined = WIDTHS[net]
    out = {}
    for name, inputs, widths in (
        ("z", classes, outputs),
        ("y", classes, label),
        ("h", outputs[-1] + label[-1], joined),
    ):
        for i, (before, after) in enumerate(zip((inputs, *widths), widths, strict=False)):
            if start == "normal":
                weight, bias = 0.01 * rng.standard_normal((after, before)), np.zeros(after)
            else:
                bound = 1 / np.sqrt(before)
                weight = rng.uniform(-bound, bound, (after, before))
                bias = rng.uniform(-bound, bound, after)
            out[f"{name}{i}.w"], out[f"{name}{i}.b"] = map(torch.as_tensor, (weight, bias))
    return out


def suspicion(
    logits: Tensor,
    label: Tensor,
    weights: Mapping[str, Tensor],
    inputs: str = "sorted_logits",
    labels: str = "signed",
) -> Tensor:
    """The attack's log-odds of "member", [B].

    It reads the logits [B, C] as they are, in ascending order, or as `posteriors`, and the label
    [B] as C numbers, 1 and elsewhere -1 (`signed`) or 0 (`one_hot`).
    """
    hot = F.one_hot(label, logits.shape[-1]).to(logits.dtype)
    said = {
        "sorted_logits": lambda: logits.sort(-1).values,
        "logits": lambda: logits,
        "posteriors": lambda: logits.softmax(-1),
    }[inputs]()
    # the published label's branch of one layer has no ReLU
    sides = (
        _layers(said, "z", weights, last=True),
        _layers(2 * hot - 1 if labels == "signed" else hot, "y", weights, last="y1.w" in weights),
    )
    return _layers(torch.cat(sides, -1), "h", weights, last=False)[..., 0]


def _layers(v: Tensor, name: str, weights: Mapping[str, Tensor], last: bool) -> Tensor:
    """Linear layers with a ReLU after each, after the last one only if asked."""
    count = sum(key.startswith(name) and key.endswith("w") for key in weights)
    for i in range(count):
        v = F.linear(v, weights[f"{name}{i}.w"], weights[f"{name}{i}.b"])
        v = F.relu(v) if last or i < count - 1 else v
    return v
