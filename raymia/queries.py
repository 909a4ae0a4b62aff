"""What is asked of one trained model: each function answers one of the `needs` that attacks declare.

A query sees the released logits through `Subject.release`, and the network itself where an attack is white-box.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from raymia.defense import Predictor, Release
from raymia.training import Model, pixels, predict

Array = np.ndarray[Any, Any]
GRAD_CHUNK = 256  # records a backward pass


@dataclass(frozen=True, eq=False)
class Subject:
    """One model under question: how it predicts, how its logits are released, the records x [S, ...] and labels y [S]."""

    model: Predictor
    release: Release
    x: Tensor
    y: Tensor
    rng: np.random.Generator


def logits(subject: Subject) -> dict[str, Array]:
    """`logits` [S, C], as released."""
    return {"logits": np.asarray(subject.release(predict(subject.model, subject.x)), np.float32)}


def input_grad(subject: Subject) -> dict[str, Array]:
    """`input_grad_l1`, `input_grad_l2` [S]: norms of the gradient of the cross-entropy by the normalised input.

    In evaluation mode every record is on its own, so the gradient of the summed losses holds each record's own.
    Source: Rezaei & Liu, CVPR 2021.
    """
    model = subject.model
    if not isinstance(model, Model):
        raise TypeError("input_grad needs a network")
    first, second = [], []
    for i in range(0, len(subject.x), GRAD_CHUNK):
        x = model.network.normalise(pixels(subject.x[i : i + GRAD_CHUNK], model.dtype)).detach().requires_grad_()
        z = model.network.head(model.network.backbone(x))
        loss = torch.nn.functional.cross_entropy(z, subject.y[i : i + GRAD_CHUNK], reduction="sum")
        (grad,) = torch.autograd.grad(loss, x)
        flat = grad.flatten(1).double()
        first.append(flat.abs().sum(1).cpu().numpy())
        second.append(flat.square().sum(1).sqrt().cpu().numpy())
    return {"input_grad_l1": np.concatenate(first), "input_grad_l2": np.concatenate(second)}


QUERIES: dict[str, Callable[[Subject], dict[str, Array]]] = {"logits": logits, "input_grad": input_grad}
WHITE_BOX = frozenset({"input_grad"})
