"""Offline runs of Weights & Biases."""

from collections.abc import Sequence
from pathlib import Path

from raymia.errors import EnvironmentFault
from raymia.report.export import entries
from raymia.results.folder import Folder
from raymia.results.row import Row


def write(folder: Folder, rows: Sequence[Row], out: Path) -> None:
    """One offline run a row; `wandb sync` sends them when the user wants it."""
    with entries.needs("wandb"):
        import wandb
    project = folder.path.resolve().name
    quiet = wandb.Settings(
        silent=True, console="off", disable_git=True, disable_code=True, x_disable_machine_info=True
    )
    try:
        for row in rows:
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
    except wandb.Error as error:
        raise EnvironmentFault(f"{out}: wandb: {' '.join(str(error).split())[:300]}") from error
