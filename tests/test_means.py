"""Several runs of one point as one line."""

import numpy as np
import pytest
from scipy import stats

from raymia.report import means, query


def table() -> query.Table:
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
    lines = []
    for i, row in enumerate(rows):
        line = {"trial": i, "notes": None, "srcm.r1": None, "epsilon_lower": 2.5} | common | row
        for name, half in (("test_accuracy", 0.01), ("max_attack_auc", 0.02)):
            line |= {f"{name}_lo": row[name] - half, f"{name}_hi": row[name] + half}
        for name in ("max_tpr_at_fpr_0.01", "max_tpr_at_fpr_0.01_lo", "max_tpr_at_fpr_0.01_hi"):
            line[name] = None
        lines.append(line | {"auc.lira": row["max_attack_auc"], "auc_lo.lira": 0.5})
    return query.Table(list(lines[0]), lines)


def test_a_line_is_the_mean_of_the_finished_runs_with_a_t_interval_over_them() -> None:
    found = means.means(table()).lines
    assert [(one["trial"], one[means.RUNS]) for one in found] == [(0, 2), (3, 1), (4, 3)]
    assert [one["test_accuracy"] for one in found] == pytest.approx([0.8, 0.5, 0.75])
    assert [one["auc.lira"] for one in found] == pytest.approx([0.7, 0.55, 0.75])
    runs = np.array([0.65, 0.75, 0.85])
    low, high = stats.t.interval(0.95, 2, runs.mean(), stats.sem(runs))
    last = found[2]
    assert (last["max_attack_auc_lo"], last["max_attack_auc_hi"]) == pytest.approx((low, high))
    assert last["max_attack_auc_sd"] == pytest.approx(runs.std(ddof=1))
    # what is true of one run alone is not said of their mean
    assert last["auc_lo.lira"] is None and last["digest"] == ""


def test_a_single_run_stays_as_it_is() -> None:
    given = table()
    alone = means.means(given).lines[1]
    assert {name: alone[name] for name in given.names} == given.lines[3]
    assert alone["test_accuracy_sd"] is None


def test_what_is_unknown_or_has_no_interval_gets_none() -> None:
    """An epsilon is no rate: it has no interval in the tables, and none within 0 and 1."""
    names, lines = means.means(table())
    assert all(list(line) == names for line in lines)
    assert "epsilon_lower_lo" not in names and lines[2]["epsilon_lower"] == 2.5
    assert lines[2]["max_tpr_at_fpr_0.01_lo"] is lines[2]["max_tpr_at_fpr_0.01_sd"] is None


def test_the_front_of_means_is_not_led_by_the_luckiest_run() -> None:
    names, lines = given = table()
    single = query.Table(names, [lines[i] for i in (0, 2, 3, 4)])
    assert means.repeated(given, range(7)) and not means.repeated(single, range(4))
    assert not means.repeated(given, [3])  # shown is a point of one run
    assert query.front(lines) == [0, 4, 1, 3]
    mean = means.means(given).lines
    assert [mean[i]["trial"] for i in query.front(mean)] == [0, 3]
