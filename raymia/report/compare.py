"""What a paper printed and what came out here, number by number."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import click

from raymia.errors import SweepError
from raymia.point import columns
from raymia.point.objectives import ACCURACY
from raymia.point.point import strength
from raymia.report import terminal
from raymia.results.folder import Folder
from raymia.results.location import Location
from raymia.results.row import Row
from raymia.search.suggest import locate
from raymia.study import arguments
from raymia.study.asked import current, existing, left_out, sweep_of
from raymia.study.published import THRESHOLD, numbers
from raymia.study.sweep import Sweep
from raymia.study.tables import table
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
    points = _points(sweep, rows)
    found = []
    for printed in sweep.published.get("rows", ()):
        arm = printed["arm"]
        mine = _nearest(points.get(arm, []), printed.get(ACCURACY.column))
        found += list(_compared(sweep, arm, mine, printed))
    return found


def _points(sweep: Sweep, rows: Sequence[Row]) -> dict[int, list[list[Row]]]:
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
        own = _values(rows, ACCURACY.column)
        return abs(fmean(own) - accuracy) if own and accuracy is not None else 0.0

    return min(points, key=far, default=[])


def _compared(
    sweep: Sweep, arm: int, rows: Sequence[Row], printed: Mapping[str, Any]
) -> Iterator[Compared]:
    defense = "+".join(part.name for part in sweep.arms[arm]) or "none"
    knobs = strength(rows[0].knobs) if rows else ""
    for name, (value, spread) in numbers(printed).items():
        own = _values(rows, name)
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
            *_ends(rows, own, name),
            str(printed.get("note", "")),
        )


def _values(rows: Sequence[Row], name: str) -> list[float]:
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


def _ends(
    rows: Sequence[Row], values: Sequence[float], name: str
) -> tuple[float | None, float | None]:
    if len(values) > 1:
        rate = name.startswith((columns.AUC, "train_acc", "test_acc"))
        return spread_interval(values, within=(0.0, 1.0) if rate else (-inf, inf)) or (None, None)
    low, high = (_values(rows, end) for end in columns.ends(name))
    return (low[0], high[0]) if values and low and high else (None, None)


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
    values = (one.arm, one.defense, one.knobs, one.runs, one.column, one.published, one.spread)
    cells = (*values, one.ours, one.sd, one.low, one.high, *one.difference, one.note)
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


@click.command("compare")
@arguments.folder
@arguments.as_json
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
def command(folder: Path | Location, as_json: bool, as_csv: bool) -> None:
    """Print what a paper published beside what came out, and the difference. Never writes."""
    if as_json and as_csv:
        raise click.UsageError("--json and --csv: one of them is allowed")
    results = Folder(folder)
    terminal.warn(left_out(results))
    sweep, found = existing(results), of(results)
    if not found:
        raise SweepError(f"{folder}: its sweep holds no published numbers (the key `published`)")
    lines = [line(one) for one in found]
    if as_json:
        rows = results.shown(current(results))
        body = {
            "source": sweep.published["source"],
            "sweep": {k: v for k, v in sweep.resolved().items() if k != "published"},
            "versions": rows[0].versions if rows else {},
            "arms_run": sorted(_points(sweep, rows)),
            "rows": lines,
        }
        click.echo(json.dumps(body, indent=1))
    elif as_csv:
        terminal.print_csv(HEAD, (one.values() for one in lines))
    else:
        click.echo(sweep.published["source"])
        table(SHOWN, map(shown, found))
