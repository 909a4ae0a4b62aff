"""An experiment of MLflow."""

from collections.abc import Sequence
from pathlib import Path

from raymia.errors import EnvironmentFault, SweepError
from raymia.report.export import entries
from raymia.results.folder import Folder
from raymia.results.row import Row


def write(folder: Folder, rows: Sequence[Row], where: Path | str) -> None:
    """One run a row in an experiment named after the results folder: `where` is a new folder,
    or a server's address.
    """
    with entries.needs("mlflow"):
        from mlflow import MlflowClient
        from mlflow.entities import Metric, Param, RunTag
        from mlflow.exceptions import MlflowException
    local, name = isinstance(where, Path), folder.path.resolve().name
    said = str(where) if local else "MLFLOW_TRACKING_URI"
    try:
        client = MlflowClient(entries.sqlite(Path(where, "mlflow.db")) if local else where)
        if client.get_experiment_by_name(name):
            raise SweepError(
                f"{said} has an experiment {name!r}, and nothing is overwritten; rename or delete "
                "it there"
            )
        experiment = client.create_experiment(
            name, Path(where, "artifacts").resolve().as_uri() if local else None
        )
        for row in rows:
            run = client.create_run(experiment, run_name=f"{row.trial} {row.defense}").info
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
            client.set_terminated(run.run_id, "FINISHED" if row.state == "done" else "FAILED")
    except MlflowException as error:
        raise EnvironmentFault(f"{said}: {' '.join(str(error).split())[:300]}") from error
