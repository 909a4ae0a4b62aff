"""A small finished results folder, made without Ray, and how its commands are called."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from click.testing import CliRunner, Result

import raymia.cluster
from raymia import cli
from raymia.cluster import driver
from raymia.records.account import account
from raymia.records.data import load
from raymia.report import watch
from raymia.results.folder import Folder
from raymia.study import sweep
from raymia.trial import confirm
from raymia.trial import run as trial

PART = "label_smoothing"  # of the second arm
CODES = {0, 1, 2, 3, 4, 130, 143}  # of the contract
TEXT = """\
name: tiny
dataset: {digits: {records: 120}}
network: {mlp: {width: 16}}
protocol: {coin: {models: 4, targets: 2, reserve: 0.2}}
defenses: [[], [label_smoothing: {epsilon: [0.1, 0.3]}]]
attacks: [baseline, loss]
training: {epochs: 8, batch_size: 8, lanes: 4}
search: {trials: 3, seed: 0}
published:
  source: nobody
  rows: [{arm: 0, test_accuracy: 0.5}]
"""


def make(path: Path, text: str = TEXT, confirmed: bool = True) -> Path:
    """Three trials with their signals, two fresh draws of each point of the front, the tables."""
    asked = sweep.parse(text)
    data, folder = load(asked.dataset, asked.search.seed), Folder(path)
    folder.write_sweep(sweep.dump(asked.resolved()))
    folder.write_json("account.json", account(data))
    knobs = [(0, {}), *((1, {f"{PART}.epsilon": epsilon}) for epsilon in (0.1, 0.3))]
    for i, (arm, chosen) in enumerate(knobs):
        row = trial.run(asked.point(arm, chosen, 0, data), data, path / "signals")
        folder.write(replace(row, trial=i))
    folder.derive()
    if confirmed:
        confirm.run(folder, data, 2)
    return path


class Started(Exception):
    """A command was about to start Ray, or to serve."""


@contextmanager
def no_ray() -> Iterator[None]:
    """Whatever would start Ray, or serve, raises Started."""

    def started(*_: Any, **__: Any) -> Any:
        raise Started

    fakes: dict[str, ModuleType | None] = {"tasks": None}
    before = {name: sys.modules.pop(f"raymia.cluster.{name}", None) for name in fakes}
    fakes["tasks"] = fake = ModuleType("raymia.cluster.tasks")
    fake.everywhere = started  # type: ignore[attr-defined]
    _stand(fakes)
    run, driver.run = driver.run, started
    serve, watch.serve = watch.serve, started
    try:
        yield
    finally:
        driver.run, watch.serve = run, serve
        _stand(before)


def _stand(modules: dict[str, ModuleType | None]) -> None:
    for name, module in modules.items():
        if module is not None:
            sys.modules[f"raymia.cluster.{name}"] = module
            setattr(raymia.cluster, name, module)
        else:
            sys.modules.pop(f"raymia.cluster.{name}", None)
            vars(raymia.cluster).pop(name, None)


def call(*arguments: str) -> Result:
    """A command of the command line, in this process, without Ray."""
    with no_ray():
        return CliRunner().invoke(cli.main, list(arguments))


def refused(result: Result, code: int = 2) -> str:
    """The one line with which a command refused. Every other line is a warning before it."""
    said = result.stderr.splitlines()
    assert isinstance(result.exception, SystemExit), repr(result.exception)
    assert result.exit_code == code, (result.exit_code, said)
    assert said[-1].startswith("raymia: ") and said[-1].isprintable(), said
    assert not any(line.startswith("raymia: ") for line in said[:-1]), said
    assert len(said[-1]) < 4000 and "Traceback" not in result.output
    return said[-1]
