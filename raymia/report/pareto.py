"""The command `raymia pareto`. What it imports is what it takes: half a second is all there is."""

import json
from pathlib import Path
from typing import Any

import click

from raymia.errors import SweepError
from raymia.point import columns
from raymia.point.objectives import AUC, TPR
from raymia.report import drops, means, query, terminal
from raymia.results.folder import Folder
from raymia.results.location import Location
from raymia.results.tables import cell
from raymia.study import arguments
from raymia.study.asked import outdated
from raymia.verdict import learning


@click.command()
@arguments.folder
@click.option(
    "--max-auc",
    type=float,
    callback=arguments.bound,
    metavar="X",
    help="At most this max attack AUC (or what else the sweep is searched by, or --metric).",
)
@click.option(
    "--min-accuracy",
    type=float,
    callback=arguments.bound,
    metavar="X",
    help="At least this test accuracy.",
)
@click.option(
    "--where",
    multiple=True,
    metavar="knob=value",
    help="Those with this cell, as the table shows it; repeatable.",
)
@click.option(
    "--metric",
    metavar="NAME",
    help=f"Another column than the sweep's own ({AUC.column}), e.g. {TPR.column}, auc.lira.",
)
@click.option("--all", "every", is_flag=True, help="Every trial, not the front alone.")
@click.option(
    "--mean", is_flag=True, help="Of a point's several runs (search.repeats) the mean, as one."
)
@click.option(
    "--rad",
    "limits",
    type=float,
    multiple=True,
    metavar="X",
    help="Of each defense the most accurate trial, and the one with the lowest metric of those "
    "that lose less than this share of the undefended accuracy, e.g. 0.05; repeatable.",
)
@arguments.as_json
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
def pareto(
    folder: Path | Location,
    max_auc: float | None,
    min_accuracy: float | None,
    where: tuple[str, ...],
    metric: str | None,
    every: bool,
    mean: bool,
    limits: tuple[float, ...],
    as_json: bool,
    as_csv: bool,
) -> None:
    """Query the front of a results folder. Never writes."""
    if as_json and as_csv:
        raise click.UsageError("--json and --csv: one of them is allowed")
    for pair in where:
        if not pair.partition("=")[0] or "=" not in pair:
            raise SweepError(f"--where: got {pair!r}; knob=value is allowed, e.g. srcm.d=1")
    written = query.written(folder)
    terminal.warn(query.left_out(folder, len(written.rows)))
    trials = query.typed(written)
    if mean:  # no file has them
        trials = means.means(trials)
        written = query.Written(
            [*trials.names], [[*map(cell, line.values())] for line in trials.lines]
        )
    lines = trials.lines
    metric = query.objective(trials) if metric is None else metric
    terminal.warn(learning.warning(lines))
    wanted = {k: v for k, _, v in (w.partition("=") for w in where)}
    best = query.query(trials, max_auc, min_accuracy, wanted, metric, every or bool(limits))
    metric = columns.full(metric, trials.names)
    if "digest" in trials.names:
        terminal.warn(outdated(Folder(folder), {lines[i]["digest"] for i in best}))
    added: list[dict[str, Any]] = [{}] * len(best)
    if limits:
        chosen = drops.drops(lines, best, metric, [drops.limit(given) for given in limits])
        best, added = [i for i, _ in chosen], [drop for _, drop in chosen]
    if not mean and means.repeated(trials, best):
        terminal.warn("points have several runs here, and the luckiest ones lead: see --mean")
    found = (drop | dict(lines[i]) for i, drop in zip(best, added, strict=True))
    if as_csv:
        names = [*((drops.BELOW, drops.RAD) if limits else ()), *written.names]
        cells = [[*map(cell, drop.values())] for drop in added]
        rows = [written.rows[i] for i in best]
        terminal.print_texts(names, map(list.__add__, cells, rows))
    elif as_json:
        click.echo(json.dumps([*found], indent=2, allow_nan=False))
    elif limits:
        terminal.print_drops(found, metric, limits)
    else:
        terminal.print_front([lines[i] for i in best], lines, metric)
