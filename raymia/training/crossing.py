"""Probabilities that are moved until a classifier of them changes its mind: phase I of MemGuard.

Source: Jia et al., CCS 2019, algorithm 1; constants of its code.
"""

from typing import Any

import numpy as np

from raymia.lazy import F, torch
from raymia.training.defense import Predictor

Array = np.ndarray[Any, Any]
C2, STEP, SURE = 10.0, 0.1, 1e-5
C3 = [10.0**e for e in range(-1, 6)]  # how much a small distortion counts


def crossed(logits: Array, h: Predictor, iterations: int) -> Array:
    """The nearest probabilities [S, C] found at which h has changed its mind and the label has
    not; else the given ones.
    """
    z0 = torch.as_tensor(logits, dtype=torch.float64)
    s, label = z0.softmax(-1), z0.argmax(-1)
    own, odds, found = F.one_hot(label, z0.shape[-1]).bool(), h(s.sort(-1).values), s.clone()
    open_rows = (torch.sigmoid(odds) - 0.5).abs() > SURE
    for c3 in C3:
        todo, z, open_rows = open_rows.nonzero()[:, 0], z0[open_rows], torch.zeros_like(open_rows)
        for _ in range(iterations):
            if not len(todo):
                break
            z = z.detach().requires_grad_()
            p, mine = z.softmax(-1), own[todo]
            rival = z.masked_fill(mine, -np.inf).max(-1).values - (z * mine).sum(-1)
            loss = (
                h(p.sort(-1).values).abs() + C2 * F.relu(rival) + c3 * (p - s[todo]).abs().sum(-1)
            )
            (grad,) = torch.autograd.grad(loss.sum(), z)
            z = (z - STEP * grad / grad.norm(dim=-1, keepdim=True).clamp(min=1e-30)).detach()
            p = z.softmax(-1)
            done = (z.argmax(-1) == label[todo]) & (h(p.sort(-1).values) * odds[todo] <= 0)
            found[todo[done]], open_rows[todo[done]] = p[done], True
            todo, z = todo[~done], z[~done]
    return found.numpy()
