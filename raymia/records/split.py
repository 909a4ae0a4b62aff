"""Who trains on what: one boolean matrix, from which everything else follows."""

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import numpy as np
import numpy.typing as npt

from raymia.errors import SweepError
from raymia.point.space import Range
from raymia.streams import stream

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

AUDITED, REFERENCE, POPULATION = 0, 1, 2
# of a target's members and non-members, shown to the attacks that declare `known_members`
KNOWN_SHARE = 0.1


@dataclass(frozen=True, eq=False)
class Split:
    """The membership matrix of one replicate, and what may be done with each of its entries.

    Shapes: M models, T targets, N records. `member` [M, N]: model m trains on record n. `held`
    [M, N]: taken out of the members of m for its own reference (AdvReg, split DMP): neither
    fitted on nor judged. `fit` [M, N]: an attack may fit thresholds and attack models on model
    m at record n. `targets` [T]: indices of models. `shadows` [T, M]: the models that an attack
    on target t may use; never t itself nor its complement. `judged` [T, N]: t is judged there.
    `known` [T, N]: the judged records whose membership is shown to attacks that know some, and
    that are then not judged. `role` [N]: AUDITED, REFERENCE (the defender's) or POPULATION (the
    attacker's). `half` [N]: on which side of the cross-fit. `twin` [M]: the complement of a
    model, or -1.
    """

    member: Bools
    held: Bools
    fit: Bools
    targets: Ints
    shadows: Bools
    judged: Bools
    known: Bools
    role: npt.NDArray[np.int8]
    half: Bools
    twin: Ints

    @property
    def models(self) -> int:
        return len(self.member)

    def members(self, model: int) -> Ints:
        return np.flatnonzero(self.member[model])

    def reference(self, model: int) -> Ints:
        """The defender's records of one model: those that it gave up itself, else the common
        reserve.
        """
        own = np.flatnonzero(self.held[model])
        return own if len(own) else self.aside

    @property
    def aside(self) -> Ints:
        """The defender's common records: no model trains on them, no target is judged there."""
        return np.flatnonzero(self.role == REFERENCE)

    @property
    def asked(self) -> Ints | None:
        """The records about which an attack may ask a model; None where that is all."""
        on = self.judged.any(0) | self.fit.any(0) | self.held.any(0) | (self.role != AUDITED)
        return None if on.all() else np.flatnonzero(on)

    def shared(self, unit: Ints) -> "Split":
        """The split of records [S] of which each has the membership and all else of the unit
        that it belongs to; the columns of this one are the units.
        """
        per_record = "member held fit judged known role half".split()
        return replace(self, **{name: getattr(self, name)[..., unit] for name in per_record})

    def carve(self, share: float, seed: int, replicate: int) -> "Split":
        """Each model gives up `share` of its members, which become its own reference. Raises
        SweepError where none would be given up, or none be left.
        """
        if not share:
            return self
        held = self.held.copy()
        for m in range(self.models):
            members = self.members(m)
            given, rng = int(share * len(members)), stream(seed, replicate, "carve", m)
            if not 0 < given < len(members):
                raise SweepError(
                    f"a share of {share:g} of the {len(members)} members of model {m} is {given} "
                    "of them, one at least must be given up and one be left: from "
                    f"1/{len(members)} to {len(members) - 1}/{len(members)} is allowed"
                )
            held[m, rng.choice(members, given, replace=False)] = True
        member = self.member & ~held
        judged = self.judged & ~held[self.targets]
        return replace(
            self,
            member=member,
            held=held,
            fit=self.fit & ~held,
            judged=judged,
            known=self.known & judged,
        )


@dataclass(frozen=True)
class Protocol:
    """Draws a Split. `offers` says which attacks can apply: `in_shadows`, `out_shadows`,
    `population`.
    """

    revision: ClassVar[int] = 1
    cite: ClassVar[str] = ""
    grows: ClassVar[tuple[str, ...]] = ()  # the knobs that only say how many models there are

    reserve: Annotated[float, Range(0.0, 0.5, least=0.0, most=0.9)] = 0.2

    @property
    def shape(self) -> tuple[int, int]:
        """(models, targets)."""
        raise NotImplementedError

    @property
    def offers(self) -> frozenset[str]:
        return frozenset({"out_shadows"} | ({"population", "reference"} if self.reserve else set()))

    def draw(self, n: int, seed: int, replicate: int) -> Split:
        """Raises SweepError where `n` records are too few."""
        raise NotImplementedError


Units = int | tuple[int, ...]  # how many records; or the unit of each, whose membership it has


def count(units: Units) -> int:
    """How many units there are."""
    return units if isinstance(units, int) else max(units) + 1


def over(units: Units, split: Split) -> Split:
    """A split of units as one of their records."""
    return split if isinstance(units, int) else split.shared(np.array(units))


def drawn(protocol: Protocol, units: Units, seed: int, replicate: int) -> Split:
    """A split of records of which some share a membership. Raises SweepError."""
    return over(units, protocol.draw(count(units), seed, replicate))


def reserve(
    n: int, share: float, *key: object, reference: int | None = None
) -> npt.NDArray[np.int8]:
    """Roles [n]: `share` of the records set aside, half of it the defender's reference, half
    the attacker's population; with `reference` that many are the defender's, and the attacker
    has what the share leaves.
    """
    role, most = np.zeros(n, np.int8), 2 * round(share * n / 2)
    own = most // 2 if reference is None else reference
    aside = stream(*key, "reserve").permutation(n)[: max(most, own)]
    role[aside[:own]] = REFERENCE
    role[aside[own:]] = POPULATION
    return role


def assemble(
    member: Bools,
    fit: Bools,
    judged: Bools,
    role: npt.NDArray[np.int8],
    targets: Ints,
    shadows: Bools,
    seed: int,
    replicate: int,
    twin: Ints | None = None,
) -> Split:
    """A Split with what all protocols share: the known records and the halves of the cross-fit.

    The halves do not depend on the replicate: they are the same columns for all points.
    """
    known = np.zeros_like(judged)
    for t, m in enumerate(targets):
        for side in (True, False):
            pool = np.flatnonzero(judged[t] & (member[m] == side))
            rng = stream(seed, replicate, "known", int(m), side)
            known[t, rng.choice(pool, int(KNOWN_SHARE * len(pool)), replace=False)] = True
        if not (judged[t] & member[m]).any() or not (judged[t] & ~member[m]).any():
            n, missing = member.shape[1], f"target {m} has no members or no non-members to judge"
            raise SweepError(f"dataset: got {n} records; more are allowed: {missing}")
    half = stream(seed, "half").permutation(member.shape[1]) % 2 == 0
    held = np.zeros_like(member)
    twin = np.full(len(member), -1) if twin is None else twin
    return Split(member, held, fit, targets, shadows, judged, known, role, half, twin)
