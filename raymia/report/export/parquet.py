"""The four tables with typed columns."""

from collections.abc import Sequence
from pathlib import Path

from raymia.point import columns
from raymia.results.folder import Folder
from raymia.results.row import Row
from raymia.results.sealed import SCHEMA
from raymia.results.tables import tables


def write(folder: Folder, rows: Sequence[Row], out: Path) -> None:
    """The four tables with typed columns: what is an empty cell in the CSV is null."""
    import pyarrow as pa
    from pyarrow import csv, parquet

    # The cells say what a column is; where they may mislead (a digest of digits alone) or are
    # all empty, its name does.
    types = dict.fromkeys(columns.TEXT, pa.string()) | dict.fromkeys(columns.WHOLE, pa.int64())
    for name, content in tables(rows, folder.confirmed()).items():
        table = csv.read_csv(
            pa.BufferReader(content),
            # types are guessed from one block
            read_options=csv.ReadOptions(block_size=len(content) + 1, use_threads=False),
            convert_options=csv.ConvertOptions(
                column_types=types,
                null_values=[""],
                strings_can_be_null=True,
                true_values=["true"],
                false_values=["false"],
            ),
        )
        known = {
            field.name: pa.float64() if pa.types.is_null(field.type) else field.type
            for field in table.schema
        }
        parquet.write_table(
            table.cast(pa.schema(known, metadata={"raymia.schema": str(SCHEMA)})),
            out / name.replace(".csv", ".parquet"),
            write_page_checksum=True,
        )
        # the front's few lines keep its types: a knob that is whole in them is still no integer
        if name == "trials.csv":
            types |= known
