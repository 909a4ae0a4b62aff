"""What the sweep.yaml of a results folder asks."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from raymia.errors import EnvironmentFault, RaymiaError, SweepError
from raymia.results.folder import Folder
from raymia.results.row import Row
from raymia.results.sealed import Altered
from raymia.study.sweep import Sweep, parse


def sweep_of(folder: Folder) -> Sweep | None:
    """The sweep of a folder; None in a new one. Raises SweepError where its file is wrong,
    EnvironmentFault where it is not what a run wrote.
    """
    where = folder.path / "sweep.yaml"
    try:
        text = folder.read_sweep()
    except Altered as altered:
        raise EnvironmentFault(
            f"{altered}{_altered(folder, altered.text)}; put it back, or delete it and go on with "
            f"`raymia run` of the file that it came from and --out {folder.path}"
        ) from None
    return None if text is None else parse(text, str(where))


def _altered(folder: Folder, text: str) -> str:
    """What the rows of a folder say against an altered sweep.yaml; empty where they say nothing."""
    try:
        others = {parse(text).differs(row.as_point) for row in folder.rows()}
    except RaymiaError:
        return ""
    named = " and ".join(sorted(others - {""}))
    return f" (the trials here are of another {named})" if named else ""


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
    counted = _counted(folder, folder.rows())
    if not counted:
        return ""
    return (
        f"{counted[0]} of {folder.path} are left out: {counted[1]}; `raymia run "
        f"{folder.path}/sweep.yaml --out {folder.path}` runs them again, and the files in trials/ "
        "stay"
    )


def outdated(folder: Folder, shown: Collection[str]) -> str:
    """A sentence on the rows among those with these digests that are none of the sweep as it is
    now; empty where all are.
    """
    counted = _counted(folder, folder.rows(shown))
    if not counted:
        return ""
    return (
        f"{counted[0]} shown are none of {folder.path} as it is now: {counted[1]}; `raymia report "
        f"{folder.path}` leaves them out"
    )


def _counted(folder: Folder, rows: Sequence[Row]) -> tuple[str, str] | None:
    """How many rows are none of a folder's sweep, of how many, and why; None where all are."""
    sweep = sweep_of(folder)
    why = Counter(_foreign(sweep, row) for row in rows) if sweep else Counter[str]()
    del why[""]
    if not why:
        return None
    said = ", ".join(f"{n} {reason}" for reason, n in sorted(why.items()))
    return f"{why.total()} of the {len(rows)} trials", said


def _foreign(sweep: Sweep, row: Row) -> str:
    """Why a row is none of a sweep; empty where it is."""
    if other := sweep.differs(row.as_point):
        return f"of another {other} than sweep.yaml says"
    if row.digest_now == row.digest:
        return ""
    others = changed(row.versions, row.as_point.foreign)
    return f"of {others}" if others else "of an older revision of a part or of training"


def changed(then: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Which of the versions that a row was made with are others now, and what they are."""
    return ", ".join(
        f"{name} {then[name][:12]} (here {version[:12]})"
        for name, version in sorted(now.items())
        if then.get(name, version) != version
    )
