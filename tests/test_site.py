"""The reference is of the code as it is: no column, key or command without a word."""

import csv
import importlib.util
import io
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from raymia.cli import COMMANDS
from raymia.point import catalog
from raymia.point.schedule import Training
from raymia.records import canaries
from raymia.records.data import load
from raymia.results.row import Row
from raymia.results.tables import tables
from raymia.study import sweep
from raymia.trial import run as trial

ROOT = Path(__file__).parent.parent
SWEEP = """
name: all-columns
dataset: {digits: {records: 160}}
network: mlp
protocol: {coin: {models: 4, targets: 2, reserve: 0.2}}
defenses:
  - [dpsgd: {sigma: 1.0}]
  - [mmd: {weight: 1.0}]
  - [advreg: {share: 0.3}, relaxloss: {alpha: 1.0}]
attacks: [baseline, loss]
attacker: plain
training: {epochs: 1}
canaries: {mislabelled: 8, blank: 2}
search: {trials: 3}
"""
RARE = {"dtc_members", "dtc_nonmembers", "dtc_gap"}  # of an attack that takes a minute here


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "docs/site/reference.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules["reference"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def finished() -> list[Row]:
    """Of every arm, one of them weighed by something else, with a number of everything."""
    study = sweep.parse(SWEEP)
    data = load(study.dataset, 0)
    rows = []
    for arm in range(len(study.arms)):
        row = trial.run(study.point(arm, study.default(arm), 0, data), data)
        rows.append(replace(row, trial=arm, timing={"train": 1.0, "attack": 1.0, "total": 2.0}))
    low = {"max_tpr_at_fpr_0.01": 0.1, "tpr_at_fpr_0.001.loss": 0.1, "train_top5_accuracy": 1.0}
    rows[0] = replace(rows[0], objective="advantage", numbers={**rows[0].numbers, **low})
    return rows


def test_every_column_of_every_table_has_a_meaning(reference: Any) -> None:
    rows = finished()
    with zipfile.ZipFile(ROOT / "tests/chaos/folder-506e37f.zip") as old:
        texts = [old.read(name).decode() for name in old.namelist() if name.endswith(".csv")]
    texts += [data.decode() for data in tables(rows, rows).values()]
    names = {name for text in texts for name in next(csv.reader(io.StringIO(text)))}
    assert len(names) > 150
    assert not {name for name in names if reference.meaning(name) is None}
    # and no word is of a column that there is not
    used = {reference.meaning(name) for name in names}
    assert set(reference.COLUMNS) - used == RARE
    assert reference.meaning("auc.lira[mode=online]") == "auc.*"
    assert reference.meaning("auc_lo.lira") == "auc.*" and reference.meaning("nonsense") is None
    assert reference.meaning("relaxloss.nonsense") is None


def test_the_reference_names_every_key_command_and_part(reference: Any) -> None:
    pages = reference.pages()
    for key in (*sweep.KEYS, *catalog.knobs(Training), "time_limit", "sampler", *canaries.KINDS):
        assert f"| `{key}` |" in pages["sweep-file"], key
    for name in COMMANDS:
        assert f"## raymia {name}\n" in pages["commands"], name
    for kind in catalog.KINDS:
        for name in catalog.own_names(kind):
            assert f"## {name}\n" in pages[kind], name
            for knob in catalog.knobs(catalog.find(kind, name)):
                assert f"| `{knob}` |" in pages[kind], (name, knob)
