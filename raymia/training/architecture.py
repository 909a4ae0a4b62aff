"""The declaration of a network. Reading it costs no import of torch, building it does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from raymia.training.network import Network


@dataclass(frozen=True)
class Architecture:
    """Builds a Network for inputs of one shape. `images` says that it needs inputs [C, H, W], H
    and W at least `least_side`; `documents`, that it needs documents [sentences, words, vector];
    `lacks`, what defenses and attacks want of a network, and this is none that has it: `steps` of
    its training, or `white_box`.
    """

    revision: ClassVar[int] = 1
    cite: ClassVar[str] = ""
    images: ClassVar[bool] = False
    documents: ClassVar[bool] = False
    least_side: ClassVar[int] = 1
    lacks: ClassVar[frozenset[str]] = frozenset()

    def smallest(self) -> int:
        """The least side that it takes with these arguments."""
        return self.least_side

    def build(self, shape: tuple[int, ...], classes: int) -> Network:
        """A fresh Network; initial weights come from torch's global generator, which the caller
        seeds.
        """
        raise NotImplementedError


FLOOR = 1e-7  # of an estimator's probabilities


@dataclass(frozen=True)
class Estimator(Architecture):
    """A classifier of scikit-learn in a network's place: it trains itself on the members, and
    nothing but its probabilities is seen.

    Its logits are log max(p, floor), so that everything which reads logits reads them; a class
    that its members lack has the floor. It must lie below 1 / classes: then the largest p is
    never floored, and the label stays.
    """

    lacks: ClassVar[frozenset[str]] = frozenset({"steps", "white_box"})

    def estimator(self, records: int, seed: int) -> Any:
        """The classifier before it is fitted on so many members, of one thread; `seed` decides
        what it draws.
        """
        raise NotImplementedError

    def floor(self, classes: int) -> float:
        """The least probability that is told apart from others."""
        return min(FLOOR, 0.5 / classes)
