"""What an attack is: a score for each asked record, from a view that lacks the target's membership. Higher means member."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from raymia import catalog
from raymia.signals import View
from raymia.space import Part

Array = np.ndarray[Any, Any]
Rng = np.random.Generator


@dataclass(frozen=True)
class Attack:
    """Scores the asked records of a view; every file of `attacks/` extends this.

    `needs`: the queries whose answers it reads (`raymia.queries`); `wants`: what the protocol must offer (`in_shadows`,
    `out_shadows`, `population`), `images`, or `white_box`; `knows`: `known_members` if some of the target's membership is shown
    to it; `standard`: part of `attacks: standard`; `threshold`: at or above which a score says member, None where it is
    chosen on a shadow that stands in for the target.
    """

    revision: ClassVar[int] = 1
    cite: ClassVar[str] = ""
    needs: ClassVar[frozenset[str]] = frozenset({"logits"})
    wants: ClassVar[frozenset[str]] = frozenset()
    knows: ClassVar[frozenset[str]] = frozenset()
    standard: ClassVar[bool] = False
    threshold: ClassVar[float | None] = None
    fused: ClassVar[bool] = False  # scores all targets in one call

    def score(self, view: View, rng: Rng) -> Array:
        """float64 [A], one for each of `view.asked`, higher = member."""
        raise NotImplementedError

    def score_all(self, views: Sequence[View], rngs: Sequence[Rng]) -> list[Array]:
        """Several targets at once; attacks that train networks fuse them here."""
        return [self.score(view, rng) for view, rng in zip(views, rngs, strict=True)]


def column(part: Part) -> str:
    """The name of an attack's column: its own, with the arguments that differ from the defaults."""
    defaults = {k: v.default for k, v in catalog.knobs(catalog.find("attacks", part.name)).items()}
    changed = [f"{k}={v}" for k, v in part.knobs.items() if v != defaults[k]]
    return part.name + (f"[{','.join(changed)}]" if changed else "")


def make(part: Part) -> Attack:
    """The attack that a part spells. Raises SweepError."""
    attack: Attack = catalog.make("attacks", part.name, part.knobs)
    return attack


def inapplicable(name: str, offers: Iterable[str]) -> str:
    """Why an attack cannot apply where only `offers` is offered; empty where it can."""
    why: Mapping[str, str] = {
        "in_shadows": "the protocol's shadows never train on the judged records",
        "out_shadows": "the protocol has no shadows",
        "population": "the protocol sets no population aside (raise `reserve`)",
        "images": "the records are not images",
        "white_box": "the defense releases no network",
    }
    missing = sorted(catalog.find("attacks", name).wants - set(offers))
    return "; ".join(why.get(m, m) for m in missing)
