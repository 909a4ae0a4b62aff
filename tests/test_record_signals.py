"""What models say of single records without an attack: probability of the label, loss, margin,
and the norm of the features.
"""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.numpy import load_file
from torch import nn

from raymia.errors import SweepError
from raymia.point.point import Point
from raymia.records import canaries
from raymia.records.canaries import KINDS
from raymia.records.data import Data, load
from raymia.report import commands
from raymia.results.folder import Folder
from raymia.results.row import Row
from raymia.signals import queries
from raymia.signals.observe import Work, loaded
from raymia.signals.observe import load as load_signals
from raymia.signals.queries import Subject
from raymia.signals.world import World, of
from raymia.streams import stream
from raymia.study import sweep
from raymia.training.model import Model
from raymia.training.network import classifier
from raymia.trial import run as trial
from raymia.trial.record_signals import signals

TEXT = """
name: signals
dataset: {{digits: {{records: 160}}}}
network: {{mlp: {{width: 16}}}}
protocol: {{coin: {{models: 4, targets: 2, reserve: 0.2}}}}
defenses: [[{defense}]]
attacks: [loss]
training: {{epochs: 4, lanes: 4}}
canaries: {{mislabelled: 8, blank: 4}}
"""


def made(root: Path, defense: str = "temperature: {t: 3.0}") -> tuple[Row, Data, World]:
    file = sweep.parse(TEXT.format(defense=defense))
    data = load(file.dataset, 0)
    row = trial.run(file.point(0, file.default(0), 0, data), data, root)
    return row, data, of(Point.from_json(row.point), data.units)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Row, Data, World, Path]:
    root = tmp_path_factory.mktemp("signals")
    return (*made(root), root)


def test_they_are_of_the_released_probabilities(kept: tuple[Row, Data, World, Path]) -> None:
    row, data, world, root = kept
    said = load_signals(world, root, ("logits",))
    found = list(signals(row, root))
    split = world.split
    assert {s.target for s in found} == set(split.targets.tolist())
    for t, m in enumerate(split.targets.tolist()):
        mine = [s for s in found if s.target == m]
        assert [s.record for s in mine] == np.flatnonzero(split.judged[t]).tolist()
        z = said.arrays["logits"][m].astype(float)
        p = np.exp(z) / np.exp(z).sum(-1, keepdims=True)
        for s in mine:
            own = p[s.record]
            others = np.delete(own, own.argmax())
            assert s.p_true == pytest.approx(own[said.labels[s.record]], rel=1e-9)
            assert s.loss == pytest.approx(-np.log(own[said.labels[s.record]]), rel=1e-9)
            assert s.margin == pytest.approx(own.max() - others.max(), abs=1e-12)
            assert s.member == split.member[m, s.record] and s.row == data.rows[s.record]
            assert s.canary == ("", *KINDS)[world.kinds[s.record]] and s.feature_norm is None
    planted = list(signals(row, root, planted=True))
    assert planted == [s for s in found if s.canary] and len({s.record for s in planted}) == 12


def test_norms_are_those_of_the_networks_that_were_kept(
    kept: tuple[Row, Data, World, Path],
) -> None:
    """By hand from their weights: the hidden layer before the head, whatever is released. A
    planted record has the norm of its pixels, not of its label.
    """
    row, data, world, root = kept
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    found = list(signals(row, root, norms=True))
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before
    assert [replace(s, feature_norm=None) for s in found] == list(signals(row, root))
    point = world.point
    planted = canaries.plant(data, world.kinds, point.seed, point.replicate)
    assert (planted.x != data.x).any()
    for m in world.split.targets.tolist():
        weights = load_file(root / world.base.key / f"model-{m}.safetensors")
        hidden = planted.x.reshape(len(data), -1).astype(float)
        hidden /= 255 if data.x.dtype == np.uint8 else 1
        (mean,), (std,) = data.mean, data.std
        hidden = (hidden - mean) / std
        layers = sorted({k.rsplit(".", 1)[0] for k in weights if k.startswith("backbone")})
        for name in layers:
            hidden = np.maximum(hidden @ weights[f"{name}.weight"].T + weights[f"{name}.bias"], 0)
        norm = np.sqrt((hidden**2).sum(1))
        for s in (s for s in found if s.target == m):
            assert s.feature_norm == pytest.approx(norm[s.record], rel=1e-4)


def test_the_norm_is_of_what_the_head_is_given() -> None:
    """With no layer before the head it is that of the record, on both sides of a chunk's end."""
    x = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
    network = classifier(nn.Identity(), 4, 3)
    network.eval().requires_grad_(False)
    model, y = Model(network, torch.float32), torch.zeros(300, dtype=torch.int64)
    asked = Subject(model, lambda z: 0 * z, torch.tensor(x), y, stream("test"), np.arange(3))
    found = queries.feature_norm(asked)["feature_norm"]
    np.testing.assert_allclose(found, np.linalg.norm(x, axis=1), rtol=1e-6)


def test_norms_that_were_demanded_in_the_trial_are_not_asked_again(
    tmp_path: Path, kept: tuple[Row, Data, World, Path]
) -> None:
    row, data, world, root = kept
    made(tmp_path)
    planted = canaries.plant(data, world.kinds, world.point.seed, world.point.replicate)
    for group in world.groups:
        Work(world, planted, ("acted", "feature_norm", "logits"), tmp_path)(group)
    loaded.cache_clear()
    for weights in tmp_path.rglob("*.safetensors"):
        weights.unlink()
    found = [s.feature_norm for s in signals(row, tmp_path)]
    assert found == pytest.approx([s.feature_norm for s in signals(row, root, norms=True)])


def test_what_was_not_kept_is_said(kept: tuple[Row, Data, World, Path], tmp_path: Path) -> None:
    row, _, _, _ = kept
    with pytest.raises(SweepError, match="keep_signals: all"):
        next(signals(row, tmp_path))
    with pytest.raises(SweepError, match="is failed"):
        next(signals(replace(row, state="failed"), tmp_path))
    bare, _, world = made(tmp_path)
    for m in world.split.targets.tolist():
        (tmp_path / world.base.key / f"model-{m}.safetensors").unlink()
    with pytest.raises(SweepError, match="keep_signals: all"):
        next(signals(bare, tmp_path, norms=True))


def test_several_networks_have_no_features(tmp_path: Path) -> None:
    row, _, _ = made(tmp_path, "stacking")
    assert next(signals(row, tmp_path)).feature_norm is None
    with pytest.raises(SweepError, match="no one network: there are no features"):
        next(signals(row, tmp_path, norms=True))


def test_the_command_prints_a_line_a_record_and_target(tmp_path: Path) -> None:
    row, _, world = made(tmp_path / "signals")
    Folder(tmp_path).write(replace(row, trial=0))
    result = CliRunner().invoke(commands.scores, [str(tmp_path), "--trial", "0", "--signals"])
    lines = list(csv.DictReader(result.stdout.splitlines()))
    assert result.exit_code == 0 and len(lines) == int(world.split.judged.sum())
    assert list(lines[0])[5:] == ["p_true", "loss", "margin", "feature_norm"]
    first = next(signals(row, tmp_path / "signals"))
    assert float(lines[0]["margin"]) == first.margin and lines[0]["feature_norm"] == ""
    more = ["--trial", "0", "--signals", "--norms", "--canaries"]
    result = CliRunner().invoke(commands.scores, [str(tmp_path), *more])
    planted = list(csv.DictReader(result.stdout.splitlines()))
    assert 0 < len(planted) < len(lines) and all(float(one["feature_norm"]) > 0 for one in planted)


@pytest.mark.parametrize("wrong", [["--signals", "--records"], ["--norms"]])
def test_options_that_do_not_go_together_are_refused(tmp_path: Path, wrong: list[str]) -> None:
    result = CliRunner().invoke(commands.scores, [str(tmp_path), "--trial", "0", *wrong])
    assert result.exit_code == 2 and "allowed" in result.output
