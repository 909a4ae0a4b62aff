"""What `raymia schema` prints: it takes every good sweep file, and refuses what one value is wrong
by.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bad_files import FILES, GOOD
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from raymia import cli
from raymia.errors import SweepError
from raymia.point import catalog
from raymia.point.space import Range
from raymia.study import strict_yaml, sweep
from raymia.study.schema import schema

ROOT = Path(__file__).parents[1]
SWEEPS = sorted((ROOT / "sweeps").rglob("*.yaml"))
SCHEMA = schema()
VALID = Draft202012Validator(SCHEMA)


def refused(text: str) -> bool:
    return not VALID.is_valid(strict_yaml.parse(text, "x").plain())


def test_it_is_a_schema_and_the_command_prints_it() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    done = CliRunner().invoke(cli.main, ["schema"])
    assert done.exit_code == 0 and json.loads(done.output) == json.loads(json.dumps(SCHEMA))


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_sweep_is_valid_as_written_and_as_resolved(path: Path) -> None:
    written = strict_yaml.read(path).plain()
    assert [error.message for error in VALID.iter_errors(written)] == []
    resolved = strict_yaml.parse(sweep.dump(sweep.load(path).resolved()), "x").plain()
    assert [error.message for error in VALID.iter_errors(resolved)] == []


def read(text: str) -> bool:
    try:
        strict_yaml.parse(text, "x")
    except SweepError:
        return False
    return True


def test_most_bad_files_are_refused_and_the_good_one_is_not() -> None:
    """Of those that are YAML; the rest an editor marks by itself. What is left stands between two
    keys (more targets than pairs of models), or is a class's own rule (8 records at least).
    """
    assert not refused(GOOD)
    bad = [GOOD.replace(old, new) for old, new, _ in FILES]
    held = [text for text in bad if read(text)]
    found = sum(map(refused, held))
    assert len(held) == 200 and found >= 186, (found, len(held))


def keys(at: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every key that a mapping of the schema names, with its own schema."""
    if isinstance(at, dict):
        for name, value in at.get("properties", {}).items():
            yield name, value
        for value in at.values():
            yield from keys(value)
    elif isinstance(at, list):
        for value in at:
            yield from keys(value)


def test_every_key_is_described_and_no_other_is_allowed() -> None:
    found = list(keys(SCHEMA))
    assert len(found) > 300
    assert [name for name, value in found if len(value.get("description", "")) < 5] == []
    for kind in catalog.KINDS:
        named = SCHEMA["$defs"][kind]["anyOf"][-1]
        assert set(named["properties"]) == set(catalog.names(kind))
        assert named["additionalProperties"] is False


BOUNDED = [
    (kind, name, knob)
    for kind in catalog.KINDS
    for name in catalog.names(kind)
    for knob in catalog.knobs(catalog.find(kind, name)).values()
    if isinstance(knob.domain, Range) and knob.domain.least is not None
]


def test_bounds_are_those_that_a_knob_checks() -> None:
    assert len(BOUNDED) > 50
    for kind, name, knob in BOUNDED:
        part = VALID.evolve(schema={**SCHEMA["$defs"][kind], "$defs": SCHEMA["$defs"]})
        least, most = knob.domain.least, knob.domain.most
        whole = int in (knob.annotation, *getattr(knob.annotation, "__args__", ()))
        number = int if whole else float
        ends = [(number(least), True), (number(least) - 1, False)]
        ends += [] if most is None else [(number(most), True), (number(most) + 1, False)]
        for value, right in ends:
            assert part.is_valid({name: {knob.name: value}}) == right, (name, knob, value)
            assert part.is_valid({name: {knob.name: [value]}}) == (right and kind == "defenses")
        assert not part.is_valid({name: {knob.name: "much"}})


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("defenses: [[relaxloss: {alpha: {low: 0, high: 1, log: false}}]]", True),
        ("defenses: [[relaxloss: {alpha: {low: 0}}]]", False),
        ("defenses: [[relaxloss: {variant: {low: 0, high: 1}}]]", False),
        ("defenses: [[relaxloss: {variant: [paper, jek]}]]", True),
        ("defenses: [[relaxloss: {alpha: [0.5, 0.5]}]]", False),
        ("defenses: [[srcm: {}, training: {epochs: [5, 6]}]]", True),
        ("defenses: [[mine/own.py:Shrink]]", True),
        ("defenses: [[mine/own.py:Shrink: {alpha: 3}]]", True),
        ("dataset: table", False),
        ("dataset: {table: {path: x.csv, label: 0}}", True),
        ("dataset: {table: {path: [x.csv, y.csv], label: y, decimal: ','}}", True),
        ("dataset: {table: {path: x.csv}}", False),
        ("resources: {gpu: 0.25}", True),
        ("resources: {gpu: 2}", True),
        ("resources: {gpu: 1.5}", False),
        ("search: {race: null, from: [], constraints: {}}", True),
        ("search: {from: [x]}", False),
        ("training: {scale: {mean: 0, std: [1, 2]}}", True),
        ("training: null", True),
        ("network: {kaya_vgg: {layers: 5}}", False),
    ],
)
def test_spellings(text: str, right: bool) -> None:
    given = strict_yaml.parse(GOOD, "x").plain() | strict_yaml.parse(text, "x").plain()
    assert VALID.is_valid(given) == right
