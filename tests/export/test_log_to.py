"""Rows that a tracker gets while the run goes on: the names of the export, real times, and no row
is lost by it.
"""

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from raymia.cluster import driver, logs
from raymia.cluster.logs import logged
from raymia.cluster.progress import Progress
from raymia.errors import SweepError
from raymia.report.export import entries, tools
from raymia.results.folder import Folder
from raymia.results.row import Row
from raymia.study import sweep


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def log(tool: str, folder: Path, rows: list[Row]) -> None:
    with logged(tool, Folder(folder), Progress()) as take:
        for row in rows:
            take(row)


@pytest.fixture
def rows(folder: Path) -> list[Row]:
    """As a driver remembers them, each of three quarters of a second."""
    return [
        replace(row, attacks=[], point={}, notes=[], timing={"total": 0.75})
        for row in Folder(folder).rows()
    ]


def test_mlflow_has_real_times_and_goes_on(folder: Path, rows: list[Row], here: Path) -> None:
    pytest.importorskip("mlflow")
    from mlflow import MlflowClient

    begin = time.time()
    log("mlflow", folder, rows[:2])
    log("mlflow", folder, rows[2:])  # the same command again adds
    end = time.time()
    client = MlflowClient(entries.sqlite(here / "log-away-mlflow" / "mlflow.db"))
    experiment = client.get_experiment_by_name("away")
    assert experiment is not None
    found = {int(r.data.tags["trial"]): r for r in client.search_runs([experiment.experiment_id])}
    assert sorted(found) == [row.trial for row in rows]
    for row in rows:
        run = found[row.trial]
        assert run.info.run_name == f"{row.trial} {row.defense}"
        assert run.info.end_time - run.info.start_time == 750
        assert 1000 * begin - 1 <= run.info.end_time <= 1000 * end + 1
        assert run.info.status == ("FINISHED" if row.state == "done" else "FAILED")
        assert run.data.metrics == pytest.approx(entries.metrics(row))
        assert run.data.params == {k: str(v) for k, v in entries.params(row).items()}


def test_tensorboard_can_be_read_while_the_run_goes_on(
    folder: Path, rows: list[Row], here: Path
) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with tools.live(Folder(folder), "tensorboard") as (take, where):
        take(rows[0])
        events = EventAccumulator(str(here / where)).Reload()
        (one,) = events.Scalars("test_accuracy")
        assert one.value == pytest.approx(rows[0].numbers["test_accuracy"], rel=1e-6)
        assert abs(one.wall_time - time.time()) < 60
        assert list((here / where).glob(f"trial-0-{rows[0].digest[:8]}/events*"))


def test_wandb_has_an_offline_run_that_began_when_the_trial_did(
    folder: Path, rows: list[Row], here: Path
) -> None:
    wandb = pytest.importorskip("wandb")
    seen, init = [], wandb.init

    def watched(**given: Any) -> Any:
        seen.append((given["name"], given["settings"].x_start_time, time.time()))
        return init(**given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wandb, "init", watched)
        log("wandb", folder, rows[:2])
    assert [name for name, *_ in seen] == [f"{row.trial} {row.defense}" for row in rows[:2]]
    assert all(0.75 <= now - began < 60 for _, began, now in seen)
    assert len(list((here / "log-away-wandb" / "wandb").glob("offline-run-*/run-*.wandb"))) == 2


@pytest.mark.parametrize("tool", sorted(tools.LIVE))
def test_what_is_not_installed_is_one_line_before_anything(
    folder: Path, here: Path, tool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (tool, "torch.utils.tensorboard"):
        monkeypatch.setitem(sys.modules, name, None)
    asked = sweep.load(folder / "sweep.yaml")
    with pytest.raises(SweepError, match=rf"--log-to: {tool} .*pip install {tool}") as said:
        driver.run(asked, here / "out", log_to=tool)
    assert said.value.exit_code == 2 and "\n" not in str(said.value)
    assert not (here / "out" / "sweep.yaml").exists() and not list(here.glob("log-*"))


def test_a_row_that_is_not_logged_is_a_line_and_the_next_one_is(
    folder: Path,
    rows: list[Row],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    taken: list[int] = []

    @contextlib.contextmanager
    def opened(*_: Any, live: bool) -> Iterator[entries.Log]:
        def take(row: Row) -> None:
            if row.trial == 1:
                raise ValueError("no\n  room")
            taken.append(row.trial)

        assert live
        yield take

    monkeypatch.setitem(tools.LIVE, "mlflow", opened)
    log("mlflow", folder, rows)
    assert taken == [row.trial for row in rows if row.trial != 1]
    said = capfd.readouterr().err.splitlines()
    assert said == [
        "logging to log-away-mlflow",
        "--log-to mlflow: trial 1 was not logged: no room",
    ]


def test_a_tracker_that_does_not_answer_holds_up_nothing(
    folder: Path,
    rows: list[Row],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    gate = logs.threading.Event()

    @contextlib.contextmanager
    def opened(*_: Any, live: bool) -> Iterator[entries.Log]:
        yield lambda row: gate.wait(60) and None

    monkeypatch.setitem(tools.LIVE, "wandb", opened)
    monkeypatch.setattr(logs, "_PATIENCE", 0.1)
    log("wandb", folder, rows)
    gate.set()
    assert "wandb has not answered for 0.1 s" in capfd.readouterr().err


def test_the_ledger_tells_of_a_row_once_it_is_written(rows: list[Row]) -> None:
    from raymia.cluster.proposals import Ledger

    said: list[str] = []
    agenda: Any = SimpleNamespace(finish=lambda row: said.append("written") or row)
    quiet: Any = SimpleNamespace(finished=lambda row: said.append("shown"))
    ledger = Ledger(agenda, SimpleNamespace(), quiet, [lambda row: said.append("logged")])  # type: ignore[arg-type]
    ledger.running["x"] = 0
    ledger.take("x", {"row": json.dumps(rows[0].to_json())})
    assert said == ["written", "shown", "logged"]


def test_gauges_are_the_front_and_the_count(
    rows: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    from raymia.cluster import gauges

    seen: dict[str, float] = {}

    class Fake:
        def __init__(self, name: str, description: str, tag_keys: tuple[str, ...]) -> None:
            assert description and tag_keys == ("sweep",)
            self.name = name

        def set_default_tags(self, tags: dict[str, str]) -> None:
            assert tags == {"sweep": "away"}

        def set(self, value: float) -> None:
            seen[self.name] = value

    clock = [0.0]
    monkeypatch.setattr(gauges, "Gauge", Fake)
    monkeypatch.setattr(gauges.time, "monotonic", lambda: clock[0])
    numbers = [{"test_accuracy": 0.9, "max_attack_auc": 0.8}]
    numbers += [{"test_accuracy": 0.5, "max_attack_auc": 0.5}, {}]
    states, made = ("done", "done", "failed"), dict[int, Row]()
    agenda: Any = SimpleNamespace(rows=made, sweep=SimpleNamespace(name="away"))
    told = gauges.Gauges(agenda)
    for i, (state, found) in enumerate(zip(states, numbers, strict=True)):
        made[i] = replace(rows[0], trial=i, state=state, numbers=found, models=6)
        clock[0] += 30.0
        told(made[i])
    # 12 models in a minute and a half; 0.9 x 0.2, and beyond it 0.5 x 0.3
    assert seen == {
        "raymia_trials_done": 3,
        "raymia_models_a_minute": pytest.approx(8.0),
        "raymia_hypervolume": pytest.approx(0.33),
    }
