"""The command line: arguments in, one call, text out. Nothing heavy is imported before it is needed."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from raymia import columns, screen
from raymia.catalog import KINDS
from raymia.errors import RaymiaError, SweepError
from raymia.objectives import ACCURACY, AUC, COLUMNS

if TYPE_CHECKING:
    from raymia.remote import Location
    from raymia.results import Folder
    from raymia.sweep import Sweep

_F = TypeVar("_F", bound=Callable[..., Any])


class _Raymia(click.Group):
    """Turns what went wrong into one line and an exit code."""

    def main(self, *args: Any, **extra: Any) -> Any:
        extra["standalone_mode"] = False
        try:
            sys.exit(super().main(*args, **extra) or 0)
        except RaymiaError as error:
            click.echo(f"raymia: {error}", err=True)
            sys.exit(error.exit_code)
        except click.ClickException as error:
            error.show()
            sys.exit(2)
        except (click.Abort, KeyboardInterrupt):
            click.echo("raymia: interrupted", err=True)
            sys.exit(130)
        except BrokenPipeError:  # `raymia points x.yaml | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)


@click.group(cls=_Raymia, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="raymia")
def main() -> None:
    """Which membership-inference defense, at which strength, costs the least accuracy for the privacy that you need?

    Exit codes: 0 done; 1 finished, but some trials failed, or a gate not met;
    2 bad sweep, data or arguments, nothing started; 3 environment;
    4 another process holds the results folder; 130 interrupted; 143 terminated.
    """


_sweep_file = click.argument("sweep", type=click.Path(path_type=Path), metavar="SWEEP.yaml")


class _Place(click.ParamType):  # type: ignore[type-arg]
    """A folder: a path, or a URI of object storage."""

    name = "DIR"

    def convert(self, value: Any, param: Any, ctx: Any) -> "Path | Location":
        from raymia.remote import locate

        return locate(value)


_PLACE = _Place()
_folder = click.argument("folder", type=_PLACE, metavar="DIR")
_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def _overrides(command: _F) -> _F:
    sets = click.option("--set", "sets", multiple=True, metavar="a.b=value", help="Override a key of the file; repeatable.")
    trials = click.option("--trials", type=int, metavar="N", help="Short for --set search.trials=N.")
    return trials(sets(command))


def _load(path: Path, sets: Iterable[str], trials: int | None) -> "Sweep":
    from raymia import sweep

    return sweep.load(path, [*sets, *([] if trials is None else [f"search.trials={trials}"])])


@main.command()
@_sweep_file
@click.option("--out", type=_PLACE, metavar="DIR", help="A folder, s3://... or gs://...; default: results/<name>.")
@_overrides
@click.option("--retry-failed", is_flag=True, help="Run failed trials again; changes no suggestion.")
@click.option("--mix-versions", is_flag=True, help="Go on although the folder holds rows of other library versions.")
def run(
    sweep: Path,
    out: "Path | Location | None",
    sets: tuple[str, ...],
    trials: int | None,
    retry_failed: bool,
    mix_versions: bool,
) -> int:
    """Run a sweep, or go on where it stopped."""
    asked = _load(sweep, sets, trials)
    out = out or Path("results") / asked.name
    from raymia.cluster import tune
    from raymia.remote import storage

    code: int = tune.run(asked, out, retry_failed=retry_failed, mix_versions=mix_versions)
    if code in (0, 1) and storage(out).read("trials.csv") is not None:
        from raymia import pareto

        page = _write_report(out)
        screen.print_front(pareto.query(out), pareto.AUC)
        click.echo(f"report: {page}\nfront:  {out / 'pareto.csv'}")  # the last line of a job's log: where the front is
    return code


@main.command()
@_sweep_file
@_overrides
@_as_json
def points(sweep: Path, sets: tuple[str, ...], trials: int | None, as_json: bool) -> None:
    """Check a sweep without running it: arms, ranges, models, attacks, cost and resources."""
    from raymia import estimate

    found = estimate.outline(_load(sweep, sets, trials))
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    screen.table(["arm", "defense", "fixed", "free"], [_arm_line(arm) for arm in found["arms"]])
    for line in estimate.sentences(found):
        click.echo(line)


def _arm_line(arm: Mapping[str, Any]) -> list[str]:
    from raymia.columns import word
    from raymia.estimate import domain

    fixed = "  ".join(f"{k}={word(v)}" for k, v in arm["fixed"].items())
    return [str(arm["arm"]), arm["defense"], fixed, "  ".join(f"{k}: {domain(v)}" for k, v in arm["free"].items())]


def _bound(_: click.Context, option: click.Parameter, value: float | None) -> float | None:
    if value is not None and value != value:  # every comparison with it is false: no point would ever qualify
        raise SweepError(f"{option.opts[0]}: got nan; a number is allowed")
    return value


@main.command()
@_folder
@click.option("--max-auc", type=float, callback=_bound, metavar="X", help="At most this max attack AUC (or --metric).")
@click.option("--min-accuracy", type=float, callback=_bound, metavar="X", help="At least this test accuracy.")
@click.option("--where", multiple=True, metavar="knob=value", help="Points of the front with this cell; repeatable.")
@click.option("--metric", metavar="NAME", help=f"Another column than {AUC.column}, e.g. auc.lira.")
@_as_json
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
def pareto(
    folder: "Path | Location",
    max_auc: float | None,
    min_accuracy: float | None,
    where: tuple[str, ...],
    metric: str | None,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Query the front of a results folder. Never writes."""
    from raymia import pareto as front

    if as_json and as_csv:
        raise click.UsageError("--json and --csv: one of them is allowed")
    for pair in where:
        if not pair.partition("=")[0] or "=" not in pair:
            raise SweepError(f"--where: got {pair!r}; knob=value is allowed, e.g. srcm.d=1")
    metric = front.AUC if metric is None else metric
    written = front.written(folder)
    wanted = {k: v for k, _, v in (w.partition("=") for w in where)}
    best = front.query(front.typed(written), max_auc, min_accuracy, wanted, metric)
    if as_json:
        click.echo(json.dumps(screen.records(best), indent=2, allow_nan=False))
    elif as_csv:
        screen.print_csv(list(written.columns), written.loc[best.index].to_numpy().tolist())  # cells as they stand
    else:
        screen.print_front(best, columns.full(metric, best.columns))


@main.command()
@_folder
def report(folder: "Path | Location") -> None:
    """Write DIR/report.html, one self-contained file."""
    from raymia.remote import storage

    if not (folder / "trials").is_dir() if isinstance(folder, Path) else not storage(folder).names("trials"):
        raise SweepError(f"{folder} has no trials: is it a results folder?")
    click.echo(_write_report(folder))


def _write_report(folder: "Path | Location") -> "Path | Location":
    """The page and the CSVs, of the points of the sweep as it is now; files whose bytes are right stay untouched."""
    from raymia import report as page
    from raymia.results import Folder

    results = Folder(folder)
    with results.lock():
        digests = _current(results)
        results.derive(digests)
        return page.write(results, digests)


def _current(results: "Folder") -> list[str] | None:
    from raymia import sweep

    text = results.read_sweep()
    if text is None:
        return None
    asked = sweep.parse(text, str(results.path / "sweep.yaml"))
    points = [(row.digest, sweep.Point.from_json(row.point)) for row in results.rows()]
    return [digest for digest, point in points if asked.holds(point) and point.digest() == digest]


@main.command()
@_folder
@click.option("--seeds", type=click.IntRange(1, 1000), default=5, show_default=True, metavar="N", help="Fresh draws a point.")
def confirm(folder: "Path | Location", seeds: int) -> None:
    """Train the points of the front again with fresh seeds, and report both numbers."""
    from raymia import confirm as again
    from raymia import data, sweep
    from raymia import report as page
    from raymia.results import Folder

    results = Folder(folder)
    text = results.read_sweep()
    if text is None:
        raise SweepError(f"{folder} has no sweep.yaml: is it a results folder?")
    asked = sweep.parse(text, str(folder / "sweep.yaml"))
    from raymia.cluster.again import everywhere

    with results.lock():
        digests = _current(results)
        again.front(results, digests)  # there is one, or nothing is started
        records = data.load(asked.dataset, asked.search.seed)
        with everywhere(asked.resources, folder, records) as run:
            found = again.run(results, records, seeds, run, digests)
        page.write(results, digests)
    seen = {row.digest: row for row in results.rows()}
    rows = []
    for row in again.best_first(found):
        before = seen[row.digest].numbers
        pairs = [screen.interval(n, name) for name in COLUMNS for n in (before, row.numbers)]
        rows.append([str(row.trial), row.defense, *pairs])
    screen.table(["trial", "defense", ACCURACY.column, "confirmed", AUC.column, "confirmed "], rows)


@main.command()
@_folder
@click.option(
    "--max-auc",
    type=float,
    callback=_bound,
    required=True,
    metavar="X",
    help="At most this max attack AUC: the interval's upper end.",
)
@click.option("--min-accuracy", type=float, callback=_bound, default=0.0, metavar="X", help="At least this test accuracy.")
def gate(folder: "Path | Location", max_auc: float, min_accuracy: float) -> int:
    """Exit 0 if a confirmed point is this private and this accurate, else 1."""
    from raymia import confirm as again
    from raymia.results import Folder

    results = Folder(folder)
    if results.read_sweep() is None and not results.rows():
        raise SweepError(f"{folder} has no sweep.yaml and no trials: is it a results folder?")
    digests = _current(results)
    good = again.passes(results, max_auc, min_accuracy, digests)
    for row in good:
        auc, accuracy = (f"{o.column} {screen.interval(row.numbers, o.column)}" for o in (AUC, ACCURACY))
        click.echo(f"trial {row.trial} {row.defense}: confirmed {auc}, {accuracy}")
    if not good:
        confirmed = len(results.confirmed())
        hint = "" if confirmed else f"; no point is confirmed: raymia confirm {folder}"
        click.echo(
            f"no confirmed point has {columns.ends(AUC.column)[1]} <= {max_auc:g} "
            f"and {ACCURACY.column} >= {min_accuracy:g}{hint}",
            err=True,
        )
    return 0 if good else 1


@main.command()
@_folder
@click.option("--trial", "number", type=int, required=True, metavar="N", help="The trial's number in trials.csv.")
@click.option("--canaries", is_flag=True, help="Planted records alone.")
def scores(folder: "Path | Location", number: int, canaries: bool) -> None:
    """Print the score of every record, target and attack of a trial as CSV. Needs the trial's signals; never writes."""
    from dataclasses import fields
    from itertools import chain

    from raymia import scores as single
    from raymia.results import Folder

    if not isinstance(folder, Path):
        raise SweepError(f"{folder}: scores are made from a folder on a disk; copy it here first")
    rows = Folder(folder).rows()
    if not rows:
        raise SweepError(f"{folder} has no trials: is it a results folder?")
    row = next((row for row in rows if row.trial == number), None)
    if row is None:
        raise SweepError(f"--trial: got {number}; {folder} has no such trial")
    names = [field.name for field in fields(single.Score)]
    found = single.scores(row, folder / "signals", canaries)
    found = chain([first] if (first := next(found, None)) else [], found)  # what is wrong is said before anything is printed
    screen.print_csv(names, ([getattr(s, name) for name in names] for s in found))


@main.command()
@_folder
@click.option(
    "--to", "tool", required=True, type=click.Choice(("optuna", "mlflow", "wandb", "tensorboard", "parquet", "model"))
)
@click.option("--out", type=click.Path(path_type=Path), metavar="PATH", help="A new folder; default: export-<name>-<tool>.")
@click.option("--trial", type=int, metavar="N", help="With --to model: the trial's number in trials.csv.")
@click.option("--model", type=int, metavar="M", help="With --to model: which of its models; default: the first target.")
def export(folder: "Path | Location", tool: str, out: Path | None, trial: int | None, model: int | None) -> None:
    """Hand the results, or the model of a point, to other tools. Only reads DIR."""
    from raymia import export as away
    from raymia.results import Folder

    results = Folder(folder)
    click.echo(away.write(results, results.shown(_current(results)), tool, out, trial=trial, model=model))


@main.command(name="list")
@click.argument("kind", required=False, type=click.Choice(KINDS))
@_as_json
def list_(kind: str | None, as_json: bool) -> None:
    """What there is: name, one line, knobs with ranges, source."""
    from raymia import catalog

    kinds = [kind] if kind else list(KINDS)
    things = [{"kind": k} | catalog.describe(k, name) for k in kinds for name in catalog.names(k)]
    if as_json:
        click.echo(json.dumps(things, indent=2))
        return
    for k in kinds:
        rows = [[t["name"], t["summary"], _knobs(t["knobs"]), t["source"]] for t in things if t["kind"] == k]
        click.echo(k)
        screen.table(["name", "what", "knobs", "source"], rows)


def _knobs(knobs: Iterable[Mapping[str, Any]]) -> str:
    from raymia.estimate import domain

    spelled = []
    for knob in knobs:
        default = "must be given" if knob["required"] else f"= {json.dumps(knob['default'])}"
        inside = domain(knob["choices"] if "choices" in knob else knob) if {"low", "choices"} & set(knob) else ""
        spelled.append(f"{knob['name']} {default} {inside}".strip())
    return "; ".join(spelled)


@main.command()
@_sweep_file
@_overrides
def cite(sweep: Path, sets: tuple[str, ...], trials: int | None) -> None:
    """Print the BibTeX of what a sweep uses."""
    from raymia import catalog

    asked = _load(sweep, sets, trials)
    used = [("datasets", asked.dataset), ("networks", asked.network), ("protocols", asked.protocol)]
    used += [("defenses", part) for arm in asked.arms for part in arm] + [("attacks", part) for part in asked.attacks]
    entries = dict.fromkeys(str(getattr(catalog.find(kind, part.name), "cite", "")).strip() for kind, part in used)
    click.echo("\n\n".join(entry for entry in entries if entry))


@main.command()
@click.option("--out", type=_PLACE, metavar="DIR", help="A results folder: is it writable, does every node see it?")
@click.option("--insecure", is_flag=True, help="Put up with a cluster that answers without a token.")
def doctor(out: "Path | Location | None", insecure: bool) -> int:
    """Versions, authentication, nodes, GPUs and storage in one table; exit 3 where something is bad."""
    from raymia.cluster.doctor import examine

    found = examine(out, insecure)
    screen.table(["what", "found", "", "do"], [one.line() for one in found])
    return 3 if any(one.state == "bad" for one in found) else 0


if __name__ == "__main__":
    main()
