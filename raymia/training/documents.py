"""What networks for documents are built of: vectors in the place of word numbers, a recurrent layer
and attention.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Vectors(nn.Module):
    """The vector [D] of each word number: x [...] -> [..., D]. The table [V, D] is a constant of
    the data set and not trained; it is a buffer, saved with the weights.
    """

    table: Tensor

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.register_buffer("table", table)

    def forward(self, x: Tensor) -> Tensor:
        return self.table[x.long()]


class Gru(nn.Module):
    """A gated recurrent layer over the last axis but one, in both directions: x [B, ..., T, D] ->
    [B, ..., T, 2 units], as torch.nn.GRU (bidirectional) computes and initialises it.

    r = sigmoid(W_r x + b_r + U_r h + c_r), z likewise, n = tanh(W_n x + b_n + r (U_n h + c_n)), and
    the next h is (1 - z) n + z h (Yang et al., equations 1 to 4, with z and 1 - z in each other's
    place). Of plain products, because torch's own can neither be mapped over models nor have its
    gradients clipped record by record. The first axis of each parameter is the direction.
    """

    def __init__(self, features: int, units: int) -> None:
        super().__init__()
        bound = units**-0.5

        def drawn(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(2, *shape).uniform_(-bound, bound))

        self.input, self.state = drawn(features, 3 * units), drawn(units, 3 * units)
        self.input_bias, self.state_bias = drawn(1, 3 * units), drawn(1, 3 * units)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, *x.shape[-2:])
        both = torch.stack([rows, rows.flip(1)]).transpose(1, 2)  # [2, T, rows, D]
        given = torch.baddbmm(self.input_bias, both.flatten(1, 2), self.input)
        given = given.reshape(*both.shape[:3], -1)
        h = given.new_zeros(2, len(rows), self.state.shape[1])
        states = []
        for now in given.unbind(1):  # no index: its gradient would be of all steps, at each
            r, z, n = now.chunk(3, -1)
            own_r, own_z, own_n = torch.baddbmm(self.state_bias, h, self.state).chunk(3, -1)
            z = torch.sigmoid(z + own_z)
            h = (1 - z) * torch.tanh(n + torch.sigmoid(r + own_r) * own_n) + z * h
            states.append(h)
        ahead, back = torch.stack(states, 2)
        return torch.cat([ahead, back.flip(1)], -1).reshape(*x.shape[:-1], -1)


class Attention(nn.Module):
    """The mean of the last axis but one, weighted by softmax(context . tanh(W h + b)): h [B, ...,
    T, D] -> [B, ..., D] (Yang et al., equations 5 to 7). `spread`: of the context's uniform draw.
    """

    def __init__(self, features: int, spread: float) -> None:
        super().__init__()
        self.inner = nn.Linear(features, features)
        self.context = nn.Linear(features, 1, bias=False)
        nn.init.uniform_(self.context.weight, -spread, spread)

    def forward(self, h: Tensor) -> Tensor:
        weight = self.context(torch.tanh(self.inner(h))).softmax(-2)
        out: Tensor = (weight * h).sum(-2)
        return out
