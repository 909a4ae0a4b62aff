"""What the sweep.yaml of a results folder asks."""

from raymia.errors import SweepError
from raymia.point.point import Point
from raymia.results.folder import Folder
from raymia.study.sweep import Sweep, parse


def sweep_of(folder: Folder) -> Sweep | None:
    """The sweep of a folder; None in a new one. Raises SweepError where its file is wrong."""
    text = folder.read_sweep()
    return None if text is None else parse(text, str(folder.path / "sweep.yaml"))


def existing(folder: Folder) -> Sweep:
    """The same. Raises SweepError where there is none."""
    sweep = sweep_of(folder)
    if sweep is None:
        raise SweepError(f"{folder.path} has no sweep.yaml: is it a results folder?")
    return sweep


def current(folder: Folder) -> list[str] | None:
    """The digests of the rows that are of the sweep as it is now; None where it has none."""
    sweep = sweep_of(folder)
    if sweep is None:
        return None
    points = [(row.digest, Point.from_json(row.point)) for row in folder.rows()]
    return [digest for digest, point in points if sweep.holds(point) and point.digest() == digest]
