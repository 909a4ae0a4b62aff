"""Which defenses cannot stand in one recipe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from raymia.errors import SweepError
from raymia.training.defense import Defense

SEAMS = tuple(
    "training network teach batch criterion penalty extra privatise passes release assemble".split()
)
SOLE = ("criterion", "privatise", "assemble", "teach")  # seams that one part of a recipe may own
BESIDE_ASSEMBLE = {"assemble", "training", "release"}  # what reaches a predictor that is no network


class Clash(NamedTuple):
    """A part that `has` something cannot stand beside one that `meets` it (given the first).

    `why` names the two, {has} and {meets}, and may speak of their traits, {one} and {other}.
    """

    has: Callable[[Defense], bool]
    meets: Callable[[Defense, Defense], bool]
    why: str


CLASHES = (
    Clash(
        lambda one: one.owns("privatise"),
        lambda one, other: other.traits().couples or other.owns("passes"),
        "{meets} couples the records of a batch, which {has} cannot clip one by one; leave one out",
    ),
    Clash(
        lambda one: one.owns("assemble"),
        lambda one, other: any(other.owns(seam) for seam in SEAMS if seam not in BESIDE_ASSEMBLE),
        "{meets} changes how a network is trained, and {has} releases no network; leave one out",
    ),
    Clash(
        lambda one: one.traits().spends_reference,
        lambda one, other: "reference" in other.traits().wants,
        "{meets} holds out the reference that {has} trains on; leave one out",
    ),
    Clash(
        lambda one: one.traits().invents,
        lambda one, other: other.owns("penalty") and "reference" in other.traits().wants,
        "{meets} compares members with a reference, {has} trains on made-up records; leave one out",
    ),
    Clash(
        lambda one: one.traits().reads_labels,
        lambda one, other: other.traits().mixes_targets,
        "{meets} changes a batch's targets, {has} reads its labels beside them; leave one out",
    ),
    Clash(
        lambda one: one.traits().beside is not None,
        lambda one, other: other.traits().beside not in (None, one.traits().beside),
        "a batch has one reference beside it: {meets} wants {other.beside}, {has} {one.beside}; "
        "leave one out",
    ),
)


def check_clashes(named: Sequence[tuple[Defense, str]]) -> None:
    """Raises SweepError naming two parts that cannot stand in one recipe."""
    for seam in SOLE:
        owners = [name for part, name in named if part.owns(seam)]
        if len(owners) > 1:
            raise SweepError(
                f"{owners[0]} and {owners[1]} both replace the {seam}; a recipe has one"
            )
    first = [next((pair for pair in named if clash.has(pair[0])), None) for clash in CLASHES]
    for other, meets in named:
        for clash, holder in zip(CLASHES, first, strict=True):
            if holder is not None and holder[0] is not other and clash.meets(holder[0], other):
                one, has = holder[0].traits(), holder[1]
                raise SweepError(
                    clash.why.format(has=has, meets=meets, one=one, other=other.traits())
                )
