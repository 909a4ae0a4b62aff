"""What the commands print: tables and CSV on stdout. Nothing heavy is imported before it is
needed.
"""

import csv
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

from raymia.point import columns
from raymia.point.objectives import ACCURACY
from raymia.point.point import strength
from raymia.report import remarks
from raymia.results.tables import cell
from raymia.study.tables import table
from raymia.study.tables import warn as warn
from raymia.verdict.learning import Cells


def print_csv(names: Sequence[str], rows: Iterable[Iterable[Any]]) -> None:
    """Cells as the files have them: never a formula of a spreadsheet."""
    print_texts(names, (map(cell, row) for row in rows))


def print_texts(names: Sequence[str], rows: Iterable[Iterable[str]]) -> None:
    """Cells that are written already."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)


def print_front(lines: Sequence[Cells], trials: Iterable[Cells], metric: str) -> None:
    """The lines that were found, and with them the undefended trial, to compare with."""
    if not lines:
        click.echo("no point of the front matches")
        return
    bare = remarks.undefended(trials, metric)
    shown = {r["trial"] for r in lines}
    if bare is not None and bare["trial"] not in shown:
        lines = [*lines, bare]
    rows, beside = [], remarks.beside(lines, metric)
    for r in lines:
        known = r.get("epsilon") is not None and metric != "epsilon"
        epsilon = columns.epsilon(r["epsilon"]) if known else ""
        rows.append(
            [
                str(r["trial"]),
                r["defense"],
                _knobs(r),
                interval(r, ACCURACY.column),
                interval(r, columns.confirmed(ACCURACY.column)),
                interval(r, metric),
                interval(r, columns.confirmed(metric)),
                *(interval(r, name) for name in beside),
                r.get("worst_attack") or "",
                epsilon,
                remarks.remark(r, bare, metric, shown),
            ]
        )
    head = ["trial", "defense", "knobs", ACCURACY.column, "confirmed", metric, "confirmed", *beside]
    table([*head, "worst_attack", "epsilon", "remark"], rows)


def print_drops(found: Iterable[Cells], metric: str, limits: Iterable[float]) -> None:
    """The trials that `drops` chose, by limit, and which defenses have none there."""
    lines = [
        [
            "" if r["rad_below"] is None else f"{r['rad_below']:g}",
            r["defense"],
            _knobs(r),
            str(r["trial"]),
            interval(r, ACCURACY.column),
            f"{r['rad']:.3f}",
            interval(r, metric),
        ]
        for r in found
    ]
    head = ["RAD below", "defense", "knobs", "trial", ACCURACY.column, "RAD", metric]
    table(head, lines)
    there = {(line[0], line[1]) for line in lines}
    for limit in (f"{one:g}" for one in sorted(set(limits))):
        if missing := [name for below, name in there if not below and (limit, name) not in there]:
            click.echo(f"no trial below {limit}: {', '.join(sorted(missing))}")


def _knobs(record: Mapping[str, Any]) -> str:
    own = tuple(f"{part}." for part in record["defense"].split("+"))
    known = [k for k in record if k.startswith(own) and record[k] is not None]
    return strength({k: record[k] for k in known})


def interval(record: Mapping[str, Any], name: str) -> str:
    """`0.612 [0.590, 0.634]`; empty where unknown."""
    value, low, high = (record.get(column) for column in columns.with_ends(name))
    if value is None:
        return ""
    return f"{value:.3f}" if low is None or high is None else f"{value:.3f} [{low:.3f}, {high:.3f}]"
