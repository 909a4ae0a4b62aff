"""What each defense costs in accuracy, relative to none, and what its best setting leaks."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from raymia.errors import SweepError
from raymia.report import query

BELOW, RAD = "rad_below", "rad"


def limit(given: float) -> float:
    """Raises SweepError for what is no share of an accuracy."""
    if not 0 < given <= 1:
        raise SweepError(f"--rad: got {given:g}; a fraction is allowed, more than 0, at most 1")
    return given


def drops(
    trials: pd.DataFrame, among: pd.DataFrame, metric: str, limits: Sequence[float]
) -> pd.DataFrame:
    """Of each defense, in the order of their first trials: its most accurate trial `among` these,
    then for each limit, the lowest first, the one with the lowest metric of those whose relative
    accuracy drop is below it. A defense without one has no line there.

    RAD = (accuracy of none - accuracy) / accuracy of none; that of none is the mean over the
    undefended of all `trials` that are done. `rad` and `rad_below` (NaN: the most accurate)
    stand before the trials' own columns, and the index is theirs. Raises SweepError where no
    undefended trial has an accuracy above 0.

    Source: Kaya, Hong & Dumitras, arXiv:2006.05336, section 3 and tables 3 to 5 (Max, < 5%,
    < 15%).
    """
    done = trials[(trials["defense"] == "none") & (trials["state"] == "done")]
    base = float(pd.to_numeric(done[query.ACCURACY]).mean())
    if not base > 0:
        raise SweepError(
            "--rad: no undefended trial (the arm [] of a sweep) is done, with an accuracy above 0; "
            "one is needed to compare with"
        )
    # of equal ones the first trial
    numbers = query.eligible(among.sort_values("trial", kind="stable"), metric).dropna()
    rad = (base - numbers[query.ACCURACY]) / base
    privacy, accuracy = [metric, query.ACCURACY], [query.ACCURACY, metric]
    best = numbers.sort_values(accuracy, ascending=[False, True], kind="stable")
    least = numbers.sort_values(privacy, ascending=[True, False], kind="stable")
    defense, chosen = among["defense"], list[tuple[float, int]]()
    for below, order in ((np.nan, best), *((one, least) for one in sorted(set(limits)))):
        able = [i for i in order.index if np.isnan(below) or rad[i] < below]
        for name in dict.fromkeys(defense[numbers.index]):
            chosen += [(below, i) for i in able if defense[i] == name][:1]
    rows = [i for _, i in chosen]
    found = trials.loc[rows].copy()
    found.insert(0, BELOW, [below for below, _ in chosen])
    found.insert(1, RAD, rad[rows].to_numpy())
    return found
