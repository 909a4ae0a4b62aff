"""The declaration of a network. Reading it costs no import of torch, building it does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from raymia.training.network import Network


@dataclass(frozen=True)
class Architecture:
    """Builds a Network for inputs of one shape. `images` says that it needs inputs [C, H, W], H
    and W at least `least_side`; `documents`, that it needs documents [sentences, words, vector].
    """

    revision: ClassVar[int] = 1
    cite: ClassVar[str] = ""
    images: ClassVar[bool] = False
    documents: ClassVar[bool] = False
    least_side: ClassVar[int] = 1

    def smallest(self) -> int:
        """The least side that it takes with these arguments."""
        return self.least_side

    def build(self, shape: tuple[int, ...], classes: int) -> Network:
        """A fresh Network; initial weights come from torch's global generator, which the caller
        seeds.
        """
        raise NotImplementedError
