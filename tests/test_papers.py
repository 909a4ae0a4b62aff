"""The published tables: files as the script writes them, that can be run, with what was printed."""

import importlib.util
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from raymia.point import catalog
from raymia.records.data import Data
from raymia.study import preflight, sweep
from raymia.study.sweep import Sweep
from raymia.training.defense import Lesson
from raymia.training.fit import fit
from raymia.training.model import Model, builder
from raymia.training.recipe import recipe

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "sweeps" / "papers").glob("*.yaml"))


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("papers", ROOT / "sweeps" / "papers.py")
    assert spec and spec.loader
    module = sys.modules["papers"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["papers"]


@cache
def read(file: Path) -> Sweep:
    return sweep.load(file)


def made_up(name: str, records: int, shape: tuple[int, ...], classes: int) -> Data:
    """Records of the right shape, every class among the labels; one record's numbers for all."""
    kind = np.uint8 if len(shape) == 3 else np.float32
    one = (np.arange(np.prod(shape)) % 2).astype(kind).reshape(1, *shape)
    x = np.broadcast_to(one, (records, *shape))
    vectors = np.ones((2, 50), np.float32) if name == "arxiv10" else None
    return Data(
        name, x, np.arange(records) % classes, classes, image=len(shape) == 3, vectors=vectors
    )


def test_the_files_are_what_the_script_writes(script: ModuleType) -> None:
    made = script.files()
    stale = [path.name for path, text in made.items() if path.read_text() != text]
    assert not stale, f"python sweeps/papers.py: {stale}"
    assert set(FILES) == {path for path in made if path.suffix == ".yaml"} and len(FILES) > 50


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_table_can_be_run_on_records_of_its_shape(file: Path, script: ModuleType) -> None:
    asked = read(file)
    shape = script.SHAPES[asked.dataset.name]
    data = made_up(asked.dataset.name, *shape)
    split = preflight.check(asked, data)
    assert split.models == asked.shape[0]
    assert asked.search.trials >= len(asked.arms)
    for row in asked.published.get("rows", ()):
        for name, value in row.items():
            if "accuracy" in name:
                assert 0 <= value <= 1
            elif name.startswith("auc"):
                # what is printed of a metric attack is its AUC or a spread of it
                assert value < 0.1 if name.endswith("_spread") else 0.5 <= value <= 1


NETWORKS: dict[str, Path] = {}
for path in FILES:
    found = read(path)
    NETWORKS.setdefault(
        str((found.network, found.dataset.name, found.training.get("augment"))), path
    )


@pytest.mark.parametrize("file", NETWORKS.values(), ids=lambda file: file.stem)
def test_the_first_point_takes_a_step(file: Path, script: ModuleType) -> None:
    """Of every network on every data set: the others differ by their defenses and schedules."""
    asked = read(file)
    _, shape, classes = script.SHAPES[asked.dataset.name]
    data = made_up(asked.dataset.name, 2 * classes, shape, classes)
    build = builder(
        catalog.made("networks", asked.network), data.shape, classes, data.mean, data.std,
        data.vectors,
    )  # fmt: skip
    x = torch.as_tensor(np.ascontiguousarray(data.x))
    lesson = Lesson(x, torch.as_tensor(data.y), (np.arange(4),), (np.arange(4, 8),), classes)
    own = asked.schedule(len(data))
    training = replace(own, epochs=1, batch_size=4, milestones=(), stop=None, lr=1e-3)
    (model,) = fit(recipe(asked.recipe(0, asked.default(0))), build, lesson, training, (0,), [0])
    assert isinstance(model, Model)
    before = dict(build().named_parameters())
    moved = [n for n, p in model.network.named_parameters() if not torch.equal(p, before[n])]
    assert moved and all(torch.isfinite(p).all() for p in model.network.parameters())


def test_costs_are_three_passes_of_two_operations(script: ModuleType) -> None:
    """SRCM's tables by the arithmetic of the design notes: 5.0 PFLOP a ResNet-18 of 100 epochs on
    15,000 records of CIFAR-10, its 555 million multiplications.
    """
    assert script.multiplications('{"resnet18": {}}', (3, 32, 32), 10) == pytest.approx(
        555e6, rel=5e-3
    )
    (entry,) = [e for e in script.srcm_tables() if e.name == "srcm-table1-cifar10-resnet18"]
    networks = 6 * entry.body()["search"]["trials"]
    assert script.pflop(entry) == pytest.approx(
        6 * 555e6 * 15_000 * 100 * networks / 1e15, rel=0.01
    )


def test_a_state_is_read_off_what_was_run(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (entry,) = [e for e in script.poster() if e.name.endswith("cifar10-resnet20")]
    monkeypatch.setattr(script, "DOCS", tmp_path)
    assert script.runs(entry) == []
    own = {k: v for k, v in sweep.parse(script.text_of(entry)).resolved().items()}
    row = {"arm": 0, "runs": 1}
    kept: dict[str, Any] = {"rows": [row], "arms_run": [0], "sweep": own, "versions": {}}
    file = tmp_path / "published" / f"{entry.name}.json"
    file.parent.mkdir()
    file.write_text(json.dumps(kept))
    assert script.runs(entry) == [("1 of 2 arms run here, at full size", [row])]
    own["training"] = {**own["training"], "epochs": 3}
    file.with_suffix(".short.json").write_text(json.dumps(kept))
    _, (said, _) = script.runs(entry)
    assert said == "1 of 2 arms run here, with training.epochs 3"
