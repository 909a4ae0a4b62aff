"""Results for other tools."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from exported import lines, run

from raymia.results.folder import Folder
from raymia.results.row import Row
from raymia.results.tables import cell

# ---- parquet -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["trials", "attacks", "pareto", "timing"])
def test_parquet_holds_the_cells_of_the_csv_typed(folder: Path, tmp_path: Path, name: str) -> None:
    from pyarrow import parquet

    done = run(folder, "parquet", tmp_path / "out")
    assert (done.exit_code, done.stdout) == (0, f"{tmp_path / 'out'}\n")
    opened = re.search(r"read it by: pandas\.(read_\w+)\('(.*)'\)\n", done.stderr)
    assert opened and len(getattr(pd, opened[1])(opened[2])) == len(Folder(folder).rows())
    table, cells = (
        parquet.read_table(tmp_path / "out" / f"{name}.parquet"),
        lines(folder, f"{name}.csv"),
    )
    assert table.num_rows == len(cells) and table.column_names == list(cells[0])
    for found, written in zip(table.to_pylist(), cells, strict=True):
        assert {key: cell(value) for key, value in found.items()} == {
            key: cell(text) if "'" in text else text for key, text in written.items()
        }


def test_parquet_columns_have_the_types_of_what_they_hold(folder: Path, tmp_path: Path) -> None:
    from pyarrow import parquet

    run(folder, "parquet", tmp_path / "out")
    types = {f.name: str(f.type) for f in parquet.read_schema(tmp_path / "out" / "trials.parquet")}
    assert {types[n] for n in ("trial", "seed", "models", "members")} == {"int64"}
    assert {
        types[n] for n in ("test_accuracy", "auc.loss", "relaxloss.alpha", "srcm.r1", "epsilon")
    } == {"double"}
    assert types["srcm.all_on"] == "bool" and {
        types[n] for n in ("digest", "reason", "worst_attack", "notes")
    } == {"string"}
    front = {f.name: str(f.type) for f in parquet.read_schema(tmp_path / "out" / "pareto.parquet")}
    assert front == types


# ---- optuna ------------------------------------------------------------------------------------


def test_the_study_has_the_front_and_the_space_of_the_sweep(folder: Path, tmp_path: Path) -> None:
    import optuna
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    assert run(folder, "optuna", tmp_path / "out").exit_code == 0
    odd = tmp_path / "e?v2 %41"
    assert run(folder, "optuna", odd).exit_code == 0
    assert [p.name for p in odd.iterdir()] == ["study.db"] and not (tmp_path / "e").exists()
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
        assert found.values == (
            [row.numbers["test_accuracy"], row.numbers["max_attack_auc"]] if known else None
        )
        assert all(
            found.user_attrs[n] == getattr(row, n)
            for n in ("digest", "defense", "worst_attack", "signals", "knobs")
        )
        ended = (folder / "trials" / f"{row.digest}.json").stat().st_mtime
        assert found.datetime_start is not None and found.datetime_complete is not None
        assert found.datetime_complete.timestamp() == pytest.approx(ended, abs=1e-3)
        spent = (found.datetime_complete - found.datetime_start).total_seconds()
        assert spent == pytest.approx(row.timing["total"], abs=1e-3)
    assert study.trials[1].params == {"arm": "relaxloss", "1.relaxloss.alpha": 0.5}
    assert study.trials[2].distributions == {
        "arm": CategoricalDistribution(("none", "relaxloss", "srcm", "rounding", "stacking")),
        "2.srcm.r1": FloatDistribution(3.0, 25.0),
        "2.srcm.all_on": CategoricalDistribution((True, False)),
    }
    storage.remove_session()
    storage.engine.dispose()


# ---- trackers, where they are installed --------------------------------------------------------


def names(row: Row) -> dict[str, float]:
    """Numbers by the names that trackers take."""
    known = {name: value for name, value in row.numbers.items() if value is not None}
    return {
        name.replace("[threshold=known]", "_threshold_known"): value
        for name, value in known.items()
    }


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
one = client.get_experiment_by_name("away").experiment_id
runs = client.search_runs([one], order_by=["attributes.start_time"])
found = [(r.data, r.info.status) for r in runs]
print(json.dumps([[d.tags["trial"], s, d.params, d.metrics, d.tags] for d, s in found]))
"""
    done = subprocess.run(
        [sys.executable, "-m", "raymia.cli", *_arguments(folder, "mlflow", tmp_path / "out")]
    )
    assert done.returncode == 0
    read = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    found = {int(trial): rest for trial, *rest in json.loads(read.splitlines()[-1])}
    for row in Folder(folder).rows():
        status, params, metrics, tags = found.pop(row.trial)
        assert (
            status == ("FINISHED" if row.state == "done" else "FAILED")
            and tags["digest"] == row.digest
        )
        assert metrics == pytest.approx(names(row)) and params["defense"] == row.defense
        assert {key: params[key] for key in row.knobs} == {
            key: str(value) for key, value in row.knobs.items()
        }
    assert not found


def test_mlflow_takes_a_server_and_overwrites_nothing_there(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    server = f"sqlite:///{tmp_path}/server.db"
    command = [
        sys.executable,
        "-m",
        "raymia.cli",
        *_arguments(folder, "mlflow", tmp_path / "out")[:4],
    ]
    env = os.environ | {"MLFLOW_TRACKING_URI": server}
    done = [
        subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True)
        for _ in range(2)
    ]
    assert [(d.returncode, d.stdout) for d in done] == [(0, "MLFLOW_TRACKING_URI\n"), (2, "")]
    assert "an experiment 'away'" in done[1].stderr and [p.name for p in tmp_path.iterdir()] == [
        "server.db"
    ]


def test_wandb_has_an_offline_run_a_row(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    assert (
        subprocess.run(
            [sys.executable, "-m", "raymia.cli", *_arguments(folder, "wandb", tmp_path / "out")]
        ).returncode
        == 0
    )
    made = list((tmp_path / "out" / "wandb").glob("offline-run-*/run-*.wandb"))
    assert {path.stem.removeprefix("run-") for path in made} == {
        row.digest[:32] for row in Folder(folder).rows()
    }


def _arguments(folder: Path, tool: str, out: Path) -> list[str]:
    return ["export", str(folder), "--to", tool, "--out", str(out)]


@pytest.mark.parametrize("tool", ["mlflow", "wandb", "tensorboard"])
def test_a_library_that_is_not_there_is_named(
    folder: Path, tmp_path: Path, tool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (tool, "torch.utils.tensorboard"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    done = run(folder, tool, tmp_path / "out")
    assert (
        done.exit_code == 3
        and f"pip install {tool}" in done.output
        and done.output.count("\n") == 1
    )
    assert not (tmp_path / "out").exists()
