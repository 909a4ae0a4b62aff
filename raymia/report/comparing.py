"""The command that puts numbers beside one another: those of a paper and ours, or two folders'."""

import json
from pathlib import Path
from typing import Any

import click

from raymia.errors import EnvironmentFault, SweepError
from raymia.point.objectives import ACCURACY
from raymia.point.point import strength
from raymia.report import beside, compare, terminal
from raymia.report.page import pair
from raymia.results.folder import Folder
from raymia.results.local import Local
from raymia.results.location import Location
from raymia.results.row import Row
from raymia.study import arguments
from raymia.study.asked import current, existing, left_out
from raymia.study.tables import table


@click.command("compare")
@arguments.folder
@click.argument("other", type=arguments.PLACE, metavar="[DIR]", required=False)
@arguments.as_json
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@click.option(
    "--page",
    type=arguments.FILE,
    metavar="FILE.html",
    help="Two folders: write all of it into a new file, one self-contained page.",
)
def command(
    folder: Path | Location,
    other: Path | Location | None,
    as_json: bool,
    as_csv: bool,
    page: Path | None,
) -> None:
    """Print what a paper published beside what came out, or two folders beside one another: the
    settings that differ, both fronts, and for the same defense the difference of the second less
    the first, with its interval. Only reads the folders.
    """
    if as_json + as_csv + (page is not None) > 1:
        raise click.UsageError("--json, --csv and --page: one of them is allowed")
    if page is not None and other is None:
        raise click.UsageError("--page: it is allowed with two folders")
    for place in (folder, other):
        if place is not None:
            terminal.warn(left_out(Folder(place)))
    if other is None:
        _published(Folder(folder), as_json, as_csv)
    else:
        a, b = beside.Side.of(Folder(folder)), beside.Side.of(Folder(other))
        for side in (a, b):
            if not side.rows:
                raise SweepError(f"{side.name} has no finished trial to compare")
        if page is None:
            _two(a, b, as_json, as_csv)
        else:
            _write(page, pair.html(a, b), (folder, other))


def _published(results: Folder, as_json: bool, as_csv: bool) -> None:
    sweep, found = existing(results), compare.of(results)
    if not found:
        raise SweepError(
            f"{results.path}: its sweep holds no published numbers (the key `published`); a second "
            "folder to compare with is allowed, too"
        )
    lines = [compare.line(one) for one in found]
    if as_json:
        rows = results.shown(current(results))
        body = {
            "source": sweep.published["source"],
            "sweep": {k: v for k, v in sweep.resolved().items() if k != "published"},
            "versions": rows[0].versions if rows else {},
            "arms_run": sorted(compare.by_arm(sweep, rows)),
            "rows": lines,
        }
        click.echo(json.dumps(body, indent=1))
    elif as_csv:
        terminal.print_csv(compare.HEAD, (one.values() for one in lines))
    else:
        click.echo(sweep.published["source"])
        table(compare.SHOWN, map(compare.shown, found))


def _write(page: Path, text: str, folders: tuple[Path | Location, ...]) -> None:
    """A new file, whole or not at all."""
    for one in folders:
        if isinstance(one, Path) and page.resolve().is_relative_to(one.resolve()):
            raise SweepError(
                f"--page: got {page}; a file outside the results folders is allowed, which hold "
                "what raymia run wrote"
            )
    try:
        written = Local(page.parent).create(page.name, text.encode())
    except EnvironmentFault as fault:  # the writer's advice is that of run
        raise EnvironmentFault(str(fault).replace("--out", "--page")) from fault
    if not written:
        raise SweepError(
            f"{page} is there already, and nothing is overwritten; remove it, or choose another "
            "--page"
        )
    click.echo(page)


def _two(a: beside.Side, b: beside.Side, as_json: bool, as_csv: bool) -> None:
    settings, found = beside.differing(a, b), list(beside.pairs(a, b))
    if as_json:
        body = {
            "a": a.name,
            "b": b.name,
            "settings": [dict(zip(("setting", "a", "b"), one, strict=True)) for one in settings],
            "fronts": {name: [_point(r) for r in beside.front(s)] for name, s in _named(a, b)},
            "only": {"a": beside.alone(a, b), "b": beside.alone(b, a)},
            "rows": [_line(one) for one in found],
        }
        click.echo(json.dumps(body, indent=1, allow_nan=False))
        return
    if as_csv:
        if settings:
            terminal.warn(f"set otherwise: {', '.join(name for name, *_ in settings)}; see --json")
        terminal.print_csv(_HEAD, (_line(one).values() for one in found))
        return
    click.echo(f"A: {a.name}, {len(a.rows)} finished trials\nB: {b.name}, {len(b.rows)}")
    if settings:
        click.echo("set otherwise, so differences may be of that:")
        table(["setting", "A", "B"], settings)
    else:
        click.echo("data, network, protocol, training, attacks, seed and versions are the same")
    click.echo("fronts:")
    _print_fronts(a, b)
    click.echo("B less A, with 95% intervals that take the two for independent:")
    table(["defense", "knobs", "number", "A", "B", "difference", "note"], map(_shown, found))
    for name, only in (("A", beside.alone(a, b)), ("B", beside.alone(b, a))):
        if only:
            click.echo(f"only in {name}: {', '.join(only)}")


def _named(a: beside.Side, b: beside.Side) -> tuple[tuple[str, beside.Side], ...]:
    return ("a", a), ("b", b)


def _print_fronts(a: beside.Side, b: beside.Side) -> None:
    both = [(name.upper(), row) for name, side in _named(a, b) for row in beside.front(side)]
    measures = list(dict.fromkeys(name for _, row in both for name in row.measures))
    lines = [
        [
            name,
            str(row.trial),
            row.defense,
            strength(row.knobs),
            *(terminal.interval(row.numbers, measure) for measure in measures),
        ]
        for name, row in both
    ]
    table(["", "trial", "defense", "knobs", *(measures or [ACCURACY.column])], lines)


def _point(row: Row) -> dict[str, Any]:
    which = {"trial": row.trial, "defense": row.defense, "knobs": dict(row.knobs)}
    return which | {
        name: value
        for name, value in row.numbers.items()
        if name.removesuffix("_lo").removesuffix("_hi") in row.measures
    }


_SIDE = ("knobs", "runs", "value", "lo", "hi")
_HEAD = (
    "defense",
    "column",
    *(f"{side}_{name}" for side in "ab" for name in _SIDE),
    "difference",
    "difference_lo",
    "difference_hi",
    "note",
)


def _line(one: beside.Pair) -> dict[str, Any]:
    """The cells of a pair by _HEAD, typed."""
    sides = [(s.knobs, s.runs, s.value, s.low, s.high) for s in (one.a, one.b)]
    cells = (one.defense, one.column, *sides[0], *sides[1], *one.difference, one.note)
    return dict(zip(_HEAD, cells, strict=True))


def _shown(one: beside.Pair) -> list[str]:
    """The same for people: number and interval in one cell."""
    a, b = one.a, one.b
    knobs = a.knobs if a.knobs == b.knobs else f"{a.knobs} | {b.knobs}"
    d, low, high = one.difference
    apart = "" if d is None else f"{d:+.3f} [{low:+.3f}, {high:+.3f}]"
    note = one.note if apart else "; ".join(filter(None, ("no interval", one.note)))
    return [one.defense, knobs, one.column, _cell(a), _cell(b), apart, note]


def _cell(one: beside.Mean) -> str:
    name = ACCURACY.column  # `interval` wants a record
    cells = dict(
        zip((name, f"{name}_lo", f"{name}_hi"), (one.value, one.low, one.high), strict=True)
    )
    runs = f" ({one.runs} runs)" if one.runs > 1 else ""
    return terminal.interval(cells, name) + runs
