"""The declaration of a network, and what it says. Its modules stand in `modules`, which imports torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

    from raymia.modules import Network


class Outputs(NamedTuple):
    """What a network says: logits [B, C], and features [B, D], the input of its head."""

    logits: Tensor
    features: Tensor


@dataclass(frozen=True)
class Architecture:
    """Builds a Network for inputs of one shape. `images` says that it needs inputs [C, H, W], H and W at least `least_side`."""

    revision: ClassVar[int] = 1
    cite: ClassVar[str] = ""
    images: ClassVar[bool] = False
    least_side: ClassVar[int] = 1

    def build(self, shape: tuple[int, ...], classes: int) -> Network:
        """A fresh Network; initial weights come from torch's global generator, which the caller seeds."""
        raise NotImplementedError
