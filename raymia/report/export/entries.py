"""A row as experiment trackers take it: what was set, what came out, what it is called."""

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from raymia.errors import EnvironmentFault
from raymia.results.folder import Folder
from raymia.results.row import Row
from raymia.results.sealed import SCHEMA


class NotInstalled(EnvironmentFault):
    """A tool's own library is not there."""


Log = Callable[[Row], None]  # hands one row to a tool


@contextlib.contextmanager
def needs(library: str) -> Iterator[None]:
    # nothing is sent unasked
    os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "WANDB_ERROR_REPORTING": "false"}
    try:
        yield
    except ImportError as error:
        raise NotInstalled(
            f"{library} needs what is not installed: pip install {library} ({error})"
        ) from None


def sqlite(path: Path) -> str:
    """The address of an SQLite file, whatever its name holds: a question mark would end it."""
    return f"sqlite:///{quote(str(path.resolve()))}"


def params(row: Row) -> dict[str, Any]:
    """What was set: knobs that are None are left out, which the trackers do not know."""
    named = {
        name: getattr(row, name)
        for name in ("defense", "dataset", "network", "seed", "models", "targets")
    }
    return named | {key: value for key, value in row.knobs.items() if value is not None}


def metrics(row: Row) -> dict[str, float]:
    """What came out and is known, by names that every tracker takes: `auc.lira_mode_offline`
    for `auc.lira[mode=offline]`.
    """
    return {
        re.sub(r"[^\w.-]+", "_", n).strip("_"): float(v)
        for n, v in row.numbers.items()
        if v is not None
    }


def tags(row: Row) -> dict[str, str]:
    names = ("trial", "digest", "signals", "state", "reason", "worst_attack")
    return {"schema": str(SCHEMA)} | {name: str(getattr(row, name)) for name in names}


def times(folder: Folder, row: Row) -> tuple[datetime, datetime] | None:
    """When a trial began and ended, by the time of its file on a disk; None elsewhere. In local
    time, without a zone, as Optuna has them.
    """
    if not isinstance(folder.path, Path):
        return None
    ended = (folder.path / "trials" / f"{row.digest}.json").stat().st_mtime
    began = ended - row.timing.get("total", 0.0)
    return datetime.fromtimestamp(began), datetime.fromtimestamp(ended)
