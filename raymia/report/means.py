"""Several runs of one point as one line: the mean, and how far the runs are apart."""

import pandas as pd

from raymia.point import columns
from raymia.point.objectives import ACCURACY, PRIVACY
from raymia.verdict.metrics import spread_interval

RUNS, SD = "runs", "_sd"
# the columns that say which run it is
_OF_A_RUN = ("digest", "signals", "reason", "notes", "worst_attack")


def repeated(trials: pd.DataFrame, shown: pd.DataFrame) -> bool:
    """Whether a point that is shown has several finished runs."""
    done = trials[trials["state"] == "done"]
    several = done[done.duplicated(_point(trials), keep=False)]
    return bool(several.index.isin(shown.index).any())


def means(trials: pd.DataFrame) -> pd.DataFrame:
    """One line a point, by its first trial: `runs`, and means over the finished ones. What is
    searched by has its standard deviation beside it (`test_accuracy_sd`, ddof 1), and the t
    interval over the runs in place of one over records; other intervals are left out, since a mean
    of ends is no end. Lines of a single run stay as they are, lines that are not done go.
    """
    done = trials[trials["state"] == "done"].sort_values("trial", kind="stable")
    grouped = done.groupby(_point(done), sort=False, dropna=False)
    judged = [name for name in (ACCURACY.column, *PRIVACY) if name in done]
    ends = {end for name in done.columns for end in columns.ends(name)} & set(done.columns)
    lines = []
    for _, runs in grouped:
        line = runs.iloc[0].copy()
        line[RUNS] = len(runs)
        if len(runs) > 1:
            numbers = runs.select_dtypes("number").drop(columns=["trial"])
            for name in numbers.columns:
                line[name] = None if name in ends else numbers[name].mean()
            line[[name for name in _OF_A_RUN if name in runs]] = ""
            for name in judged:
                line[list(columns.ends(name))] = spread_interval(numbers[name].to_numpy(float))
        for name in judged:
            line[f"{name}{SD}"] = pd.to_numeric(runs[name]).std(ddof=1)
        lines.append(line)
    return pd.DataFrame(lines).infer_objects()


def _point(trials: pd.DataFrame) -> list[str]:
    """The columns that say which point a trial is of."""
    parts = {part for defense in trials["defense"].dropna() for part in defense.split("+")}
    knobs = [name for name in trials.columns if name.partition(".")[0] in parts]
    return [name for name in ("dataset", "network", "defense", *knobs) if name in trials]
