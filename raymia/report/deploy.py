"""The command that hands out a model for use: the recipe of a trial, trained on all records."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import click

from raymia.errors import EnvironmentFault, SweepError, line
from raymia.point import columns
from raymia.point.point import Point
from raymia.point.space import Part
from raymia.records.data import Data
from raymia.report import model_card, readme, terminal
from raymia.report.export import tools
from raymia.report.page import words
from raymia.results.folder import Folder
from raymia.results.location import Location
from raymia.results.row import Row
from raymia.results.sealed import sealed
from raymia.streams import key as sha256
from raymia.study import arguments
from raymia.study.asked import current, left_out
from raymia.trial import deploy as deploying
from raymia.trial.deploy import Deployed

FILES = {"onnx": "model.onnx", "torchscript": "model.pt", "safetensors": "model.safetensors"}
CHECKED = 64  # records on which the file must say what the model says


@click.command()
@arguments.folder
@click.option(
    "--trial", type=int, required=True, metavar="N", help="The trial's number in trials.csv."
)
@click.option(
    "--out",
    type=arguments.FILE,
    metavar="FOLDER",
    help="A new or empty folder; default: deployed-<name>-<trial>.",
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(tuple(FILES)),
    default="onnx",
    show_default=True,
    help="ONNX and TorchScript load without raymia.",
)
@click.option(
    "--secret",
    is_flag=True,
    help="Draw from what nobody can draw again, not from the sweep's seed: DP-SGD's epsilon needs "
    "it.",
)
def deploy(folder: Path | Location, trial: int, out: Path | None, kind: str, secret: bool) -> None:
    """Train the recipe of a trial on all records, and hand the model out with a card that says
    what is known of it. Only reads DIR.
    """
    results = Folder(folder)
    terminal.warn(left_out(results))
    place = out or Path(f"deployed-{results.path.resolve().name}-{trial}")
    _check_new(place, results)
    rows = results.shown(current(results))
    if not rows:
        raise SweepError(f"{results.path} has no trials to deploy: is it a results folder?")
    row, point, records = model_card.chosen(results, rows, trial)
    if records.vectors is not None and kind != "safetensors":
        raise SweepError(
            f"--format: got {kind}; safetensors is allowed: the records of {records.name} are "
            "numbers of words, and only raymia makes them of texts"
        )
    from raymia.training import portable  # torch

    portable.check_installed(kind)
    again = next((one for one in results.confirmed() if one.digest == row.digest), None)
    title = f"{results.path.resolve().name}, trial {trial}: {words.named(row)}"
    with _begun(place) as files:
        click.echo(f"training {row.network} under {words.named(row)}", err=True)
        found = deploying.run(point, records, secret)
        card = _card(row, point, records, found, kind)
        content, card["differs_by"] = portable.file(
            kind,
            found.model,
            [found.world.recipe.parts[point.recipe.index(part)] for part in _inside(found, kind)],
            records.x[:CHECKED],
            {one["input"]: one["categories"] for one in card["columns"]},
            card["class_names"],
        )
        card["sha256"] = sha256(content)
        said = sentences(row, records, found, kind, again)
        (files / FILES[kind]).write_bytes(content)
        (files / "README.md").write_text(readme.text(title, card, said), encoding="utf-8")
        (files / "card.json").write_bytes(sealed(card | {"said": said}, model_card.SEAL))
    click.echo(place / FILES[kind])
    for sentence in chain.from_iterable(said.values()):
        click.echo(f"  {line(sentence)}")


def _check_new(place: Path, results: Folder) -> None:
    tools.outside(place, results)
    try:
        there = os.path.lexists(place) and not (place.is_dir() and not any(place.iterdir()))
    except OSError as error:
        raise EnvironmentFault(f"{place}: {error.strerror or error}") from error
    if there:
        raise SweepError(
            f"{place} is there already, and nothing is overwritten; remove it, or choose another "
            "--out"
        )


@contextlib.contextmanager
def _begun(place: Path) -> Iterator[Path]:
    """A folder that is `place` once it is whole, and nothing where it fails. Raises
    EnvironmentFault, before anything is trained where there can be no such folder.
    """
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".raymia-", dir=place.parent) as beside:
            whole = Path(beside, "whole")
            whole.mkdir()  # with the rights of any new folder
            yield whole
            os.rename(whole, place)
    except OSError as error:
        raise EnvironmentFault(
            f"{place}: {error.strerror or error}; choose another --out"
        ) from error


def _card(row: Row, point: Point, records: Data, found: Deployed, kind: str) -> dict[str, Any]:
    listed, inside = _columns(records), _inside(found, kind)
    card = model_card.described(row, point, records)
    card["point"]["dataset"] = {point.dataset.name: {}}  # where it lies is nobody else's
    card["input"] |= {
        "kind": _kind(records),
        "names": [one["input"] for one in listed if kind == "onnx"] or ["x"],
    }
    return card | {
        "format": kind,
        "file": FILES[kind],
        "parts": [part.name for part in point.recipe],
        "class_names": list(records.names or range(records.classes)),
        "columns": listed,
        "trained_on": found.trained_on,
        "of_records": len(records),
        "facts": dict(found.numbers),
        "facts_of_the_sweep": {name: row.numbers.get(name) for name in found.numbers},
        "released_inside": [part.name for part in inside],
        "released_through": [part.name for part in found.releases if part not in inside],
        "load": model_card.LOAD if kind == "safetensors" else "see README.md",
    }


def _kind(records: Data) -> str:
    """What a record is made of."""
    if records.vectors is not None:
        return "words"
    if records.image:
        return "pixels"
    return "columns" if records.columns else "numbers"


def _inside(found: Deployed, kind: str) -> list[Part]:
    """The parts that release inside the file."""
    return found.inside if kind != "safetensors" else []


def _columns(records: Data) -> list[dict[str, Any]]:
    """Of a table: each column, the name of its input, and its categories in the order of their
    features (None: it is a number). How often a category is there, and the range of numbers, are
    the records', and left out.
    """
    listed: list[dict[str, Any]] = []
    taken = {"logits", "probabilities", ""}
    for column in records.columns:
        name = given = str(column["name"])
        while given in taken:
            given += "_"
        taken.add(given)
        categories = list(column["categories"]) if column["kind"] == "categories" else None
        listed.append({"name": name, "input": given, "categories": categories})
    return listed


def sentences(
    row: Row, records: Data, found: Deployed, kind: str, again: Row | None
) -> dict[str, list[str]]:
    """What is known of a deployed model, and what is not, by heading."""
    whole, left = len(records), len(records) - found.trained_on
    trained = f"trained on all {whole} records of the data set"
    if left:
        aside = left - (found.held if found.trained_on == found.members else 0)
        own = f"{left - aside} are the reference that the recipe takes out of its members"
        kept = f"{aside} are kept out: {found.world.apart}"
        why = " and ".join([own] * (left > aside) + [kept] * (aside > 0))
        trained = f"trained on {found.trained_on} of the {whole} records of the data set: {why}"
    elif found.held:
        trained += f", {found.held} of them as the reference that the recipe learns from"
    return {
        "What it is": [
            f"{row.network} under {words.named(row)}, {trained}",
            "that a record of that data set was trained on is no secret to who has the data set; "
            "which records these are is not told here",
            *found.notes,
        ],
        "What the sweep says of the recipe": [
            f"trial {row.trial}, models trained on a part of the records: {_measured(row, row)}",
            f"confirmed with fresh seeds: {_measured(row, again)}"
            if again
            else "not confirmed with fresh seeds: a point that was chosen looks better than it is",
            *row.notes,
        ],
        "What is not known": [
            "this model was not attacked, and has no test records left: it has no accuracy and no "
            "AUC of its own",
            "the models of the sweep were trained on fewer records; what that changes was not "
            "measured",
        ],
        **_epsilon(row, found),
        **_release(found, kind),
    }


def _measured(row: Row, of: Row) -> str:
    """The numbers that a row is judged by."""
    each = (
        f"{words.measure(name)} {terminal.interval(of.numbers, name)}"
        for name in row.measures
        if of.numbers.get(name) is not None
    )
    worst = f" (strongest attack: {of.worst_attack})" if of.worst_attack else ""
    return ", ".join(each) + worst


def _epsilon(row: Row, found: Deployed) -> dict[str, list[str]]:
    if "epsilon" not in found.numbers:
        return {}
    spent, then = found.numbers["epsilon"], row.numbers.get("epsilon")
    if spent is None:
        return {"Differential privacy": [f"no epsilon: {found.no_epsilon or 'there is no noise'}"]}
    before = "" if then is None else f"; {columns.epsilon(then)} with those of the sweep's models"
    draws = (
        "its draws begin at the system's entropy, which was not kept; the generator is none of "
        "cryptography"
        if found.secret
        else "its noise is drawn from the sweep's seed, and who guesses that seed can take it off "
        "again: promise this epsilon to nobody, or deploy with --secret"
    )
    return {
        "Differential privacy": [
            f"epsilon {columns.epsilon(spent)} at delta {found.numbers['delta']:g}, for "
            f"{found.members} members{before}",
            draws,
            "the search for the knobs on the same data is not in it",
        ]
    }


def _release(found: Deployed, kind: str) -> dict[str, list[str]]:
    if not found.releases:
        return {}
    inside = _inside(found, kind)
    outside = [part.name for part in found.releases if part not in inside]
    said = []
    if inside:
        said.append(
            f"{', '.join(part.name for part in inside)}: inside the graph, whose outputs are as "
            "they were attacked; the weights are in the file, and who has it can take them out"
        )
    if outside:
        said.append(
            f"{', '.join(outside)}: not in the file. The sweep's numbers are of outputs that went "
            "through it; what it hides, these weights show. Put it between the model and whoever "
            "asks, or count on the numbers of the recipe without it"
        )
    return {"What is released": said}
