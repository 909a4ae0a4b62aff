"""What a paper printed and what came out here, number by number."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from statistics import fmean, stdev
from typing import Any

from raymia.point import columns
from raymia.point.objectives import ACCURACY
from raymia.point.point import strength
from raymia.results.folder import Folder
from raymia.results.row import Row
from raymia.search.suggest import locate
from raymia.study.asked import current, sweep_of
from raymia.study.published import THRESHOLD, numbers
from raymia.study.sweep import Sweep
from raymia.verdict.metrics import spread_interval


@dataclass(frozen=True)
class Compared:
    """One published number and ours.

    `runs`: how many trials ours is the mean of; 0 where the arm has none yet. `low`, `high`: of
    one run the interval over its records, of several the t interval over them; `sd`: over the
    runs. `spread`: the paper's own, over its runs. `difference` is ours less theirs, with its
    interval, in which the paper's spread is not.
    """

    arm: int
    defense: str
    knobs: str
    runs: int
    column: str
    published: float
    spread: float | None
    ours: float | None
    sd: float | None
    low: float | None
    high: float | None
    note: str

    @property
    def difference(self) -> tuple[float | None, float | None, float | None]:
        ends = (self.ours, self.low, self.high)
        ours, low, high = (None if end is None else end - self.published for end in ends)
        return ours, low, high


def compare(sweep: Sweep, rows: Sequence[Row]) -> list[Compared]:
    """Every published number of a sweep beside the rows of its arm.

    Where an arm has free knobs the paper did not say their values: of its points the one is
    taken whose test accuracy is nearest to the published one, which says nothing yet of its
    attacks.
    """
    points = by_arm(sweep, rows)
    found = []
    for printed in sweep.published.get("rows", ()):
        arm = printed["arm"]
        mine = _nearest(points.get(arm, []), printed.get(ACCURACY.column))
        found += list(_compared(sweep, arm, mine, printed))
    return found


def by_arm(sweep: Sweep, rows: Sequence[Row]) -> dict[int, list[list[Row]]]:
    """By arm its finished points, each with all its replicates."""
    found: dict[int, dict[str, list[Row]]] = {}
    for row in sorted(rows, key=lambda row: row.trial):
        if row.state == "done":
            arm, knobs = locate(sweep, row.as_point.recipe)
            found.setdefault(arm, {}).setdefault(str(sorted(knobs.items())), []).append(row)
    return {arm: list(points.values()) for arm, points in found.items()}


def _nearest(points: Sequence[list[Row]], accuracy: float | None) -> list[Row]:
    """The point whose mean test accuracy is nearest; the first one where none was printed."""

    def far(rows: Sequence[Row]) -> float:
        own = values(rows, ACCURACY.column)
        return abs(fmean(own) - accuracy) if own and accuracy is not None else 0.0

    return min(points, key=far, default=[])


def _compared(
    sweep: Sweep, arm: int, rows: Sequence[Row], printed: Mapping[str, Any]
) -> Iterator[Compared]:
    defense = "+".join(part.name for part in sweep.arms[arm]) or "none"
    knobs = strength(rows[0].knobs) if rows else ""
    for name, (value, spread) in numbers(printed).items():
        own = values(rows, name)
        yield Compared(
            arm,
            defense,
            knobs,
            len(own),
            name,
            value,
            spread,
            fmean(own) if own else None,
            stdev(own) if len(own) > 1 else None,
            *ends(rows, own, name),
            str(printed.get("note", "")),
        )


def values(rows: Sequence[Row], name: str) -> list[float]:
    """A column of these rows, where it is known; of `threshold_advantage.<attack>` the mean over
    targets of what the attack's own threshold gives.
    """
    measure, _, attack = name.partition(".")
    if measure == THRESHOLD:
        own = [
            [line["advantage"] for line in row.attacks if line["attack"] == attack] for row in rows
        ]
        return [fmean(each) for each in own if each and None not in each]
    each = (row.numbers.get(name) for row in rows)
    return [value for value in each if value is not None]


def ends(rows: Sequence[Row], own: Sequence[float], name: str) -> tuple[float | None, float | None]:
    """The interval of the mean `own` of a column over runs; of one run its own."""
    if len(own) > 1:
        rate = name.startswith((columns.AUC, "train_acc", "test_acc"))
        return spread_interval(own, within=(0.0, 1.0) if rate else (-inf, inf)) or (None, None)
    low, high = (values(rows, end) for end in columns.ends(name))
    return (low[0], high[0]) if own and low and high else (None, None)


HEAD = (
    "arm",
    "defense",
    "knobs",
    "runs",
    "column",
    "published",
    "spread",
    "ours",
    "ours_sd",
    "ours_lo",
    "ours_hi",
    "difference",
    "difference_lo",
    "difference_hi",
    "note",
)


def line(one: Compared) -> dict[str, Any]:
    """The cells of a comparison by HEAD, typed."""
    which = (one.arm, one.defense, one.knobs, one.runs, one.column, one.published, one.spread)
    cells = (*which, one.ours, one.sd, one.low, one.high, *one.difference, one.note)
    return dict(zip(HEAD, cells, strict=True))


def shown(one: Compared) -> list[str]:
    """The same for people: number and interval in one cell."""
    printed = f"{one.published:.3f}" + ("" if one.spread is None else f" +- {one.spread:.3f}")
    apart = ["" if end is None else f"{end:+.3f}" for end in one.difference]
    between = f" [{apart[1]}, {apart[2]}]" if apart[1] else ""
    ours = "" if one.ours is None else f"{one.ours:.3f}"
    ours += "" if one.sd is None else f" +- {one.sd:.3f}"
    cells = [str(one.arm), one.defense, one.knobs, str(one.runs), one.column, printed, ours]
    return [*cells, apart[0] + between, one.note]


SHOWN = ("arm", "defense", "knobs", "runs", "number", "published", "ours", "difference", "note")


def of(folder: Folder) -> list[Compared]:
    """The comparison of a results folder; empty where its sweep holds no published numbers."""
    sweep = sweep_of(folder)
    if sweep is None or not sweep.published:
        return []
    return compare(sweep, folder.shown(current(folder)))
