"""The commands that look at sweep files and at what there is: points, list, cite."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from raymia import machine
from raymia.point import catalog
from raymia.point.catalog import KINDS
from raymia.point.columns import word
from raymia.records import data as datasets
from raymia.study import pilot as pilots
from raymia.study import preflight
from raymia.study import schema as schemas
from raymia.study.arguments import as_json, load, overrides, sweep_file
from raymia.study.sweep import Sweep
from raymia.study.tables import table, warn


@click.command()
@sweep_file
@overrides
@click.option("--pilot", is_flag=True, help="Train one undefended model, and say how it does.")
@as_json
def points(
    sweep: Path, sets: tuple[str, ...], trials: int | None, pilot: bool, as_json: bool
) -> None:
    """Check a sweep without running it: what is read, arms, ranges, models, attacks, cost and
    resources.
    """
    asked = load(sweep, sets, trials)
    found = preflight.outline(asked)
    if pilot:
        found["pilot"] = _pilot(asked)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    table(["arm", "defense", "fixed", "free"], [_arm_line(arm) for arm in found["arms"]])
    for line in preflight.sentences(found):
        click.echo(line)
    if pilot:
        at_once = max(1, int(machine.cpus() / max(asked.resources.cpu, 1e-9)))
        for line in pilots.sentences(found["pilot"], asked, at_once):
            click.echo(line)
        if said := pilots.warning(found["pilot"]):
            warn(said)


def _pilot(asked: Sweep) -> dict[str, Any]:
    """On this machine. Raises RaymiaError where the loss is no number."""
    data = datasets.load(asked.dataset, asked.search.seed)
    return pilots.fly(pilots.of(asked, data), data)


def _arm_line(arm: Mapping[str, Any]) -> list[str]:
    fixed = "  ".join(f"{k}={word(v)}" for k, v in arm["fixed"].items())
    free = "  ".join(f"{k}: {preflight.domain(v)}" for k, v in arm["free"].items())
    return [str(arm["arm"]), arm["defense"], fixed, free]


@click.command(name="list")
@click.argument("kind", required=False, type=click.Choice(KINDS))
@as_json
def list_(kind: str | None, as_json: bool) -> None:
    """What there is: name, one line, knobs with ranges, source."""
    kinds = [kind] if kind else list(KINDS)
    things = [{"kind": k} | catalog.describe(k, name) for k in kinds for name in catalog.names(k)]
    if as_json:
        click.echo(json.dumps(things, indent=2))
        return
    for k in kinds:
        rows = [
            [t["name"], t["summary"], _knobs(t["knobs"]), t["source"], t.get("from", "")]
            for t in things
            if t["kind"] == k
        ]
        click.echo(k)
        table(["name", "what", "knobs", "source", "from"], rows)


def _knobs(knobs: Iterable[Mapping[str, Any]]) -> str:
    spelled = []
    for knob in knobs:
        default = "must be given" if knob["required"] else f"= {json.dumps(knob['default'])}"
        inside = (
            preflight.domain(knob["choices"] if "choices" in knob else knob)
            if {"low", "choices"} & set(knob)
            else ""
        )
        spelled.append(f"{knob['name']} {default} {inside}".strip())
    return "; ".join(spelled)


@click.command()
@sweep_file
@overrides
def cite(sweep: Path, sets: tuple[str, ...], trials: int | None) -> None:
    """Print the BibTeX of what a sweep uses."""
    asked = load(sweep, sets, trials)
    used = [("datasets", asked.dataset), ("networks", asked.network), ("protocols", asked.protocol)]
    used += [("defenses", part) for arm in asked.arms for part in arm] + [
        ("attacks", part) for part in asked.attacks
    ]
    entries = dict.fromkeys(
        str(getattr(catalog.find(kind, part.name), "cite", "")).strip() for kind, part in used
    )
    click.echo("\n\n".join(entry for entry in entries if entry))


@click.command()
def schema() -> None:
    """Print the JSON Schema of a sweep file, for editors."""
    click.echo(json.dumps(schemas.schema(), indent=2))
