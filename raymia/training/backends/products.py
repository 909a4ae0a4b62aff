"""The three products of a linear layer of K networks: what it says, and the gradients of its
weights and of what went in. Without autograd, but for `affine`.

Shapes: rows [K, N, in], weights [K, out, in], biases [K, out], sides (gradients of what the layer
said) [K, N, out].
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Then = Literal["none", "relu", "tanh"]  # what acts on what a layer says

# a product of so few columns takes up to four times as long as one of so few rows
_NARROW = 32
# multiplications, from which on oneDNN, which takes one product a call, is worth that call: on an
# AMD a tenth faster than MKL, and a tanh within it costs a sixth of one behind it
_LARGE = 1 << 25
_IN_PLACE = {"relu": torch.relu_, "tanh": torch.tanh_}


def affine(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """[K, N, out]. Autograd and vmap may be asked of it."""
    if weight.shape[1] < _NARROW:
        turned = rows.transpose(1, 2)
        out = (
            torch.bmm(weight, turned)
            if bias is None
            else torch.baddbmm(bias.unsqueeze(2), weight, turned)
        )
        return out.transpose(1, 2)
    turned = weight.transpose(1, 2)
    if bias is None:
        return torch.bmm(rows, turned)
    return torch.baddbmm(bias.unsqueeze(1), rows, turned)


def activated(rows: Tensor, weight: Tensor, bias: Tensor | None, then: Then) -> Tensor:
    """The same, and what acts on it."""
    if _by_onednn(rows, weight.shape[1]):
        return _linear(rows[0], weight[0], None if bias is None else bias[0], then)
    out = affine(rows, weight, bias)
    return out if then == "none" else _IN_PLACE[then](out)


def of_weight(sides: Tensor, rows: Tensor) -> Tensor:
    """The gradient of the weights."""
    if _by_onednn(rows, sides.shape[2]):
        return _linear(sides[0].t(), rows[0].t())
    return torch.bmm(sides.transpose(1, 2), rows)


def of_rows(sides: Tensor, weight: Tensor) -> Tensor:
    """The gradient of what went in."""
    if _by_onednn(sides, weight.shape[2]):
        return _linear(sides[0], weight[0].t())
    return torch.bmm(sides, weight)


def _by_onednn(rows: Tensor, columns: int) -> bool:
    return (
        rows.shape[0] == 1
        and rows[0].numel() * columns >= _LARGE
        and rows.dtype == torch.float32
        and rows.device.type == "cpu"
        and torch._C._has_mkldnn
    )


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, then: Then = "none") -> Tensor:
    """One network's, [1, ...]."""
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, then, [], "")
    return out.unsqueeze(0)
