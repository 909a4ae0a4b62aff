"""The commands that read a results folder's trials: report, gate, scores, export."""

from collections.abc import Callable, Iterator
from dataclasses import astuple, fields
from itertools import chain
from pathlib import Path
from typing import Any

import click

from raymia.errors import SweepError
from raymia.point.objectives import ACCURACY, AUC, TPR, upper
from raymia.report import compare, page, pdf, terminal
from raymia.report.export import tools
from raymia.results.folder import Folder
from raymia.results.location import Location
from raymia.results.remote import storage
from raymia.results.tables import trial_line
from raymia.study import arguments
from raymia.study.asked import current, left_out, outdated, sweep_of
from raymia.trial import confirm, record_scores, record_signals
from raymia.verdict import learning


@click.command()
@arguments.folder
@click.option("--pdf", "printed", is_flag=True, help="Print it to DIR/report.pdf, too.")
def report(folder: Path | Location, printed: bool) -> None:
    """Write DIR/report.html, one self-contained file."""
    if (
        not (folder / "trials").is_dir()
        if isinstance(folder, Path)
        else not storage(folder).names("trials")
    ):
        raise SweepError(f"{folder} has no trials: is it a results folder?")
    written = write_page(folder)
    click.echo(written)
    if printed and not isinstance(written, Path):
        raise SweepError(
            f"--pdf: {folder} is no folder on a disk; copy {written} here and print it"
        )
    if printed and isinstance(written, Path):
        click.echo(pdf.write(written))


def write_page(
    folder: Path | Location | Folder, warn: Callable[[str], None] = terminal.warn
) -> Path | Location:
    """The page and the CSVs, of the points of the sweep as it is now; files whose bytes are
    right stay untouched.
    """
    results = folder if isinstance(folder, Folder) else Folder(folder)
    with results.lock():
        digests = current(results)
        warn(left_out(results))
        results.derive(digests)
        return page.write(results, digests, compare.of(results))


@click.command()
@arguments.folder
@click.option(
    "--max-auc",
    type=float,
    callback=arguments.bound,
    metavar="X",
    help=f"At most this {AUC.column}: its upper end.",
)
@click.option(
    "--max-tpr",
    type=float,
    callback=arguments.bound,
    metavar="X",
    help=f"At most this {TPR.column}: its upper end.",
)
@click.option(
    "--min-accuracy",
    type=float,
    callback=arguments.bound,
    default=0.0,
    metavar="X",
    help="At least this test accuracy.",
)
def gate(
    folder: Path | Location, max_auc: float | None, max_tpr: float | None, min_accuracy: float
) -> int:
    """Exit 0 if a confirmed point is this private and this accurate, else 1."""
    asked = {AUC.column: max_auc, TPR.column: max_tpr}
    most = {name: bound for name, bound in asked.items() if bound is not None}
    if not most:
        raise click.UsageError("Missing option '--max-auc' or '--max-tpr'.")
    results = Folder(folder)
    if sweep_of(results) is None and not results.rows():
        raise SweepError(f"{folder} has no sweep.yaml and no trials: is it a results folder?")
    digests = current(results)
    terminal.warn(left_out(results))
    wrong = learning.warning(map(trial_line, results.shown(digests)))
    terminal.warn(wrong)
    good = [] if wrong else confirm.passes(results, max_auc, min_accuracy, digests, max_tpr)
    for row in good:
        said = [
            f"{name} {terminal.interval(row.numbers, name)}, "
            f"{upper(name)} {row.numbers[upper(name)]:.3f}"
            for name in most
        ]
        said.append(f"{ACCURACY.column} {terminal.interval(row.numbers, ACCURACY.column)}")
        click.echo(f"trial {row.trial} {row.defense}: confirmed {', '.join(said)}")
    if not good:
        confirmed = len(results.confirmed())
        hint = "" if confirmed else f"; no point is confirmed: raymia confirm {folder}"
        bounds = [f"{upper(name)} <= {bound:g}" for name, bound in most.items()]
        bounds.append(f"{ACCURACY.column} >= {min_accuracy:g}")
        click.echo(f"no confirmed point has {' and '.join(bounds)}{hint}", err=True)
    return 0 if good else 1


@click.command()
@arguments.folder
@click.option(
    "--trial",
    "number",
    type=int,
    required=True,
    metavar="N",
    help="The trial's number in trials.csv.",
)
@click.option("--canaries", is_flag=True, help="Planted records alone.")
@click.option("--records", is_flag=True, help="One line a record: how exposed it is, most first.")
@click.option("--attack", metavar="NAME", help="With --records: by another attack than the worst.")
@click.option(
    "--signals", is_flag=True, help="No attack: probability of the label, loss and margin."
)
@click.option(
    "--norms",
    is_flag=True,
    help="With --signals: the norm of the features, too; asks the kept models.",
)
def scores(
    folder: Path | Location,
    number: int,
    canaries: bool,
    records: bool,
    attack: str | None,
    signals: bool,
    norms: bool,
) -> None:
    """Print the score of every record, target and attack of a trial as CSV. Needs the trial's
    signals; never writes.
    """
    if signals and records:
        raise click.UsageError("--signals and --records: one of them is allowed")
    if norms and not signals:
        raise click.UsageError("--norms: it is allowed with --signals")
    if attack is not None and not records:
        raise click.UsageError("--attack: it is allowed with --records")
    if not isinstance(folder, Path):
        raise SweepError(f"{folder}: scores are made from a folder on a disk; copy it here first")
    rows = Folder(folder).rows()
    if not rows:
        raise SweepError(f"{folder} has no trials: is it a results folder?")
    row = next((row for row in rows if row.trial == number), None)
    if row is None:
        raise SweepError(f"--trial: got {number}; {folder} has no such trial")
    terminal.warn(outdated(Folder(folder), {row.digest}))
    if records:
        exposed = record_scores.exposures(row, folder / "signals", attack, canaries)
        told, least = record_scores.share(exposed), record_scores.EXPOSED
        known = [field.name for field in fields(record_scores.Exposure)]
        names = known if any(one.group for one in exposed) else known[:-1]  # the last is the group
        terminal.print_csv(names, (astuple(one)[: len(names)] for one in exposed))
        click.echo(
            f"{told:.1%} of {len(exposed)} records are told with a likelihood ratio of "
            f"{least:g} or more; means over targets that share shadows",
            err=True,
        )
        return
    kind: Any = record_signals.Signal if signals else record_scores.Score
    found: Iterator[Any] = (
        record_signals.signals(row, folder / "signals", canaries, norms)
        if signals
        else record_scores.scores(row, folder / "signals", canaries)
    )
    names = [field.name for field in fields(kind)]
    # what is wrong is said before anything is printed
    found = chain([first] if (first := next(found, None)) else [], found)
    terminal.print_csv(names, ([getattr(s, name) for name in names] for s in found))


@click.command()
@arguments.folder
@click.option("--to", "tool", required=True, type=click.Choice((*tools.TOOLS, "model")))
@click.option(
    "--out",
    type=arguments.FILE,
    metavar="PATH",
    help="A new folder; default: export-<name>-<tool>.",
)
@click.option(
    "--trial", type=int, metavar="N", help="With --to model: the trial's number in trials.csv."
)
@click.option(
    "--model",
    type=int,
    metavar="M",
    help="With --to model: which of its models; default: the first target.",
)
def export(
    folder: Path | Location, tool: str, out: Path | None, trial: int | None, model: int | None
) -> None:
    """Hand the results, or the model of a point, to other tools. Only reads DIR."""
    results = Folder(folder)
    terminal.warn(left_out(results))
    rows = results.shown(current(results))
    written = tools.write(results, rows, tool, out, trial=trial, model=model)
    click.echo(written)
    if Path(written).is_dir():
        click.echo(f"read it by: {tools.READ[tool].format(written)}", err=True)
