"""Several runs of one point as one line."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from raymia.report import means, query


def frame() -> pd.DataFrame:
    common = {"state": "done", "dataset": "d", "network": "n", "seed": 0, "digest": "x"}
    rows = [
        {"defense": "none", "test_accuracy": 0.9, "max_attack_auc": 0.8, "notes": "a"},
        {"defense": "none", "test_accuracy": 0.7, "max_attack_auc": 0.6, "notes": "b"},
        {"defense": "none", "test_accuracy": 0.1, "max_attack_auc": 0.5, "state": "failed"},
        {"defense": "srcm", "srcm.r1": 3.0, "test_accuracy": 0.5, "max_attack_auc": 0.55},
        {"defense": "srcm", "srcm.r1": 5.0, "test_accuracy": 0.85, "max_attack_auc": 0.65},
        {"defense": "srcm", "srcm.r1": 5.0, "test_accuracy": 0.65, "max_attack_auc": 0.75},
        {"defense": "srcm", "srcm.r1": 5.0, "test_accuracy": 0.75, "max_attack_auc": 0.85},
    ]
    made = pd.DataFrame([common | row for row in rows])
    made.insert(0, "trial", range(len(rows)))
    for name, half in (("test_accuracy", 0.01), ("max_attack_auc", 0.02)):
        made[f"{name}_lo"], made[f"{name}_hi"] = made[name] - half, made[name] + half
    made["auc.lira"], made["auc_lo.lira"] = made["max_attack_auc"], made["max_attack_auc_lo"]
    return made


def test_a_line_is_the_mean_of_the_finished_runs_with_a_t_interval_over_them() -> None:
    found = means.means(frame())
    assert found["trial"].tolist() == [0, 3, 4] and found[means.RUNS].tolist() == [2, 1, 3]
    assert found["test_accuracy"].tolist() == pytest.approx([0.8, 0.5, 0.75])
    assert found["auc.lira"].tolist() == pytest.approx([0.7, 0.55, 0.75])
    runs = np.array([0.65, 0.75, 0.85])
    low, high = stats.t.interval(0.95, 2, runs.mean(), stats.sem(runs))
    last = found.iloc[2]
    assert (last["max_attack_auc_lo"], last["max_attack_auc_hi"]) == pytest.approx((low, high))
    assert last["max_attack_auc_sd"] == pytest.approx(runs.std(ddof=1))
    # what is true of one run alone is not said of their mean
    assert pd.isna(last["auc_lo.lira"]) and last["digest"] == ""


def test_a_single_run_stays_as_it_is() -> None:
    given = frame()
    alone = means.means(given).iloc[1]
    for name in given.columns:
        assert alone[name] == given.loc[3, name] or pd.isna(given.loc[3, name]), name
    assert pd.isna(alone["test_accuracy_sd"])


def test_the_front_of_means_is_not_led_by_the_luckiest_run() -> None:
    given = frame()
    assert means.repeated(given, given) and not means.repeated(given.iloc[[0, 2, 3, 4]], given)
    assert not means.repeated(given, given.iloc[[3]])  # shown is a point of one run
    assert query.front(given)["trial"].tolist() == [0, 4, 1, 3]
    assert query.front(means.means(given))["trial"].tolist() == [0, 3]
