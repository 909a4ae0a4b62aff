"""Into other tools: the same numbers, the same front, the same model; and the results folder is only read."""

import csv
import hashlib
import importlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result

from raymia import cli
from raymia.errors import EnvironmentFault
from raymia.point.point import Point
from raymia.records import data
from raymia.report import model_card as card
from raymia.report.export import tools as export
from raymia.results.folder import Folder
from raymia.results.local import Local
from raymia.results.row import Row
from raymia.results.store import Store
from raymia.results.tables import _cell
from raymia.signals import world
from raymia.study import sweep
from raymia.trial import run as trial

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
SET = [(0, {}), (1, {"relaxloss.alpha": 0.5}), (2, {"srcm.r1": 10.5, "srcm.all_on": True}), (3, None), (4, None)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of five trials that were made, one that failed and one of which a number is unknown."""
    asked, out = sweep.parse(TEXT), Folder(tmp_path_factory.mktemp("results") / "away")
    records = data.load(asked.dataset, asked.search.seed)
    out.write_sweep(sweep.dump(asked.resolved()))
    for i, (arm, knobs) in enumerate(SET):
        point = asked.point(arm, asked.default(arm) if knobs is None else knobs, 0, records)
        out.write(replace(trial.run(point, records, Path(out.path, "signals")), trial=i))
    first = out.rows()[0]
    for i, change in ((5, {"state": "failed", "reason": "=it, broke", "numbers": {}, "attacks": []}), (6, {})):
        point = asked.point(1, {"relaxloss.alpha": float(i - 5)}, 1, records)
        named = {"digest": point.digest(), "point": point.to_json(), "knobs": dict(point.knobs), "defense": point.defense}
        numbers = first.numbers | {"max_attack_auc": None}
        out.write(replace(first, **{"trial": i, **named, "numbers": numbers, **change}))
    out.derive()
    assert isinstance(out.path, Path)
    return out.path


@pytest.fixture(autouse=True)
def nothing_changes(folder: Path) -> Any:
    """Whatever a test does, the results folder is as it was before."""

    def state() -> dict[str, tuple[str, int]]:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return {str(f): (hashlib.sha256(f.read_bytes()).hexdigest(), f.stat().st_mtime_ns) for f in files}

    before = state()
    yield
    assert state() == before


def run(folder: Path | str, tool: str, out: Path | None, *more: str) -> Result:
    given = [] if out is None else ["--out", str(out)]
    return CliRunner().invoke(cli.main, ["export", str(folder), "--to", tool, *given, *more])


def lines(folder: Path, name: str) -> Lines:
    with open(folder / name, newline="") as file:
        return list(csv.DictReader(file))


# ---- parquet ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["trials", "attacks", "pareto", "timing"])
def test_parquet_holds_the_cells_of_the_csv_typed(folder: Path, tmp_path: Path, name: str) -> None:
    from pyarrow import parquet

    done = run(folder, "parquet", tmp_path / "out")
    assert (done.exit_code, done.output) == (0, f"{tmp_path / 'out'}\n")
    table, cells = parquet.read_table(tmp_path / "out" / f"{name}.parquet"), lines(folder, f"{name}.csv")
    assert table.num_rows == len(cells) and table.column_names == list(cells[0])
    for found, written in zip(table.to_pylist(), cells, strict=True):
        assert {key: _cell(value) for key, value in found.items()} == {
            key: _cell(text) if "'" in text else text for key, text in written.items()
        }


def test_parquet_columns_have_the_types_of_what_they_hold(folder: Path, tmp_path: Path) -> None:
    from pyarrow import parquet

    run(folder, "parquet", tmp_path / "out")
    types = {f.name: str(f.type) for f in parquet.read_schema(tmp_path / "out" / "trials.parquet")}
    assert {types[n] for n in ("trial", "seed", "models", "members")} == {"int64"}
    assert {types[n] for n in ("test_accuracy", "auc.loss", "relaxloss.alpha", "srcm.r1", "epsilon")} == {"double"}
    assert types["srcm.all_on"] == "bool" and {types[n] for n in ("digest", "reason", "worst_attack", "notes")} == {"string"}
    front = {f.name: str(f.type) for f in parquet.read_schema(tmp_path / "out" / "pareto.parquet")}
    assert front == types


# ---- optuna ----------------------------------------------------------------------------------------------------------


def test_the_study_has_the_front_and_the_space_of_the_sweep(folder: Path, tmp_path: Path) -> None:
    import optuna
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    assert run(folder, "optuna", tmp_path / "out").exit_code == 0
    storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path}/out/study.db")
    study = optuna.load_study(study_name="away", storage=storage)
    rows = Folder(folder).rows()
    assert [d.name for d in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert study.metric_names == ["test_accuracy", "max_attack_auc"]
    best: dict[tuple[float, ...], int] = {}  # Optuna shows all of equal trials, the front the first
    for one in sorted(study.best_trials, key=lambda t: int(t.user_attrs["trial"])):
        best.setdefault(tuple(one.values), one.user_attrs["trial"])
    assert set(best.values()) == {int(line["trial"]) for line in lines(folder, "pareto.csv")}
    for found, row in zip(study.trials, rows, strict=True):
        known = row.state == "done" and row.numbers["max_attack_auc"] is not None
        assert found.state.name == ("COMPLETE" if known else "FAIL")
        assert found.values == ([row.numbers["test_accuracy"], row.numbers["max_attack_auc"]] if known else None)
        assert all(found.user_attrs[n] == getattr(row, n) for n in ("digest", "defense", "worst_attack", "signals", "knobs"))
    assert study.trials[1].params == {"arm": 1, "1.relaxloss.alpha": 0.5}
    assert study.trials[2].distributions == {
        "arm": CategoricalDistribution((0, 1, 2, 3, 4)),
        "2.srcm.r1": FloatDistribution(3.0, 25.0),
        "2.srcm.all_on": CategoricalDistribution((True, False)),
    }
    storage.remove_session()
    storage.engine.dispose()


# ---- trackers, where they are installed ------------------------------------------------------------------------------


def names(row: Row) -> dict[str, float]:
    """Numbers by the names that trackers take."""
    known = {name: value for name, value in row.numbers.items() if value is not None}
    return {name.replace("[threshold=known]", "_threshold_known"): value for name, value in known.items()}


def test_tensorboard_has_a_run_with_hparams_and_scalars_a_row(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    done = run(folder, "tensorboard", tmp_path / "out")
    assert done.exit_code == 0, done.output
    for row in Folder(folder).rows():
        events = EventAccumulator(str(tmp_path / "out" / f"trial-{row.trial}-{row.digest[:8]}"))
        events.Reload()
        found = {name: events.Scalars(name)[0].value for name in events.Tags()["scalars"]}
        assert found == {n: pytest.approx(v, rel=1e-6) for n, v in names(row).items() if n in found}
        assert set(found) >= {"test_accuracy"} or row.state == "failed"
        assert "_hparams_/session_start_info" in events.summary_metadata


def test_mlflow_has_a_run_a_row(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    code = f"""
import json, mlflow
client = mlflow.MlflowClient("sqlite:///{tmp_path}/out/mlflow.db")
runs = client.search_runs([client.get_experiment_by_name("away").experiment_id], order_by=["attributes.start_time"])
print(json.dumps([[r.data.tags["trial"], r.info.status, r.data.params, r.data.metrics, r.data.tags] for r in runs]))
"""
    done = subprocess.run([sys.executable, "-m", "raymia.cli", *_arguments(folder, "mlflow", tmp_path / "out")])
    assert done.returncode == 0
    read = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    found = {int(trial): rest for trial, *rest in json.loads(read.splitlines()[-1])}
    for row in Folder(folder).rows():
        status, params, metrics, tags = found.pop(row.trial)
        assert status == ("FINISHED" if row.state == "done" else "FAILED") and tags["digest"] == row.digest
        assert metrics == pytest.approx(names(row)) and params["defense"] == row.defense
        assert {key: params[key] for key in row.knobs} == {key: str(value) for key, value in row.knobs.items()}
    assert not found


def test_mlflow_takes_a_server_and_overwrites_nothing_there(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    server = f"sqlite:///{tmp_path}/server.db"
    command = [sys.executable, "-m", "raymia.cli", *_arguments(folder, "mlflow", tmp_path / "out")[:4]]
    env = os.environ | {"MLFLOW_TRACKING_URI": server}
    done = [subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True) for _ in range(2)]
    assert [(d.returncode, d.stdout) for d in done] == [(0, "MLFLOW_TRACKING_URI\n"), (2, "")]
    assert "an experiment 'away'" in done[1].stderr and [p.name for p in tmp_path.iterdir()] == ["server.db"]


def test_wandb_has_an_offline_run_a_row(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    assert subprocess.run([sys.executable, "-m", "raymia.cli", *_arguments(folder, "wandb", tmp_path / "out")]).returncode == 0
    made = list((tmp_path / "out" / "wandb").glob("offline-run-*/run-*.wandb"))
    assert {path.stem.removeprefix("run-") for path in made} == {row.digest[:32] for row in Folder(folder).rows()}


def _arguments(folder: Path, tool: str, out: Path) -> list[str]:
    return ["export", str(folder), "--to", tool, "--out", str(out)]


@pytest.mark.parametrize("tool", ["mlflow", "wandb", "tensorboard"])
def test_a_library_that_is_not_there_is_named(folder: Path, tmp_path: Path, tool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (tool, "torch.utils.tensorboard"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    done = run(folder, tool, tmp_path / "out")
    assert done.exit_code == 3 and f"pip install {tool}" in done.output and done.output.count("\n") == 1
    assert not (tmp_path / "out").exists()


# ---- model -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "model"), [(0, None), (1, 2), (2, 3), (3, 0)])
def test_the_model_that_is_loaded_gives_the_stored_logits(folder: Path, tmp_path: Path, number: int, model: int | None) -> None:
    import torch

    more = [] if model is None else ["--model", str(model)]
    done = run(folder, "model", tmp_path / "out", "--trial", str(number), *more)
    assert (done.exit_code, done.output) == (0, f"{tmp_path / 'out'}\n")
    row, told = Folder(folder).rows()[number], json.loads((tmp_path / "out" / "card.json").read_text())
    point, m = Point.from_json(row.point), model or 0
    place = world.of(point, 0).base.key
    stored = Store(Local(folder / "signals"), place).get(f"model-{m}.npz", told["key"])
    assert stored is not None
    records = data.load(point.dataset, point.seed)
    loaded = card.load(tmp_path / "out")
    with torch.no_grad():
        logits = loaded(torch.as_tensor(records.x)).numpy()
    np.testing.assert_allclose(logits, np.load(folder / "signals" / place / f"model-{m}.npz")["logits"], rtol=1e-5, atol=1e-6)
    assert told["numbers"]["test_accuracy"] == row.numbers["test_accuracy"]
    assert (told["digest"], told["model"], told["role"]) == (row.digest, m, "target" if m % 2 == 0 else "shadow")
    assert told["released_through"] == (["rounding"] if number == 3 else [])


def test_the_card_tells_no_members_and_loads_as_it_says(folder: Path, tmp_path: Path) -> None:
    run(folder, "model", tmp_path / "out", "--trial", "2")
    told = json.loads((tmp_path / "out" / "card.json").read_text())
    assert not {"seed", "replicate", "protocol", "member", "members"} & (set(told) | set(told["point"]))
    code = told["load"].replace("FOLDER", str(tmp_path / "out"))
    code = "import torch; x = torch.zeros(3, *{shape})\n{code}\nprint(*logits.shape)".format(code=code, **told["input"])
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "3 10\n"


def test_a_model_that_was_changed_is_refused(folder: Path, tmp_path: Path) -> None:
    run(folder, "model", tmp_path / "out", "--trial", "0")
    weights = tmp_path / "out" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(EnvironmentFault, match="export it again"):
        card.load(tmp_path / "out")


@pytest.mark.parametrize(
    ("spoil", "code", "said"), [("bytes", 3, "damaged"), ("index", 2, "keep_signals: all"), ("file", 2, "keep_signals: all")]
)
def test_a_model_that_is_not_whole_is_not_copied(folder: Path, tmp_path: Path, spoil: str, code: int, said: str) -> None:
    import shutil

    copied = Path(shutil.copytree(folder, tmp_path / "copy"))
    row = Folder(folder).rows()[0]
    file = copied / "signals" / row.signals / ("index.json" if spoil == "index" else "model-0.safetensors")
    file.unlink() if spoil != "bytes" else file.write_bytes(file.read_bytes() + b" ")
    done = run(copied, "model", tmp_path / "out", "--trial", "0")
    assert done.exit_code == code and said in done.output and done.output.count("\n") == 1
    assert not (tmp_path / "out").exists()


# ---- what is refused -------------------------------------------------------------------------------------------------

REFUSED = [
    ("model", (), "--trial: got None"),
    ("model", ("--trial", "99"), "--trial: got 99"),
    ("model", ("--trial", "4"), "stacking"),
    ("model", ("--trial", "5"), "trial 5 is failed"),
    ("model", ("--trial", "0", "--model", "4"), "0 to 3 is allowed"),
    ("model", ("--trial", "0", "--model", "-1"), "0 to 3 is allowed"),
    ("parquet", ("--trial", "0"), "--to model"),
]


@pytest.mark.parametrize(("tool", "more", "said"), REFUSED)
def test_bad_arguments_are_refused_and_leave_nothing(
    folder: Path, tmp_path: Path, tool: str, more: tuple[str, ...], said: str
) -> None:
    done = run(folder, tool, tmp_path / "out", *more)
    assert done.exit_code == 2 and said in done.output and done.output.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_other_records_are_refused(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = data.load
    monkeypatch.setattr(data, "load", lambda part, seed: right(part, seed + 1))
    done = run(folder, "model", tmp_path / "out", "--trial", "0")
    assert done.exit_code == 2 and "are not those of the sweep" in done.output


@pytest.mark.parametrize("tool", [*export.TOOLS, "model"])
def test_nothing_is_overwritten(folder: Path, tmp_path: Path, tool: str) -> None:
    (tmp_path / "mine").write_text("here")
    done = run(folder, tool, tmp_path, "--trial", "0") if tool == "model" else run(folder, tool, tmp_path)
    assert done.exit_code == 2 and "is there already" in done.output and done.output.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_places_that_are_no_place_are_refused(folder: Path, tmp_path: Path) -> None:
    inside, remote = run(folder, "parquet", folder / "export" / "x"), run(folder, "parquet", Path("s3://bucket/x"))
    empty = run(tmp_path / "nothing", "parquet", tmp_path / "out")
    for done, said in ((inside, "outside the results folder"), (remote, "on this machine"), (empty, "is it a results folder")):
        assert done.exit_code == 2 and said in done.output and done.output.count("\n") == 1
    (tmp_path / "file").write_text("")
    done = run(folder, "parquet", tmp_path / "file" / "x")
    assert done.exit_code == 3 and done.output.count("\n") == 1


def test_what_failed_halfway_is_removed(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(place: Folder, rows: Any, out: Path) -> None:
        (out / "half").write_text("x")
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(export.TOOLS, "parquet", full)
    done = run(folder, "parquet", tmp_path / "out")
    assert done.exit_code == 3 and "No space left" in done.output and not (tmp_path / "out").exists()


def test_the_default_place_and_a_uri(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(folder, "parquet", None).output == "export-away-parquet\n"
    assert run(f"file://{folder}", "optuna", None).output == "export-away-optuna\n"
    assert run(f"file://{folder}", "model", None, "--trial", "1").output == "export-away-model\n"
    assert (tmp_path / "export-away-model" / "model.safetensors").is_file()


def test_every_tool_of_the_command_is_written() -> None:
    option = next(p for p in cli.main.get_command(click.Context(cli.main), "export").params if p.name == "tool")
    assert set(option.type.choices) == {*export.TOOLS, "model"}  # type: ignore[attr-defined]
    assert importlib.util.find_spec("raymia.report.model_card")
