"""Crops and flips of stacked image batches, with offsets from each model's own stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from raymia.lazy import F, torch

if TYPE_CHECKING:
    from torch import Tensor


def crop(x: Tensor, rngs: Sequence[np.random.Generator], pad: int, shared: bool = False) -> Tensor:
    """Zero-pads `pad` pixels on each side and crops back to [H, W] at a random place, per
    record (or one a batch).

    Shapes: x [K, B, C, H, W] -> the same.
    """
    k, b, _, height, width = x.shape
    # [K, 2, B or 1]
    offsets = np.stack([g.integers(0, 2 * pad + 1, (2, 1 if shared else b)) for g in rngs])
    at = torch.as_tensor(offsets).to(x.device).expand(k, 2, b)
    padded = F.pad(x, (pad, pad, pad, pad))
    rows = at[:, 0, :, None] + torch.arange(height, device=x.device)  # [K, B, H]
    cols = at[:, 1, :, None] + torch.arange(width, device=x.device)
    models = torch.arange(k, device=x.device)[:, None, None, None]
    records = torch.arange(b, device=x.device)[None, :, None, None]
    picked = padded.permute(0, 1, 3, 4, 2)[models, records, rows[..., :, None], cols[..., None, :]]
    return picked.permute(0, 1, 4, 2, 3)


def flip(x: Tensor, rngs: Sequence[np.random.Generator], shared: bool = False) -> Tensor:
    """Mirrors left and right with probability one half, per record (or one decision a batch)."""
    coins = np.stack([g.random(1 if shared else x.shape[1]) < 0.5 for g in rngs])
    where = torch.as_tensor(coins).to(x.device).expand(x.shape[:2])[..., None, None, None]
    return torch.where(where, x.flip(-1), x)


def crop_flip(x: Tensor, rngs: Sequence[np.random.Generator], pad: int, how: str) -> Tensor:
    """The usual augmentation of small images. `crop_flip_shared`: one offset and one coin a
    batch, as in the code of SRCM and CRL (torchvision transforms on a batch tensor).

    Departures: the border is black, a raw pixel of 0, where their code pads after normalising:
    a pixel of the data set's mean.
    """
    shared = how == "crop_flip_shared"
    return flip(crop(x, rngs, pad, shared), rngs, shared)
