"""A finished sweep that the tests of exports share."""

import csv
from pathlib import Path

from click.testing import CliRunner, Result

from raymia import cli

Lines = list[dict[str, str]]
TEXT = """
name: away
dataset: {digits: {records: 120}}
network: {mlp: {width: 16}}
protocol: {coin: {models: 4, targets: 2, reserve: 0.2}}
defenses:
  - []
  - [relaxloss: {alpha: {low: 0.0, high: 2.0}}]
  - [srcm: {r1: {low: 3, high: 25}, d: 1, all_on: [true, false]}]
  - [rounding]
  - [stacking]
attacks: [baseline, loss, loss: {threshold: known}]
training: {epochs: 2, lanes: 2}
search: {trials: 8, seed: 3}
"""
SET = [
    (0, {}),
    (1, {"relaxloss.alpha": 0.5}),
    (2, {"srcm.r1": 10.5, "srcm.all_on": True}),
    (3, None),
    (4, None),
]


def run(folder: Path | str, tool: str, out: Path | None, *more: str) -> Result:
    given = [] if out is None else ["--out", str(out)]
    return CliRunner().invoke(cli.main, ["export", str(folder), "--to", tool, *given, *more])


def lines(folder: Path, name: str) -> Lines:
    with open(folder / name, newline="") as file:
        return list(csv.DictReader(file))
