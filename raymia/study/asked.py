"""What the sweep.yaml of a results folder asks."""

from collections import Counter

from raymia.errors import SweepError
from raymia.point.point import Point
from raymia.results.folder import Folder
from raymia.results.row import Row
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
    return [row.digest for row in folder.rows() if not _foreign(sweep, row)]


def left_out(folder: Folder) -> str:
    """A sentence on the rows that `current` leaves out, and why; empty where it leaves none."""
    sweep, rows = sweep_of(folder), folder.rows()
    why = Counter(_foreign(sweep, row) for row in rows) if sweep else Counter()
    counted = [f"{n} {reason}" for reason, n in sorted(why.items()) if reason]
    if not counted:
        return ""
    absent = sum(n for reason, n in why.items() if reason)
    return (
        f"{absent} of the {len(rows)} trials of {folder.path} are left out: {', '.join(counted)}; "
        f"`raymia run {folder.path}/sweep.yaml --out {folder.path}` runs them again, and the files "
        "in trials/ stay"
    )


def _foreign(sweep: Sweep, row: Row) -> str:
    """Why a row is none of a sweep; empty where it is."""
    point = Point.from_json(row.point)
    if other := sweep.differs(point):
        return f"of another {other} than sweep.yaml says"
    if point.digest() != row.digest:
        return "of an older revision of a part or of training"
    return ""
