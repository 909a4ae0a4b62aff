"""Two results folders beside one another: in what they were set otherwise, both fronts, and what
came out for the same defense, never a difference without its interval.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean
from typing import Any

from raymia.point.objectives import ACCURACY
from raymia.point.point import Point, strength
from raymia.report import compare
from raymia.results.folder import Folder
from raymia.results.row import Row, best
from raymia.study.asked import current, existing
from raymia.verdict import learning

_SETTINGS = ("dataset", "network", "protocol", "training", "attacks", "attacker", "canaries")
Knobs = tuple[tuple[str, Any], ...]
Points = dict[str, dict[Knobs, list[Row]]]


@dataclass(frozen=True)
class Side:
    """One folder: its finished rows, its settings by name, spelled out, and what was confirmed."""

    name: str
    rows: tuple[Row, ...]
    settings: Mapping[str, str]
    confirmed: tuple[Row, ...]

    @classmethod
    def of(cls, folder: Folder) -> "Side":
        """Raises SweepError where it is no results folder."""
        sweep, shown = existing(folder), folder.shown(current(folder))
        rows = sorted((row for row in shown if row.state == "done"), key=lambda row: row.trial)
        said = sweep.resolved()
        own = {
            "data": ", ".join(sorted({Point.from_json(row.point).data[:16] for row in rows})),
            **{name: json.dumps(said[name], sort_keys=True) for name in _SETTINGS},
            "seed": str(sweep.search.seed),
            "searched by": sweep.search.objective["privacy"],
            "versions": ", ".join(sorted({_versions(row) for row in rows})),
        }
        return cls(str(folder.path), tuple(rows), own, tuple(folder.confirmed()))

    @property
    def points(self) -> Points:
        """By defense and knobs, all runs of a point, in the order of the first."""
        found: Points = {}
        for row in self.rows:
            key = tuple(sorted(row.knobs.items()))
            found.setdefault(row.defense, {}).setdefault(key, []).append(row)
        return found


@dataclass(frozen=True)
class Mean:
    """A number of a point on one side: the mean over its runs, with its interval."""

    knobs: str
    runs: int
    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Pair:
    """A number of the same defense on both sides. `note`: what must be known of it."""

    defense: str
    column: str
    a: Mean
    b: Mean
    note: str

    @property
    def difference(self) -> tuple[float | None, float | None, float | None]:
        """B less A with its 95% interval; all None where a side has no interval.

        Of two intervals that need not be symmetric: each end goes as far from the difference as
        the root of the sum of the squares of how far the two go (Newcombe, Statistics in Medicine
        17, 1998, method 10, after which Zou and Donner, 2008). It takes the sides for independent:
        runs on the same records are not, and their difference is known better than that.
        """
        a, b = self.a, self.b
        ends = (a.value, a.low, a.high, b.value, b.low, b.high)
        if None in ends:
            return None, None, None
        one, one_low, one_high, two, two_low, two_high = (float(end or 0.0) for end in ends)
        down = sqrt((two - two_low) ** 2 + (one_high - one) ** 2)
        up = sqrt((two_high - two) ** 2 + (one - one_low) ** 2)
        return two - one, two - one - down, two - one + up


def differing(a: Side, b: Side) -> list[tuple[str, str, str]]:
    """(setting, of A, of B) for those that are not the same."""
    pairs = ((name, own, b.settings[name]) for name, own in a.settings.items())
    return [(name, own, other) for name, own, other in pairs if own != other]


def pairs(a: Side, b: Side) -> Iterator[Pair]:
    """The numbers of each defense that both have: at the same strengths, or where they have none in
    common, of the most accurate point on each side.
    """
    mine, others = a.points, b.points
    for defense in (name for name in mine if name in others):
        same = [knobs for knobs in mine[defense] if knobs in others[defense]]
        for knobs in same:
            yield from _numbers(defense, mine[defense][knobs], others[defense][knobs], "")
        if not same:
            note = "other strengths: the most accurate one on each side"
            yield from _numbers(defense, _first(mine[defense]), _first(others[defense]), note)


def alone(a: Side, b: Side) -> list[str]:
    """The defenses that only A has."""
    return [name for name in a.points if name not in b.points]


def front(side: Side) -> list[Row]:
    return best(side.rows)


def _first(points: Mapping[Knobs, list[Row]]) -> list[Row]:
    def accuracy(rows: list[Row]) -> float:
        known = compare.values(rows, ACCURACY.column)
        return fmean(known) if known else -1.0

    return max(points.values(), key=accuracy)


def _numbers(defense: str, one: Sequence[Row], other: Sequence[Row], note: str) -> Iterator[Pair]:
    for name in dict.fromkeys((*one[0].measures, *other[0].measures)):
        a, b = _mean(one, name), _mean(other, name)
        wrong = [learning.note(rows[0].numbers) for rows in (one, other)]
        said = [f"{side}: {what}" for side, what in zip("AB", wrong, strict=True) if what]
        found = Pair(defense, name, a, b, "; ".join(filter(None, (note, *said))))
        if a.value is not None or b.value is not None:
            yield found


def _mean(rows: Sequence[Row], name: str) -> Mean:
    own = compare.values(rows, name)
    ends = compare.ends(rows, own, name)
    return Mean(strength(rows[0].knobs), len(own), fmean(own) if own else None, *ends)


def _versions(row: Row) -> str:
    return " ".join(f"{name} {version}" for name, version in sorted(row.versions.items()))
