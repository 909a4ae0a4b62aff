"""Event files of TensorBoard."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from raymia.report.export import entries
from raymia.results.folder import Folder
from raymia.results.row import Row
from raymia.results.sealed import SCHEMA


def write(folder: Folder, rows: Sequence[Row], out: Path) -> None:
    """A run with hparams and scalars a row, and the two numbers of the front over the trials."""
    with opened(folder, out) as log:
        for row in rows:
            log(row)


@contextmanager
def opened(folder: Folder, out: Path, live: bool = False) -> Iterator[entries.Log]:
    """`live`: what is logged can be read at once."""
    with entries.needs("tensorboard"):
        from torch.utils.tensorboard import SummaryWriter
    with SummaryWriter(str(out)) as board:
        board.add_text("schema", str(SCHEMA))

        def log(row: Row) -> None:
            metrics = entries.metrics(row)
            board.add_hparams(
                entries.params(row),
                metrics,
                run_name=f"trial-{row.trial}-{row.digest[:8]}",
                global_step=row.trial,
            )
            for name in sorted(set(row.measures) & metrics.keys()):
                board.add_scalar(name, metrics[name], row.trial)
            if live:
                board.flush()

        yield log
