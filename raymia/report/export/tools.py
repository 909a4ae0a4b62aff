"""The results, or the model of a point, for other tools. Only reads the results folder; writes
a new folder beside it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from raymia.errors import EnvironmentFault, SweepError
from raymia.report import model_card
from raymia.report.export import entries, mlflow, optuna, parquet, tensorboard, wandb
from raymia.results.folder import Folder
from raymia.results.location import Location, locate
from raymia.results.row import Row


def write(
    folder: Folder, rows: Sequence[Row], tool: str, out: Path | None = None, **which: int | None
) -> str:
    """Hand `rows` of a results folder to a tool of TOOLS, or to `model` the model `which`
    (`trial`, `model`); where it went.

    `out` is a new folder, by default `export-<name>-<tool>` in the current one. What was begun
    and failed is removed. Raises SweepError where `out` is there, or no such model is;
    EnvironmentFault where the library is not installed.
    """
    if not rows:
        why = ", they are left out" if folder.rows() else ": is it a results folder?"
        raise SweepError(f"{folder.path} has no trials to hand out{why}")
    if tool != "model" and any(value is not None for value in which.values()):
        raise SweepError(
            f"--to {tool}: it takes all trials; --trial and --model are for --to model"
        )
    if tool == "mlflow" and out is None and (server := os.environ.get("MLFLOW_TRACKING_URI")):
        # its address may hold a password: it is named, never shown
        mlflow.write(folder, rows, server)
        return "MLFLOW_TRACKING_URI"
    with _fresh(out or Path(f"export-{folder.path.resolve().name}-{tool}"), folder) as place:
        if tool == "model":
            model_card.write(folder, rows, place, which.get("trial"), which.get("model"))
        else:
            TOOLS[tool](folder, rows, place)
    return str(place)


def outside(out: Path, folder: Folder) -> None:
    """Raises SweepError where a new folder would stand in the results folder, or elsewhere than on
    this machine.
    """
    if isinstance(locate(out), Location):
        raise SweepError(f"--out: got {out}; a folder on this machine is allowed")
    if isinstance(folder.path, Path) and out.resolve().is_relative_to(folder.path.resolve()):
        raise SweepError(
            f"--out: got {out}; a folder outside the results folder is allowed, which holds what "
            "raymia run wrote"
        )


@contextlib.contextmanager
def live(folder: Folder, tool: str) -> Iterator[tuple[entries.Log, str]]:
    """What logs single rows as they are finished, and where to: the server of MLFLOW_TRACKING_URI,
    else `log-<name>-<tool>` in the current folder, to which a run that goes on adds.

    Raises SweepError where the library is not installed, EnvironmentFault where it refuses.
    """
    server = os.environ.get("MLFLOW_TRACKING_URI") if tool == "mlflow" else None
    place = Path(f"log-{folder.path.resolve().name}-{tool}")
    try:
        if server is None:
            place.mkdir(exist_ok=True)
        with LIVE[tool](folder, server or place, live=True) as log:
            yield log, "MLFLOW_TRACKING_URI" if server else str(place)
    except entries.NotInstalled as error:
        with contextlib.suppress(OSError):
            place.rmdir()  # where nothing stands in it
        raise SweepError(f"--log-to: {error}") from None


@contextlib.contextmanager
def _fresh(out: Path, folder: Folder) -> Iterator[Path]:
    """A new folder, that is gone again where what should stand in it failed."""
    outside(out, folder)
    if os.path.lexists(out):
        raise SweepError(
            f"{out} is there already, and nothing is overwritten; remove it, or choose another "
            "--out"
        )
    try:
        out.mkdir(parents=True)
        with contextlib.ExitStack() as failed:
            failed.callback(shutil.rmtree, out, ignore_errors=True)
            yield out
            failed.pop_all()
    except OSError as error:
        raise EnvironmentFault(f"{out}: {error.strerror or error}; choose another --out") from error


# how what was written is read
READ = {
    "optuna": "optuna-dashboard sqlite:///{}/study.db",
    "mlflow": "mlflow ui --backend-store-uri sqlite:///{}/mlflow.db",
    "wandb": "wandb sync {}/wandb/offline-run-*",
    "tensorboard": "tensorboard --logdir {}",
    "parquet": "pandas.read_parquet('{}/trials.parquet')",
    "model": "raymia.report.model_card.load('{}')",
}
LIVE: dict[str, Callable[..., contextlib.AbstractContextManager[entries.Log]]] = dict(
    mlflow=mlflow.opened, wandb=wandb.opened, tensorboard=tensorboard.opened
)
TOOLS: dict[str, Callable[[Folder, Sequence[Row], Path], None]] = dict(
    optuna=optuna.write,
    mlflow=mlflow.write,
    wandb=wandb.write,
    tensorboard=tensorboard.write,
    parquet=parquet.write,
)
