"""The points that no other beats on accuracy and leakage, and questions about them. Reads CSVs alone; takes no lock."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from raymia.errors import EnvironmentFault, SweepError
from raymia.remote import Location, storage
from raymia.storage import Storage

ACCURACY = "test_accuracy"
AUC = "max_attack_auc"
_TEXT = ("digest", "signals", "state", "reason", "dataset", "network", "defense", "worst_attack", "notes")


def front(frame: pd.DataFrame, maximise: str = ACCURACY, minimise: str = AUC) -> pd.DataFrame:
    """The rows that no other row beats on both numbers, best accuracy first; of equal ones the first (by trial).

    Only rows whose state is `done` and that have both numbers, finite, can stand on it. The index is the frame's.
    """
    numbers = frame[[maximise, minimise]].apply(pd.to_numeric, errors="coerce").astype("float64")
    possible = np.isfinite(numbers).all(axis=1)
    if "state" in frame:
        possible &= frame["state"] == "done"
    numbers = numbers[possible]
    if "trial" in frame:
        numbers = numbers.loc[frame.loc[possible, "trial"].sort_values(kind="stable").index]
    numbers = numbers.sort_values([maximise, minimise], ascending=[False, True], kind="stable")
    least_so_far = numbers[minimise].cummin().shift(fill_value=np.inf)
    best: pd.DataFrame = frame.loc[numbers.index[numbers[minimise] < least_so_far]]
    return best


def hypervolume(
    frame: pd.DataFrame, reference: tuple[float, float] = (0.0, 1.0), maximise: str = ACCURACY, minimise: str = AUC
) -> float:
    """The area that the front dominates, seen from `reference` (accuracy, AUC): 1 for a perfect point, 0 for none."""
    area, ceiling = 0.0, reference[1]
    for accuracy, leak in front(frame, maximise, minimise)[[maximise, minimise]].to_numpy(dtype=np.float64):
        if accuracy > reference[0] and leak < ceiling:  # each next point adds the strip below the last
            area += (accuracy - reference[0]) * (ceiling - leak)
            ceiling = leak
    return float(area)


def read(folder: Path | str | Location) -> pd.DataFrame:
    """`trials.csv`, with the `confirmed_*` columns of `pareto.csv` where there are any; unknown cells are NaN.

    Raises SweepError where the folder has no `trials.csv`, EnvironmentFault where it does not parse.
    """
    store = storage(folder)
    frame = _table(store, "trials.csv", folder)
    if frame is None:
        raise SweepError(f"{folder} has no trials.csv: is it a results folder? `raymia report {folder}` rebuilds it")
    best = _table(store, "pareto.csv", folder)
    confirmed = [] if best is None else [name for name in best.columns if name.startswith("confirmed_")]
    if best is None or not confirmed:
        return frame
    return frame.merge(best[["digest", *confirmed]], on="digest", how="left")


def _table(store: Storage, name: str, folder: Path | str | Location) -> pd.DataFrame | None:
    try:
        data = store.read(name)
        if data is None:
            return None
        types = {name: "str" for name in _TEXT}
        text = io.StringIO(data.decode())
        return pd.read_csv(text, dtype=types, keep_default_na=False, na_values=[""], float_precision="round_trip")
    except ValueError as error:  # what pandas raises on a torn file
        raise EnvironmentFault(f"{folder}/{name} cannot be read ({error}); `raymia report {folder}` rebuilds it") from None


def query(
    source: pd.DataFrame | Path | str | Location,
    max_auc: float | None = None,
    min_accuracy: float | None = None,
    where: Mapping[str, Any] | None = None,
    metric: str = AUC,
) -> pd.DataFrame:
    """The points of the front that satisfy every condition, best accuracy first.

    `metric` replaces the maximum over attacks by another column (`auc.lira`, or `lira` for short) and draws the front
    anew; `max_auc` then bounds that column. `where` keeps the points of the front whose cells have these values.
    Raises SweepError naming a column that is not there, and the nearest one.
    """
    frame = source if isinstance(source, pd.DataFrame) else read(source)
    metric = _column(frame, metric if metric in frame else f"auc.{metric}", metric)
    best = front(frame, minimise=metric)
    if max_auc is not None:
        best = best[best[metric] <= max_auc]
    if min_accuracy is not None:
        best = best[best[ACCURACY] >= min_accuracy]
    for name, value in (where or {}).items():
        best = best[_equals(best[_column(frame, name, name)], value)]
    return best


def _column(frame: pd.DataFrame, name: str, given: str) -> str:
    if name in frame:
        return name
    from raymia.catalog import suggest

    raise SweepError(f"there is no column {given!r}; {suggest(given, map(str, frame.columns))}")


def _equals(cells: "pd.Series[Any]", value: Any) -> "pd.Series[bool]":
    """Cells that hold `value`, which may be written as text: numbers are compared as numbers, empty cells equal ''."""
    if value is None or value == "":
        return cells.isna()
    if pd.api.types.is_numeric_dtype(cells) and not pd.api.types.is_bool_dtype(cells):
        try:
            return cells == float(value)
        except ValueError:
            return cells.isna() & False
    text = _plain(value)
    return cells.map(_plain).isin([text, f"'{text}"])  # ' as it stands before what could be taken for a formula


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool | np.bool_) else str(value)
