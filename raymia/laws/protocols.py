"""Laws that every protocol keeps, whoever wrote it.

def test_mine() -> None:
    protocols.check("mine", {"models": 8})
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from raymia.laws.law import check_all, holds
from raymia.point import catalog
from raymia.point.space import Part
from raymia.records.split import AUDITED, Split

RECORDS = 600
Knobs = Mapping[str, Any]


def draw(name: str, knobs: Knobs, seed: int = 0, replicate: int = 0) -> Split:
    """A split of 600 records."""
    split: Split = catalog.made("protocols", Part(name, knobs)).draw(RECORDS, seed, replicate)
    return split


def shapes_are_as_said(name: str, knobs: Knobs) -> None:
    """There are as many models and targets as `shape` says, over all records."""
    split, (models, targets) = draw(name, knobs), catalog.made("protocols", Part(name, knobs)).shape
    holds(split.member.shape == split.fit.shape == (models, RECORDS), f"{split.member.shape}")
    holds(split.judged.shape == split.known.shape == (targets, RECORDS), f"{split.judged.shape}")
    holds(split.shadows.shape == (targets, models), f"{split.shadows.shape}")
    holds(len(set(split.targets.tolist())) == targets, f"targets {split.targets.tolist()}")


def no_target_is_its_own_shadow(name: str, knobs: Knobs) -> None:
    """Neither a target nor its complement is among the shadows of an attack on it."""
    split = draw(name, knobs)
    for t, m in enumerate(split.targets):
        holds(not split.shadows[t, m], f"target {m} is among its own shadows")
        twin = split.twin[m]
        holds(twin < 0 or not split.shadows[t, twin], f"its complement is a shadow of target {m}")
        if twin >= 0:
            both = split.member[m] & split.member[twin]
            holds(not both.any(), f"target {m} and its complement share {both.sum()} members")


def what_is_set_aside_is_touched_by_nobody(name: str, knobs: Knobs) -> None:
    """Nobody trains on the reserve, no attack is fitted or judged on it."""
    split = draw(name, knobs)
    aside = split.role != AUDITED
    for what in ("member", "judged", "fit"):
        holds(not getattr(split, what)[:, aside].any(), f"{what} holds records of the reserve")
    for m in range(split.models):
        own = split.reference(m)
        holds(not split.member[m, own].any(), f"model {m} trains on its reference")


def every_target_has_members_and_non_members(name: str, knobs: Knobs) -> None:
    """Each target is judged on some of its members and some non-members."""
    split = draw(name, knobs)
    for t, m in enumerate(split.targets):
        inside = split.member[m, split.judged[t]]
        holds(inside.any() and not inside.all(), f"target {m} has {inside.sum()} of {len(inside)}")


def known_records_are_some_of_the_judged(name: str, knobs: Knobs) -> None:
    """What informed attacks are shown are judged records: few of them, of both sides."""
    split = draw(name, knobs)
    for t, m in enumerate(split.targets):
        known = split.known[t]
        holds(not (known & ~split.judged[t]).any(), f"target {m}: known and not judged")
        holds(known.sum() <= 0.1 * split.judged[t].sum() + 1e-9, f"{known.sum()} are known")
        inside = split.member[m, known]
        holds(not known.any() or (inside.any() and not inside.all()), "known are all of one side")


def draws_are_pure_and_replicates_keep_the_halves(name: str, knobs: Knobs) -> None:
    """The same seed and replicate give the same split; the halves are those of all replicates."""
    first, again = draw(name, knobs), draw(name, knobs)
    for field in Split.__dataclass_fields__:
        same = np.array_equal(getattr(first, field), getattr(again, field))
        holds(same, f"{field} differs in a second draw")
    other = draw(name, knobs, replicate=1)
    holds(np.array_equal(first.half, other.half), "another replicate has other halves")
    half = int(first.half.sum())
    holds(abs(half - RECORDS / 2) <= 1, f"the halves are {half} and {RECORDS - half}")


def more_models_keep_the_first(name: str, knobs: Knobs) -> None:
    """Knobs that only say how many models there are redraw no record of those that were there."""
    cls = catalog.find("protocols", name)
    if not cls.grows:
        return
    made = catalog.made("protocols", Part(name, knobs))
    more = {**knobs, **{knob: 2 * getattr(made, knob) for knob in cls.grows}}
    few, many = draw(name, knobs), draw(name, more)
    rows = {row.tobytes() for row in many.member}
    lost = [m for m in range(few.models) if few.member[m].tobytes() not in rows]
    holds(not lost, f"models {lost} are drawn anew")
    holds(np.array_equal(few.role, many.role), "the reserve is drawn anew")


def what_is_given_up_is_taken_from_members(name: str, knobs: Knobs) -> None:
    """A share that models give up comes from their members, and is neither fitted nor judged on."""
    whole = draw(name, knobs)
    carved = whole.carve(0.25, 0, 0)
    holds(np.array_equal(carved.member | carved.held, whole.member), "others are given up")
    given = whole.member.sum(1) - carved.member.sum(1)
    expected = (whole.member.sum(1) * 0.25).astype(int)
    holds(np.array_equal(given, expected), f"{given.tolist()} instead of {expected.tolist()}")
    holds(not (carved.held & carved.member).any(), "members are held out")
    holds(not (carved.held & carved.fit).any(), "attacks are fitted on what was given up")
    for t, m in enumerate(carved.targets):
        holds(not (carved.judged[t] & carved.held[m]).any(), "target judged on what it gave up")
        holds(not (carved.known[t] & ~carved.judged[t]).any(), "known and not judged")


LAWS = (
    shapes_are_as_said,
    no_target_is_its_own_shadow,
    what_is_set_aside_is_touched_by_nobody,
    every_target_has_members_and_non_members,
    known_records_are_some_of_the_judged,
    draws_are_pure_and_replicates_keep_the_halves,
    more_models_keep_the_first,
    what_is_given_up_is_taken_from_members,
)


def check(name: str, knobs: Knobs | None = None) -> None:
    """All laws of protocols for one of the catalogue. Raises LawBroken."""
    check_all(LAWS, name, knobs or {})
