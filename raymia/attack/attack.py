"""What an attack is: a score for each asked record, from a view that lacks the target's
membership. Higher means member.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from raymia.attack.calibration import by_class
from raymia.point import catalog
from raymia.point.columns import word
from raymia.point.space import Part
from raymia.signals.view import View, log_softmax

Array = np.ndarray[Any, Any]
Rng = np.random.Generator
# the argument of informed attacks that decides about the maximum, and about no score
COUNTS = "counts"
# what the attacks want that use shadows
SHADOWS = frozenset({"in_shadows", "out_shadows"})
# what some defenses have and others lack: where it is lacking, an attack is left out
OF_A_DEFENSE = frozenset({"white_box", "split_ai"})


class Scored(NamedTuple):
    """float64 [A], one for each of `view.asked`; `note`: what a reader of the row must know of
    them.
    """

    scores: Array
    note: str = ""


@dataclass(frozen=True)
class Traits:
    """What an attack with these arguments asks for and is shown.

    `needs`: the queries whose answers it reads (`signals.queries`). `wants`: what the protocol
    must offer (`in_shadows`, `out_shadows`, `population`), `images`, or of the defense `white_box`
    or `split_ai`.
    `informed`: some of the target's membership is shown to it. `counts`: it takes part in the
    maximum; an informed one does only where it was asked for by name.
    """

    needs: Set[str] = frozenset({"logits"})
    wants: Set[str] = frozenset()
    informed: bool = False
    counts: bool = True


@dataclass(frozen=True)
class Attack:
    """Scores the asked records of a view; every file of `attacks/` extends this.

    `standard`: part of `attacks: standard`; `without_shadows`: only where a protocol has none,
    since what uses them is far stronger; `beside`: further arguments with which `standard` and
    `all` hold it, each where it applies; `fused`: scores all targets in one call; `log_odds`: the
    score is the log-odds of "member", whatever the target.
    """

    revision: ClassVar[int] = 1
    cite: ClassVar[str] = ""
    standard: ClassVar[bool] = False
    without_shadows: ClassVar[bool] = False
    beside: ClassVar[tuple[Mapping[str, object], ...]] = ()
    fused: ClassVar[bool] = False
    log_odds: ClassVar[bool] = False

    def traits(self) -> Traits:
        """What it asks for and is shown; its arguments may decide."""
        return Traits()

    def score(self, view: View, rng: Rng) -> Array:
        """float64 [A], one for each of `view.asked`, higher = member."""
        raise NotImplementedError

    def score_all(self, views: Sequence[View], rngs: Sequence[Rng]) -> list[Scored]:
        """Several targets at once; attacks that train networks fuse them here."""
        return [Scored(self.score(view, rng)) for view, rng in zip(views, rngs, strict=True)]

    def cut(self, view: View) -> float | None:
        """The threshold: a score at or above it says member. None takes the best threshold on
        the first shadow, as if that were the target.
        """
        return 0.0 if self.log_odds else None

    def numbers(self, score: Array, member: Array) -> dict[str, float]:
        """Further columns, for the judge: from the scores [A] and the truth [A]."""
        return {}


@dataclass(frozen=True)
class Metric(Attack):
    """An attack whose score is a number that any one model's answer gives.

    `per_class`: a score becomes its place among those of the shadows' non-members of the same
    class, so that easy classes do not look like members. The attackers of Song & Mittal (USENIX
    Security 2021) have a threshold for each class.
    """

    revision: ClassVar[int] = 2
    per_class: bool = False

    def traits(self) -> Traits:
        return Traits(wants={"out_shadows"} if self.per_class else set())

    def metric(self, log_p: Array, label: Array) -> Array:
        """Log-probabilities [A, C] and labels [A] -> scores [A]."""
        raise NotImplementedError

    def fitted(self, view: View, rng: Rng) -> Callable[[Array, Array], Array]:
        """The metric, once it has seen the shadows."""
        return self.metric

    def score(self, view: View, rng: Rng) -> Array:
        metric, label = self.fitted(view, rng), view.labels
        own = metric(view.log_p[view.asked], label[view.asked])
        if not self.per_class:
            return own
        shadows = (
            (k, np.flatnonzero(view.fit[k] & ~view.member[k])) for k in range(len(view.member))
        )
        pairs = [
            (metric(log_softmax(view.shadows.at("logits", k, on)), label[on]), label[on])
            for k, on in shadows
        ]
        return by_class(
            own, label[view.asked], *(np.concatenate(side) for side in zip(*pairs, strict=True))
        )


NO_IMAGES = "the records are not images"
# what is asked about the records alone; every other query moves them, or makes up others
AS_THEY_ARE = frozenset({"logits", "input_grad", "weight_grad_l1", "weight_grad_l2", "split_ai"})


def column(part: Part) -> str:
    """The name of an attack's column: its own, with the arguments that differ from the defaults."""
    defaults = {k: v.default for k, v in catalog.knobs(catalog.find("attacks", part.name)).items()}
    changed = [f"{k}={word(v)}" for k, v in part.knobs.items() if v != defaults[k] and k != COUNTS]
    return part.name + (f"[{','.join(changed)}]" if changed else "")


def make(part: Part) -> Attack:
    """The attack that a part spells. Raises SweepError."""
    attack: Attack = catalog.made("attacks", part)
    return attack


def traits(part: Part) -> Traits:
    """The traits of the attack that a part spells."""
    return make(part).traits()


def unasked(part: Part) -> Part:
    """An attack that was not asked for by name: where it may be left out of the maximum, it is."""
    return Part(part.name, {**part.knobs, COUNTS: False}) if COUNTS in part.knobs else part


def inapplicable(what: str | Part, offers: Iterable[str]) -> str:
    """Why an attack, by its name or with its arguments, cannot apply where only `offers` is
    offered; empty where it can.
    """
    why: Mapping[str, str] = {
        "in_shadows": "the protocol's shadows never train on the judged records",
        "out_shadows": "the protocol has no shadows",
        "population": "no population is set aside (protocols that have one take it from `reserve`)",
        "images": NO_IMAGES,
        "numbers": "the records are words, which have nothing between them",
        "white_box": "no network is released",
        "split_ai": "the defense trains no sub-models that leave records out, as selena does",
    }
    asked = traits(Part(what, {}) if isinstance(what, str) else what)
    wants = asked.wants | (set() if asked.needs <= AS_THEY_ARE else {"numbers"})
    missing = sorted(wants - set(offers))
    return "; ".join(why.get(m, m) for m in missing)
