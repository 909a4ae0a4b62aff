"""The commands that need Ray: run, confirm, doctor. It is imported once the arguments are
known to be right.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from raymia.cluster import confirming, driver
from raymia.cluster import doctor as doctoring
from raymia.cluster.progress import Progress
from raymia.errors import RaymiaError
from raymia.report import query, terminal
from raymia.report.commands import write_page
from raymia.report.export import tools
from raymia.results.folder import Folder
from raymia.results.location import Location
from raymia.study import arguments
from raymia.study.tables import table
from raymia.trial import confirm as again
from raymia.verdict import learning

versions = click.option(
    "--mix-versions",
    is_flag=True,
    help="Go on although the folder holds rows of other library versions.",
)

F = TypeVar("F", bound=Callable[..., Any])


def said(command: F) -> F:
    """What is said on stderr while it runs."""
    quiet = click.option("--quiet", is_flag=True, help="Say failures and the end alone.")
    verbose = click.option(
        "--verbose", is_flag=True, help="Say where each trial stands: models, epochs, attacks."
    )
    form = click.option(
        "--log",
        "form",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="json: one object a line on stderr (docs/results.md).",
    )
    return quiet(verbose(form(command)))


@contextmanager
def _progress(quiet: bool, verbose: bool, form: str) -> Iterator[Progress]:
    """What the options of `said` ask for; what goes wrong is said in its form, too."""
    if quiet and verbose:
        raise click.UsageError("--quiet and --verbose: one of them is allowed")
    progress = Progress(quiet, verbose, form)
    try:
        yield progress
    except RaymiaError as error:
        if not progress.objects:
            raise
        progress.refused(error)
        raise click.exceptions.Exit(error.exit_code) from None


@click.command()
@arguments.sweep_file
@click.option(
    "--out",
    type=arguments.PLACE,
    metavar="DIR",
    help="A folder, s3://..., gs://... or az://...; default: results/<name>.",
)
@arguments.overrides
@click.option(
    "--retry-failed", is_flag=True, help="Run failed trials again; changes no suggestion."
)
@versions
@click.option(
    "--no-pilot",
    is_flag=True,
    help="On data of one's own, do not train one undefended model first.",
)
@click.option(
    "--log-to",
    type=click.Choice(tuple(tools.LIVE)),
    help="Hand each finished row to this tool at once, too.",
)
@said
def run(
    sweep: Path,
    out: Path | Location | None,
    sets: tuple[str, ...],
    trials: int | None,
    retry_failed: bool,
    mix_versions: bool,
    no_pilot: bool,
    log_to: str | None,
    **how: Any,
) -> int:
    """Run a sweep, or go on where it stopped."""
    with _progress(**how) as progress:
        wanted = arguments.load(sweep, sets, trials)
        results = Folder(out or Path("results") / wanted.name)
        code: int = driver.run(
            wanted,
            results,
            retry_failed=retry_failed,
            mix_versions=mix_versions,
            fly=not no_pilot,
            progress=progress,
            log_to=log_to,
        )
        if code in (0, 1) and results.storage.read("trials.csv") is not None:
            written, found = write_page(results, progress.warn), query.read(results.path)
            progress.warn(learning.warning(found.lines))
            best = [found.lines[i] for i in query.query(found)]
            terminal.print_front(best, found.lines, query.objective(found))
            # the last line of a job's log says where the front is
            click.echo(f"report: {written}\nfront:  {results.path / 'pareto.csv'}")
        progress.end(code)
        return code


@click.command()
@arguments.folder
@click.option(
    "--seeds",
    type=click.IntRange(1, 1000),
    default=5,
    show_default=True,
    metavar="N",
    help="Fresh draws a point.",
)
@versions
@said
def confirm(folder: Path | Location, seeds: int, mix_versions: bool, **how: Any) -> None:
    """Train the points of the front, and the undefended one, again with fresh seeds, and report
    both numbers.
    """
    with _progress(**how) as progress:
        results, found = confirming.confirm(folder, seeds, mix_versions, progress)
        progress.end(0)
    seen, lines = {row.digest: row for row in results.rows()}, []
    for row in again.best_first(found):
        both = (seen[row.digest].numbers, row.numbers)
        pairs = [terminal.interval(numbers, name) for name in row.measures for numbers in both]
        lines.append([str(row.trial), row.defense, *pairs])
    measures = found[0].measures if found else ()
    table(["trial", "defense", *(h for name in measures for h in (name, "confirmed"))], lines)


@click.command()
@click.option(
    "--out",
    type=arguments.PLACE,
    metavar="DIR",
    help="A results folder: is it writable, does every node see it?",
)
@click.option("--insecure", is_flag=True, help="Only note a cluster that answers without a token.")
def doctor(out: Path | Location | None, insecure: bool) -> int:
    """Versions, authentication, nodes, GPUs and storage in one table; exit 3 where something is
    bad.
    """
    found = doctoring.examine(out, insecure)
    table(["what", "found", "", "do"], [one.line() for one in found])
    return 3 if any(one.state == "bad" for one in found) else 0
