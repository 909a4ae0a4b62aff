"""What networks are built of, beside torch's own modules."""

from __future__ import annotations

from math import gcd

import torch
from torch import Tensor, nn


class Normalise(nn.Module):
    """(x - mean) / std, per channel of images, else per feature. The constants are buffers:
    they are saved with the weights.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, mean: tuple[float, ...], std: tuple[float, ...], shape: tuple[int, ...]
    ) -> None:
        super().__init__()
        self.shape = (shape[0], 1, 1) if len(shape) == 3 else shape
        for name in ("mean", "std"):
            self.register_buffer(name, torch.empty(self.shape))
        self.set(torch.tensor(mean), torch.tensor(std))

    def set(self, mean: Tensor, std: Tensor) -> None:
        """One number, or one a channel or feature."""
        for name, value in (("mean", mean), ("std", std)):
            kept = getattr(self, name)
            one = value.to(kept) if value.numel() == 1 else value.to(kept).reshape(self.shape)
            setattr(self, name, one.expand(self.shape).clone())

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std


class Residual(nn.Module):
    """relu(body(x) + shortcut(x))."""

    def __init__(self, body: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


class Dropout(nn.Module):
    """Dropout whose mask is drawn outside, from the stream of its model: an ensemble's models
    never share a mask.

    `channels` drops whole channels (spatial dropout). The trainer calls `mask_shape` and fills
    `mask` before each step. `part`: the defense that it is of, empty for the network's own.
    """

    mask: Tensor

    def __init__(self, p: float, channels: bool = False, part: str = "dropout") -> None:
        super().__init__()
        self.p, self.channels, self.part = p, channels, part
        self.shape: tuple[int, ...] = ()
        self.register_buffer("mask", torch.ones(()), persistent=False)

    def mask_shape(self, batch: int) -> tuple[int, ...]:
        """Shape of the mask for a batch, known after one forward pass."""
        shape = (self.shape[0], *(1 for _ in self.shape[1:])) if self.channels else self.shape
        return (batch, *shape)

    def forward(self, x: Tensor) -> Tensor:
        self.shape = tuple(x.shape[1:])
        return x * self.mask if self.training else x


class SphereClip(nn.Module):
    """The SR activation: x * clamp(|x|, r1, r1 + d) / |x|, the norm over the last axis;
    differentiated through the norm.
    """

    def __init__(self, r1: float, d: float) -> None:
        super().__init__()
        self.r1, self.d = r1, d

    def forward(self, x: Tensor) -> Tensor:
        # sqrt has no gradient at 0: a zero vector is left as it is
        norm = (x.square().sum(-1, keepdim=True) + 1e-24).sqrt()
        return x * (norm.clamp(self.r1, self.r1 + self.d) / norm)


class LinearNorm(nn.Linear):
    """A linear layer whose weight is divided by its Frobenius norm (of the whole matrix, not
    per row); the bias is not.

    `all_on` False normalises in training only.
    """

    def __init__(self, features: int, classes: int, all_on: bool) -> None:
        super().__init__(features, classes)
        self.all_on = all_on

    def normed(self, weight: Tensor) -> Tensor:
        """A weight, or a stack of them [..., out, in], as the layer uses it now."""
        on = self.all_on or self.training
        return weight / weight.square().sum((-2, -1), keepdim=True).sqrt() if on else weight

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.normed(self.weight), self.bias)


def group_norm(module: nn.Module, groups: int = 32) -> nn.Module:
    """GroupNorm in place of BatchNorm, of so many groups: fewer where they do not divide the
    channels, or would leave one a group. 0 groups: one for each channel.
    """
    if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
        channels = module.num_features
        fitting = min(gcd(groups, channels), max(1, channels // 2)) if groups else channels
        return nn.GroupNorm(fitting, channels)
    return module
