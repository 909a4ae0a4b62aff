"""The points that no other beats on accuracy and leakage, and questions about them. Reads CSVs
alone; takes no lock.
"""

import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from raymia.errors import EnvironmentFault, SweepError
from raymia.point import columns
from raymia.point.catalog import suggest
from raymia.point.objectives import COLUMNS
from raymia.results.folder import Folder
from raymia.results.location import Location
from raymia.verdict import front as fronts
from raymia.verdict import learning

ACCURACY, AUC = COLUMNS
SHOWN = (".3g", ".4g", ".3f")  # how tables write knobs, budgets, and rates


def front(frame: pd.DataFrame, minimise: str = AUC) -> pd.DataFrame:
    """The rows that no other row beats on accuracy and on the number to minimise, most accurate
    first; of equal ones the first.

    Only rows whose state is `done` and that have both numbers, finite, can stand on it, and of
    those the ones that are more accurate than a constant answer. The index is the frame's.
    """
    frame = frame.sort_values("trial", kind="stable") if "trial" in frame else frame
    numbers = eligible(frame, minimise)
    return frame.iloc[fronts.front([(a, b) for a, b in numbers.to_numpy().tolist()])]


def eligible(frame: pd.DataFrame, minimise: str = AUC) -> pd.DataFrame:
    """Accuracy and the number to minimise of the rows that can stand on a front; of others NaN."""
    numbers: pd.DataFrame = (
        frame[[ACCURACY, minimise]].apply(pd.to_numeric, errors="coerce").astype("float64")
    )
    if "state" in frame:
        numbers = numbers.where(frame["state"] == "done")
    if learning.MAJORITY in frame:
        share = pd.to_numeric(frame[learning.MAJORITY], errors="coerce").astype("float64")
        cells: Any = numbers.assign(**{learning.MAJORITY: share}).to_dict(orient="records")
        numbers = numbers[[not learning.useless(one) for one in cells]].reindex(numbers.index)
    return numbers


def objective(frame: pd.DataFrame) -> str:
    """What the sweep of these trials weighs the accuracy against."""
    known = frame["objective"].dropna().tolist() if "objective" in frame else []
    return str(known[0]) if known else AUC


def read(folder: Path | str | Location) -> pd.DataFrame:
    """`trials.csv`, with the `confirmed_*` columns of `pareto.csv` where there are any; unknown
    cells are NaN or NA.

    Raises SweepError where the folder has no `trials.csv`, EnvironmentFault where it does not
    parse.
    """
    return typed(written(folder))


def written(folder: Path | str | Location) -> pd.DataFrame:
    """The same as `read`, with the cells as they are written: texts, unknown ones empty. Same
    index, same errors.
    """
    kept = Folder(folder)
    frame = _table(kept, "trials.csv")
    if frame is None:
        there = kept.storage.names("trials")
        cure = f"`raymia report {folder}` rebuilds it" if there else "is it a results folder?"
        raise SweepError(f"{folder} has no trials.csv: {cure}")
    best = _table(kept, "pareto.csv")
    confirmed = (
        []
        if best is None
        else [name for name in best.columns if name.startswith(columns.CONFIRMED)]
    )
    if best is None or not confirmed:
        return frame
    return frame.merge(best[["digest", *confirmed]], on="digest", how="left").fillna("")


def attacks(folder: Path | str | Location) -> pd.DataFrame:
    """`attacks.csv`. Raises SweepError where the folder has none."""
    found = _table(Folder(folder), "attacks.csv")
    if found is None:
        raise SweepError(f"{folder} has no attacks.csv: `raymia report {folder}` rebuilds it")
    return typed(found)


def left_out(folder: Path | str | Location, shown: int) -> str:
    """A sentence where there are more trials than the CSVs show; empty where there are not."""
    names = Folder(folder).storage.names("trials")
    files = {name.partition(".")[0] for name in names if name.endswith(".json")}
    absent = len(files) - shown
    if absent <= 0:
        return ""
    return (
        f"{absent} of the {len(files)} trials of {folder} are not in its CSVs: `raymia report "
        f"{folder}` says why"
    )


def _table(folder: Folder, name: str) -> pd.DataFrame | None:
    try:
        text = folder.table(name)
        if text is None:
            return None
        return pd.read_csv(
            io.StringIO(text), dtype="str", keep_default_na=False, na_values=[""]
        ).fillna("")
    except ValueError as error:  # what pandas raises on a torn file
        raise EnvironmentFault(
            f"{folder.path / name} cannot be read ({error}); `raymia report {folder.path}` "
            "rebuilds it"
        ) from None


def typed(cells: pd.DataFrame) -> pd.DataFrame:
    """Written cells as numbers, truth values and texts. The type of a column is that of all its
    cells.
    """
    types = {name: "str" for name in columns.TEXT}
    text = io.StringIO(cells.to_csv(index=False))
    frame = pd.read_csv(
        text, dtype=types, keep_default_na=False, na_values=[""], float_precision="round_trip"
    )
    numbers = frame.select_dtypes("float64")
    # whole numbers, some unknown: pandas makes floats
    whole = (numbers.isna() | (numbers % 1 == 0)).all() & numbers.notna().any()
    for name in numbers.columns[whole]:
        if cells[name].str.fullmatch(r"([-+]?[0-9]{1,18})?").all():
            frame[name] = cells[name].map(lambda cell: int(cell) if cell else pd.NA).astype("Int64")
    return frame


def query(
    source: pd.DataFrame | Path | str | Location,
    max_auc: float | None = None,
    min_accuracy: float | None = None,
    where: Mapping[str, Any] | None = None,
    metric: str | None = None,
    every: bool = False,
) -> pd.DataFrame:
    """The points of the front that satisfy every condition, best accuracy first; with `every`
    all trials that do, in order, those without numbers included.

    `metric` replaces what the sweep is searched by (the maximum AUC over attacks) by another
    column (`auc.lira`, or `lira` for short) and draws the front anew; `max_auc` then bounds that
    column. `where` keeps those whose cells have these values, exactly or as the tables show them.
    Raises SweepError naming a column that is not there or cannot be a metric, and the nearest
    one; on a bound that is NaN.
    """
    for name, bound in (("max_auc", max_auc), ("min_accuracy", min_accuracy)):
        if bound is not None and math.isnan(bound):
            raise SweepError(f"{name}: got nan; a number is allowed")
    frame = source if isinstance(source, pd.DataFrame) else read(source)
    metric = _metric(frame, objective(frame) if metric is None else metric)
    best = frame.sort_values("trial", kind="stable") if every else front(frame, minimise=metric)
    if max_auc is not None:
        best = best[best[metric] <= max_auc]
    if min_accuracy is not None:
        best = best[best[ACCURACY] >= min_accuracy]
    for name, value in (where or {}).items():
        best = best[_equals(best[_column(frame, name, name)], value)]
    return best


def _metric(frame: pd.DataFrame, given: str) -> str:
    """The column that `given` names. Raises SweepError where no front can be drawn with it."""
    name = _column(frame, columns.full(given, frame.columns), given)
    # empty where no trial has finished: then no point is on the front, and nothing is wrong
    if name == objective(frame):
        return name
    if name == ACCURACY:
        problem = "is what the metric is weighed against"
    elif not frame[name].notna().any():
        problem = "is empty in every trial"
    elif not _numeric(frame[name]):
        problem = "does not hold numbers"
    else:
        return name
    able = [
        str(other)
        for other in frame.columns
        if not str(other).startswith(ACCURACY) and _numeric(frame[other])
    ]
    raise SweepError(f"metric: column {name!r} {problem}; {suggest(given, able)}")


def _numeric(cells: "pd.Series[Any]") -> bool:
    """Whether the cells that are known are numbers, and some are."""
    known = cells.dropna()
    return len(known) > 0 and pd.api.types.infer_dtype(known) in (
        "integer",
        "floating",
        "mixed-integer-float",
    )


def _column(frame: pd.DataFrame, name: str, given: str) -> str:
    if name in frame:
        return name
    raise SweepError(f"there is no column {given!r}; {suggest(given, map(str, frame.columns))}")


def _equals(cells: "pd.Series[Any]", value: Any) -> "pd.Series[bool]":
    """Cells that hold `value`, which may be written as text: numbers are compared as numbers,
    and equal what the tables show of them (2.73 is 2.7319); empty cells equal ''.
    """
    if value is None or value == "":
        return cells.isna()
    if pd.api.types.is_numeric_dtype(cells) and not pd.api.types.is_bool_dtype(cells):
        try:
            wanted = float(value)
        except ValueError:
            return cells.isna() & False
        if pd.api.types.is_integer_dtype(cells):
            return (cells == wanted).fillna(False).astype(bool)
        return cells.map(lambda cell: _shows(cell, wanted)).astype(bool)
    text, shown = _word(value), cells.map(_word)
    if text.lower() in ("true", "false"):  # in Python's spelling too
        text, shown = text.lower(), shown.str.lower()
    # ' as it stands before what could be taken for a formula
    return cells.notna() & shown.isin([text, f"'{text}"])


def _shows(cell: Any, wanted: float) -> bool:
    """Whether a number is the wanted one, or is it in one of the ways in which tables write it."""
    if pd.isna(cell):
        return False
    return wanted == cell or wanted in (float(f"{cell:{how}}") for how in SHOWN)


def _word(value: Any) -> str:
    return columns.word(bool(value) if isinstance(value, np.bool_) else value)
