"""Arguments and options that several commands have."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click

from raymia.errors import SweepError
from raymia.results.remote import Location, locate
from raymia.study import sweep as files
from raymia.study.sweep import Sweep

F = TypeVar("F", bound=Callable[..., Any])


class _Place(click.ParamType):  # type: ignore[type-arg]
    """A folder: a path, or a URI of object storage."""

    name = "DIR"

    def convert(self, value: Any, param: Any, ctx: Any) -> Path | Location:
        return locate(value)


PLACE = _Place()
sweep_file = click.argument("sweep", type=click.Path(path_type=Path), metavar="SWEEP.yaml")
folder = click.argument("folder", type=PLACE, metavar="DIR")
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def overrides(command: F) -> F:
    sets = click.option(
        "--set",
        "sets",
        multiple=True,
        metavar="a.b=value",
        help="Override a key of the file; repeatable.",
    )
    trials = click.option(
        "--trials", type=int, metavar="N", help="Short for --set search.trials=N."
    )
    return trials(sets(command))


def load(path: Path, sets: Iterable[str], trials: int | None) -> Sweep:
    """The sweep of a file, with the overrides of the command line."""
    return files.load(path, [*sets, *([] if trials is None else [f"search.trials={trials}"])])


def bound(_: click.Context, option: click.Parameter, value: float | None) -> float | None:
    """A bound of the command line. Raises SweepError for nan: every comparison with it is
    false, so no point would qualify.
    """
    if value is not None and value != value:
        raise SweepError(f"{option.opts[0]}: got nan; a number is allowed")
    return value
