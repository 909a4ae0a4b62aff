"""The front against an O(n^2) oracle, the hypervolume against counting cells, queries against
their words.
"""

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raymia.errors import EnvironmentFault, SweepError
from raymia.report import query as pareto
from raymia.verdict.front import Values, hypervolume

GRID = [0.0, 0.25, 0.5, 0.75, 1.0, math.nan, math.inf, -math.inf]
points = st.lists(
    st.tuples(st.sampled_from(GRID), st.sampled_from(GRID), st.sampled_from(["done", "failed"])),
    max_size=12,
)


def frame(rows: Any) -> pd.DataFrame:
    out = pd.DataFrame(rows, columns=["test_accuracy", "max_attack_auc", "state"])
    out.insert(0, "trial", range(len(out)))
    return out


def values(rows: Any) -> list[Values]:
    """What stands in the rows that are done."""
    return [(x, y) for x, y, state in rows if state == "done"]


def oracle(rows: Any) -> list[int]:
    """The trials that no other beats, of equal ones the first, best accuracy first: pair by
    pair.
    """
    fit = [
        (i, x, y)
        for i, (x, y, state) in enumerate(rows)
        if state == "done" and math.isfinite(x) and math.isfinite(y)
    ]

    def beats(a: Any, b: Any) -> bool:
        better = a[1] >= b[1] and a[2] <= b[2]
        return better and (a[1:] != b[1:] or a[0] < b[0])

    return [
        i
        for i, *_ in sorted(
            (p for p in fit if not any(beats(q, p) for q in fit)), key=lambda p: -p[1]
        )
    ]


@settings(max_examples=300)
@given(points, st.randoms(use_true_random=False))
def test_front_against_the_oracle(rows: Any, random: Any) -> None:
    data = frame(rows)
    assert list(pareto.front(data)["trial"]) == oracle(rows)
    order = random.sample(range(len(rows)), len(rows))
    assert list(pareto.front(data.iloc[order])["trial"]) == oracle(rows)


@given(points)
def test_front_is_a_projection(rows: Any) -> None:
    best = pareto.front(frame(rows))
    pd.testing.assert_frame_equal(pareto.front(best), best)
    assert (
        best["test_accuracy"].is_monotonic_decreasing
        and best["max_attack_auc"].is_monotonic_decreasing
    )


@given(points)
def test_a_beaten_point_changes_nothing(rows: Any) -> None:
    best = pareto.front(frame(rows))
    if len(best):
        worse = (best.iloc[0]["test_accuracy"] - 0.1, best.iloc[0]["max_attack_auc"] + 0.1, "done")
        assert list(pareto.front(frame([*rows, worse]))["trial"]) == list(best["trial"])


@given(points)
def test_swapping_the_directions_mirrors_the_front(rows: Any) -> None:
    data = frame(rows)
    mirrored = data.assign(
        test_accuracy=-data["max_attack_auc"], max_attack_auc=-data["test_accuracy"]
    )
    mine = {tuple(p) for p in pareto.front(data)[["test_accuracy", "max_attack_auc"]].to_numpy()}
    other = {
        (-b, -a) for a, b in pareto.front(mirrored)[["test_accuracy", "max_attack_auc"]].to_numpy()
    }
    assert mine == other


@given(points)
def test_hypervolume_counts_the_cells_that_are_dominated(rows: Any) -> None:
    best = pareto.front(frame(rows))[["test_accuracy", "max_attack_auc"]].to_numpy()
    middles = [0.125, 0.375, 0.625, 0.875]
    covered = [
        any(x > a and y < b for x, y in best) for a, b in itertools.product(middles, middles)
    ]
    assert hypervolume(values(rows)) == pytest.approx(sum(covered) / 16)


def test_hypervolume_by_hand() -> None:
    """Two rectangles: 0.9 x 0.2 and, below it, 0.5 x 0.3."""
    rows = [(0.9, 0.8, "done"), (0.5, 0.5, "done"), (0.4, 0.6, "done")]
    assert hypervolume(values(rows)) == pytest.approx(0.9 * 0.2 + 0.5 * 0.3)
    assert hypervolume([(1.0, 0.0)]) == 1.0
    assert hypervolume([]) == 0.0
    assert hypervolume(values(rows), reference=(0.4, 0.7)) == pytest.approx(0.1 * 0.2)


HEAD = "trial,digest,state,reason,defense,relaxloss.alpha,dpsgd.secure,seed,"
CSV = f"""{HEAD}test_accuracy,max_attack_auc,auc.lira
0,123,done,,none,,,0,0.9,0.8,0.6
1,1e5,done,,relaxloss,0.5,true,0,0.8,0.7,0.75
2,789,done,,relaxloss,0.1,false,0,0.7,0.6,0.55
3,abc,done,,'-odd,1.0,,0,0.6,0.65,0.5
4,def,failed,nan loss,relaxloss,2.0,,0,,,
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "trials.csv").write_text(CSV)
    return tmp_path


def trials(result: pd.DataFrame) -> list[int]:
    return list(result["trial"])


def test_query(folder: Path) -> None:
    assert trials(pareto.query(folder)) == [0, 1, 2]
    assert trials(pareto.query(str(folder), max_auc=0.7)) == [1, 2]
    assert trials(pareto.query(folder, max_auc=0.7, min_accuracy=0.75)) == [1]
    assert trials(pareto.query(folder, where={"defense": "relaxloss"})) == [1, 2]
    assert trials(pareto.query(folder, where={"relaxloss.alpha": "0.50", "seed": 0})) == [1]
    assert trials(pareto.query(folder, where={"dpsgd.secure": "true"})) == [1]
    assert trials(pareto.query(folder, where={"dpsgd.secure": False})) == [2]
    assert trials(pareto.query(folder, where={"relaxloss.alpha": "high"})) == []
    assert trials(pareto.query(folder, where={"relaxloss.alpha": ""})) == [0]
    assert trials(
        pareto.query(pareto.read(folder).assign(always=True), where={"always": "true"})
    ) == [0, 1, 2]
    for value in ("True", "true", "TRUE", True):
        assert trials(pareto.query(folder, where={"dpsgd.secure": value})) == [1]
    assert trials(pareto.query(folder, where={"dpsgd.secure": "nan"})) == [], (
        "an empty cell is '', not nan"
    )
    assert list(pareto.query(folder)["digest"]) == ["123", "1e5", "789"]


def test_another_metric_draws_the_front_anew(folder: Path) -> None:
    assert trials(pareto.query(folder, metric="auc.lira")) == [0, 2, 3]
    assert trials(pareto.query(folder, metric="lira", max_auc=0.55)) == [2, 3]
    assert trials(pareto.query(folder, metric="lira", where={"defense": "-odd"})) == [3]


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ("test_accuracy", "weighed against"),
        ("defense", "not hold numbers"),
        ("digest", "not hold numbers"),
        ("dpsgd.secure", "not hold numbers"),
        ("reason", "not hold numbers"),
        ("epsilon", "empty in every trial"),
        ("", "no column ''"),
        ("auc.lyra", "did you mean 'auc.lira'"),
    ],
)
def test_a_metric_that_draws_no_front_is_refused(folder: Path, metric: str, words: str) -> None:
    source = pareto.read(folder).assign(epsilon=np.nan)
    with pytest.raises(SweepError) as error:
        pareto.query(source, metric=metric)
    text = str(error.value)
    assert words in text and repr(metric) in text and "auc.lira" in text and "\n" not in text
    allowed = text.partition("allowed: ")[2].split(", ")
    assert words.startswith(("no column", "did you")) or not {
        "test_accuracy",
        "epsilon",
        "digest",
        "dpsgd.secure",
    } & set(allowed)


def test_metrics_of_any_number_draw_a_front(folder: Path) -> None:
    """Whole numbers, some of them unknown, and numbers that Python holds as objects."""
    (folder / "trials.csv").write_text(
        "trial,state,test_accuracy,max_attack_auc,size\n0,done,0.9,0.5,3\n1,done,0.8,0.5,\n2,done,0.7,0.6,1\n"
    )
    assert trials(pareto.query(folder, metric="size")) == [0, 2]
    assert trials(pareto.query(folder, metric="size", max_auc=2)) == [2]
    objects = pareto.read(folder).assign(size=pd.Series([3, None, 1.5], dtype=object))
    assert trials(pareto.query(objects, metric="size")) == [0, 2]


def test_where_no_trial_finished_the_front_is_empty_and_nothing_is_wrong(folder: Path) -> None:
    head, *lines = CSV.splitlines()
    (folder / "trials.csv").write_text(f"{head}\n{lines[4]}\n")
    assert (
        trials(pareto.query(folder)) == trials(pareto.query(folder, metric="max_attack_auc")) == []
    )
    (folder / "trials.csv").write_text(f"{head}\n")
    assert trials(pareto.query(folder)) == []


@pytest.mark.parametrize("bound", ["max_auc", "min_accuracy"])
def test_a_bound_that_is_no_number_is_refused(folder: Path, bound: str) -> None:
    with pytest.raises(SweepError, match=f"{bound}: got nan"):
        pareto.query(folder, **{bound: math.nan})  # type: ignore[arg-type]


def test_a_type_is_that_of_the_column(folder: Path) -> None:
    head, *lines = CSV.splitlines()
    rows = [
        f"{line},{cells}"
        for line, cells in zip(lines, ("1,1.0,1", ",,0.5", "2,2.0,2", ",,", ",,"), strict=True)
    ]
    (folder / "trials.csv").write_text("\n".join([f"{head},whole,float,both", *rows]) + "\n")
    data = pareto.read(folder)
    assert [str(data[name].dtype) for name in ("whole", "float", "both", "seed")] == [
        "Int64",
        "float64",
        "float64",
        "int64",
    ]
    cells = pareto.written(folder)
    assert cells["float"].tolist() == ["1.0", "", "2.0", "", ""] and cells["both"].tolist() == [
        "1",
        "0.5",
        "2",
        "",
        "",
    ]
    assert trials(pareto.query(data, where={"whole": "1"})) == [0] and trials(
        pareto.query(data, where={"whole": ""})
    ) == [1]


def test_what_is_not_there_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SweepError, match="'auc.lria'.*did you mean 'auc.lira'"):
        pareto.query(folder, metric="auc.lria")
    with pytest.raises(SweepError, match="'relaxlos.alpha'.*did you mean 'relaxloss.alpha'"):
        pareto.query(folder, where={"relaxlos.alpha": 1})
    with pytest.raises(SweepError, match="no trials.csv"):
        pareto.query(tmp_path / "nowhere")
    (folder / "trials.csv").write_text('a,b\n1,"2\n3,4,5\n')
    with pytest.raises(EnvironmentFault, match="trials.csv cannot be read"):
        pareto.query(folder)


def test_confirmed_numbers_come_along(folder: Path) -> None:
    (folder / "pareto.csv").write_text(
        "trial,digest,confirmed_max_attack_auc\n0,123,0.85\n1,1e5,\n"
    )
    found = pareto.query(folder)
    assert found["confirmed_max_attack_auc"].iloc[0] == 0.85 and np.isnan(
        found["confirmed_max_attack_auc"].iloc[1]
    )
