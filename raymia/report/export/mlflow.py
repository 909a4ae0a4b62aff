"""An experiment of MLflow."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from raymia.errors import EnvironmentFault, SweepError
from raymia.report.export import entries
from raymia.results.folder import Folder
from raymia.results.row import Row


def write(folder: Folder, rows: Sequence[Row], where: Path | str) -> None:
    """One run a row in a new experiment named after the results folder: `where` is a new folder,
    or a server's address.
    """
    with opened(folder, where) as log:
        for row in rows:
            log(row)


@contextmanager
def opened(folder: Folder, where: Path | str, live: bool = False) -> Iterator[entries.Log]:
    """`live`: rows are logged as they are finished, with the times at which their trials ran, and
    the experiment may be there already.
    """
    with entries.needs("mlflow"):
        from mlflow import MlflowClient
        from mlflow.entities import Metric, Param, RunTag
        from mlflow.exceptions import MlflowException
    logging.getLogger("mlflow").setLevel(logging.WARNING)  # it tells of every table that it makes
    local, name = isinstance(where, Path), folder.path.resolve().name
    said = str(where) if local else "MLFLOW_TRACKING_URI"
    try:
        client = MlflowClient(entries.sqlite(Path(where, "mlflow.db")) if local else where)
        there = client.get_experiment_by_name(name)
        if there and not live:
            raise SweepError(
                f"{said} has an experiment {name!r}, and nothing is overwritten; rename or delete "
                "it there"
            )
        place = Path(where, "artifacts").resolve().as_uri() if local else None
        experiment = there.experiment_id if there else client.create_experiment(name, place)

        def log(row: Row) -> None:
            now = round(1000 * time.time())
            began = now - round(1000 * row.timing.get("total", 0.0)) if live else now
            run = client.create_run(experiment, began, run_name=f"{row.trial} {row.defense}").info
            metrics = [
                Metric(key, value, run.start_time, row.trial)
                for key, value in entries.metrics(row).items()
            ]
            params = [Param(key, str(value)) for key, value in entries.params(row).items()]
            client.log_batch(
                run.run_id,
                metrics,
                params,
                [RunTag(key, value) for key, value in entries.tags(row).items()],
            )
            state = "FINISHED" if row.state == "done" else "FAILED"
            client.set_terminated(run.run_id, state, now if live else None)

        yield log
    except MlflowException as error:
        raise EnvironmentFault(f"{said}: {' '.join(str(error).split())[:300]}") from error
