"""Offline runs of Weights & Biases."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from raymia.errors import EnvironmentFault
from raymia.report.export import entries
from raymia.results.folder import Folder
from raymia.results.row import Row


def write(folder: Folder, rows: Sequence[Row], out: Path) -> None:
    """One offline run a row; `wandb sync` sends them when the user wants it."""
    with opened(folder, out) as log:
        for row in rows:
            log(row)


@contextmanager
def opened(folder: Folder, out: Path, live: bool = False) -> Iterator[entries.Log]:
    """`live`: rows are logged as they are finished, with the time at which their trial began."""
    with entries.needs("wandb"):
        import wandb
    project = folder.path.resolve().name

    def log(row: Row) -> None:
        began = time.time() - row.timing.get("total", 0.0)
        quiet = wandb.Settings(
            silent=True,
            console="off",
            disable_git=True,
            disable_code=True,
            x_disable_machine_info=True,
            **({"x_start_time": began} if live else {}),
        )
        name, key, config = (
            f"{row.trial} {row.defense}",
            row.digest[:32],
            entries.params(row) | entries.tags(row),
        )
        run = wandb.init(
            project=project,
            name=name,
            id=key,
            dir=out,
            mode="offline",
            config=config,
            settings=quiet,
        )
        run.summary.update(entries.metrics(row))
        run.finish(exit_code=0 if row.state == "done" else 1)

    try:
        yield log
    except wandb.Error as error:
        raise EnvironmentFault(f"{out}: wandb: {' '.join(str(error).split())[:300]}") from error
