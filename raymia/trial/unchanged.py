"""What must be as it was when the rows of a folder were made, before anything is trained beside
them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version

from raymia.errors import EnvironmentFault, SweepError
from raymia.point import catalog
from raymia.point.point import Point
from raymia.records.account import account
from raymia.records.data import Data
from raymia.results.folder import Folder
from raymia.results.row import Row
from raymia.study.asked import changed
from raymia.study.sweep import Sweep
from raymia.trial.row import LIBRARIES


def check_data(folder: Folder, rows: Sequence[Row], data: Data) -> None:
    """Raises SweepError, saying what is other, where the rows are of other records than these."""
    others = [row for row in rows if row.point["data"] != data.sha256()]
    if not others:
        return
    then, now = folder.read_json("account.json"), account(data)
    facts = [
        f"{name} were {then[name]}, are {now[name]}"
        for name in ("records", "features", "classes", "labels", "low", "high", "copies")
        if name in then and then[name] != now[name]
    ]
    raise SweepError(
        f"dataset {data.name}: its records are not those of {len(others)} of the {len(rows)} "
        f"trials in {folder.path} ({'; '.join(facts)[:300] or 'other values'}); put the right ones "
        "in place, or name another --out"
    )


def check_versions(folder: Folder, rows: Iterable[Row], foreign: Mapping[str, str]) -> None:
    """Raises EnvironmentFault where the rows were made with other versions of libraries, or of
    parts that are not raymia's own, than are here.
    """
    now = {name: version(name) for name in LIBRARIES} | dict(foreign)
    for row in rows:
        if other := changed(row.versions, now):
            raise EnvironmentFault(
                f"{folder.path} holds rows made with {other}: their numbers may differ; install "
                "those versions, choose another --out, or say --mix-versions"
            )


def check_rows(folder: Folder, rows: Iterable[Row], sweep: Sweep) -> None:
    """Raises SweepError where a row is of another sweep: `sweep.yaml` was deleted, or edited."""
    for row in rows:
        if other := _another(sweep, row.as_point):
            raise SweepError(
                f"the results folder holds another sweep: trial {row.trial} in {folder.path} is of "
                f"another {other}; put the sweep file back as it was, or name another --out"
            )


def _another(sweep: Sweep, point: Point) -> str:
    """In what a point is of another sweep; attacks and the number of models may have changed."""
    grows = catalog.find("protocols", sweep.protocol.name).grows
    mine, its = (
        (part.name, {k: v for k, v in part.knobs.items() if k not in grows})
        for part in (sweep.protocol, point.protocol)
    )
    kept = replace(sweep, attacks=point.attacks)
    return (replace(kept, protocol=point.protocol) if mine == its else kept).differs(point)
