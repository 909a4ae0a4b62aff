"""The results, or the model of a point, for other tools. Only reads the results folder; writes a new folder beside it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from raymia import card, columns, results, search, sweep
from raymia.errors import EnvironmentFault, SweepError
from raymia.objectives import COLUMNS, OBJECTIVES
from raymia.point import Point
from raymia.remote import Location, locate
from raymia.results import Folder, Row


def write(folder: Folder, rows: Sequence[Row], tool: str, out: Path | None = None, **which: int | None) -> str:
    """Hand `rows` of a results folder to a tool of TOOLS, or to `model` the model `which` (`trial`, `model`); where it went.

    `out` is a new folder, by default `export-<name>-<tool>` in the current one. What was begun and failed is removed.
    Raises SweepError where `out` is there, or no such model is; EnvironmentFault where the library is not installed.
    """
    if not rows:
        raise SweepError(f"{folder.path} has no trials: is it a results folder?")
    if tool != "model" and any(value is not None for value in which.values()):
        raise SweepError(f"--to {tool}: it takes all trials; --trial and --model are for --to model")
    if tool == "mlflow" and out is None and (server := os.environ.get("MLFLOW_TRACKING_URI")):
        # its address may hold a password: it is named, never shown
        _mlflow(folder, rows, server)
        return "MLFLOW_TRACKING_URI"
    with _fresh(out or Path(f"export-{folder.path.resolve().name}-{tool}"), folder) as place:
        if tool == "model":
            card.write(folder, rows, place, which.get("trial"), which.get("model"))
        else:
            TOOLS[tool](folder, rows, place)
    return str(place)


@contextlib.contextmanager
def _fresh(out: Path, folder: Folder) -> Iterator[Path]:
    """A new folder, that is gone again where what should stand in it failed."""
    if isinstance(locate(out), Location):
        raise SweepError(f"--out: got {out}; a folder on this machine is allowed")
    if isinstance(folder.path, Path) and out.resolve().is_relative_to(folder.path.resolve()):
        raise SweepError(f"--out: got {out}; a folder outside the results folder is allowed, which holds what raymia run wrote")
    if os.path.lexists(out):
        raise SweepError(f"{out} is there already, and nothing is overwritten; remove it, or choose another --out")
    try:
        out.mkdir(parents=True)
        with contextlib.ExitStack() as failed:
            failed.callback(shutil.rmtree, out, ignore_errors=True)
            yield out
            failed.pop_all()
    except OSError as error:
        raise EnvironmentFault(f"{out}: {error.strerror or error}; choose another --out") from error


@contextlib.contextmanager
def _needs(library: str) -> Iterator[None]:
    os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "WANDB_ERROR_REPORTING": "false"}  # nothing is sent unasked
    try:
        yield
    except ImportError as error:
        raise EnvironmentFault(f"--to {library} needs what is not installed: pip install {library} ({error})") from None


def _parquet(folder: Folder, rows: Sequence[Row], out: Path) -> None:
    """The four tables with typed columns: what is an empty cell in the CSV is null."""
    import pyarrow as pa
    from pyarrow import csv, parquet

    # The cells say what a column is; where they may mislead (a digest of digits alone) or are all empty, its name does.
    types = dict.fromkeys(columns.TEXT, pa.string()) | dict.fromkeys(columns.WHOLE, pa.int64())
    for name, text in results.tables(rows, folder.confirmed()).items():
        content = text.encode()
        table = csv.read_csv(
            pa.BufferReader(content),
            read_options=csv.ReadOptions(block_size=len(content) + 1, use_threads=False),  # types are guessed from one block
            convert_options=csv.ConvertOptions(
                column_types=types, null_values=[""], strings_can_be_null=True, true_values=["true"], false_values=["false"]
            ),
        )
        known = {field.name: pa.float64() if pa.types.is_null(field.type) else field.type for field in table.schema}
        parquet.write_table(table.cast(pa.schema(known)), out / name.replace(".csv", ".parquet"))
        if name == "trials.csv":  # the front's few lines keep its types: a knob that is whole in them is still no integer
            types |= known


def _optuna(folder: Folder, rows: Sequence[Row], out: Path) -> None:
    """A study in SQLite, with the parameters and distributions that the search itself shows its sampler."""
    import optuna

    text = folder.read_sweep()
    if text is None:
        raise SweepError(f"{folder.path} has no sweep.yaml: is it a results folder?")
    asked = sweep.parse(text, str(folder.path / "sweep.yaml"))
    arms = optuna.distributions.CategoricalDistribution(tuple(range(len(asked.arms))))
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # it logs every study to stderr
    storage = optuna.storages.RDBStorage(f"sqlite:///{out.resolve()}/study.db")
    try:
        study = optuna.create_study(storage=storage, study_name=asked.name, directions=[o.direction for o in OBJECTIVES])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # it means the names
            study.set_metric_names(list(COLUMNS))
        for row in rows:
            outcome = search.Outcome.of(row)
            arm, knobs = search.locate(asked, Point.from_json(row.point).recipe)
            free = {search.name(arm, key): search.distribution(domain) for key, domain in asked.space(arm).items()}
            attributes = ("trial", "digest", "defense", "knobs", "worst_attack", "signals", "state", "reason")
            made = optuna.trial.create_trial(
                state=optuna.trial.TrialState.COMPLETE if outcome.known else optuna.trial.TrialState.FAIL,
                params={"arm": arm} | {search.name(arm, key): value for key, value in knobs.items()},
                distributions={"arm": arms} | free,
                values=list(outcome.values) if outcome.known else None,
                user_attrs={name: getattr(row, name) for name in attributes},
            )
            study.add_trial(made)
    finally:
        optuna.logging.set_verbosity(verbosity)
        storage.remove_session()
        storage.engine.dispose()


def _params(row: Row) -> dict[str, Any]:
    """What was set: knobs that are None are left out, which the trackers do not know."""
    named = {name: getattr(row, name) for name in ("defense", "dataset", "network", "seed", "models", "targets")}
    return named | {key: value for key, value in row.knobs.items() if value is not None}


def _metrics(row: Row) -> dict[str, float]:
    """What came out and is known, by names that every tracker takes: `auc.lira_mode_offline` for `auc.lira[mode=offline]`."""
    return {re.sub(r"[^\w.-]+", "_", n).strip("_"): float(v) for n, v in row.numbers.items() if v is not None}


def _tags(row: Row) -> dict[str, str]:
    return {name: str(getattr(row, name)) for name in ("trial", "digest", "signals", "state", "reason", "worst_attack")}


def _mlflow(folder: Folder, rows: Sequence[Row], where: Path | str) -> None:
    """One run a row in an experiment named after the results folder: `where` is a new folder, or a server's address."""
    with _needs("mlflow"):
        from mlflow import MlflowClient
        from mlflow.entities import Metric, Param, RunTag
        from mlflow.exceptions import MlflowException
    local, name = isinstance(where, Path), folder.path.resolve().name
    said = str(where) if local else "MLFLOW_TRACKING_URI"
    try:
        client = MlflowClient(f"sqlite:///{Path(where).resolve()}/mlflow.db" if local else where)
        if client.get_experiment_by_name(name):
            raise SweepError(f"{said} has an experiment {name!r}, and nothing is overwritten; rename or delete it there")
        experiment = client.create_experiment(name, Path(where, "artifacts").resolve().as_uri() if local else None)
        for row in rows:
            run = client.create_run(experiment, run_name=f"{row.trial} {row.defense}").info
            metrics = [Metric(key, value, run.start_time, row.trial) for key, value in _metrics(row).items()]
            params = [Param(key, str(value)) for key, value in _params(row).items()]
            client.log_batch(run.run_id, metrics, params, [RunTag(key, value) for key, value in _tags(row).items()])
            client.set_terminated(run.run_id, "FINISHED" if row.state == "done" else "FAILED")
    except MlflowException as error:
        raise EnvironmentFault(f"{said}: {' '.join(str(error).split())[:300]}") from error


def _wandb(folder: Folder, rows: Sequence[Row], out: Path) -> None:
    """One offline run a row; `wandb sync` sends them when the user wants it."""
    with _needs("wandb"):
        import wandb
    project = folder.path.resolve().name
    quiet = wandb.Settings(silent=True, console="off", disable_git=True, disable_code=True, x_disable_machine_info=True)
    try:
        for row in rows:
            name, key, config = f"{row.trial} {row.defense}", row.digest[:32], _params(row) | _tags(row)
            run = wandb.init(project=project, name=name, id=key, dir=out, mode="offline", config=config, settings=quiet)
            run.summary.update(_metrics(row))
            run.finish(exit_code=0 if row.state == "done" else 1)
    except wandb.Error as error:
        raise EnvironmentFault(f"{out}: wandb: {' '.join(str(error).split())[:300]}") from error


def _tensorboard(folder: Folder, rows: Sequence[Row], out: Path) -> None:
    """A run with hparams and scalars a row, and the two numbers of the front over the trials."""
    with _needs("tensorboard"):
        from torch.utils.tensorboard import SummaryWriter
    with SummaryWriter(str(out)) as board:
        for row in rows:
            metrics = _metrics(row)
            board.add_hparams(_params(row), metrics, run_name=f"trial-{row.trial}-{row.digest[:8]}", global_step=row.trial)
            for name in sorted(set(COLUMNS) & metrics.keys()):
                board.add_scalar(name, metrics[name], row.trial)


TOOLS: dict[str, Callable[[Folder, Sequence[Row], Path], None]] = dict(
    optuna=_optuna, mlflow=_mlflow, wandb=_wandb, tensorboard=_tensorboard, parquet=_parquet
)
