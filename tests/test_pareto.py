"""The front against an O(n^2) oracle, the hypervolume against counting cells, queries against
their words.
"""

import itertools
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from house_rules import HEAVY, ROOT
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


def lines(rows: Any) -> list[dict[str, Any]]:
    names = ("test_accuracy", "max_attack_auc", "state")
    return [{"trial": i} | dict(zip(names, row, strict=True)) for i, row in enumerate(rows)]


def front(given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [given[i] for i in pareto.front(given)]


def pairs(given: list[dict[str, Any]]) -> list[tuple[float, float]]:
    return [(one["test_accuracy"], one["max_attack_auc"]) for one in given]


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
    data = lines(rows)
    assert pareto.front(data) == oracle(rows)
    shuffled = random.sample(data, len(data))
    assert [one["trial"] for one in front(shuffled)] == oracle(rows)


@given(points)
def test_front_is_a_projection(rows: Any) -> None:
    best = front(lines(rows))
    assert front(best) == best
    assert all(a > c and b > d for (a, b), (c, d) in itertools.pairwise(pairs(best)))


@given(points)
def test_a_beaten_point_changes_nothing(rows: Any) -> None:
    best = pareto.front(lines(rows))
    if best:
        accuracy, auc, _ = rows[best[0]]
        assert pareto.front(lines([*rows, (accuracy - 0.1, auc + 0.1, "done")])) == best


@given(points)
def test_swapping_the_directions_mirrors_the_front(rows: Any) -> None:
    mirrored = [(-auc, -accuracy, state) for accuracy, auc, state in rows]
    other = {(-b, -a) for a, b in pairs(front(lines(mirrored)))}
    assert set(pairs(front(lines(rows)))) == other


@given(points)
def test_hypervolume_counts_the_cells_that_are_dominated(rows: Any) -> None:
    best = pairs(front(lines(rows)))
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


def table(folder: Path, **more: Any) -> pareto.Table:
    """What stands in a folder, and columns of one value."""
    names, found = pareto.read(folder)
    return pareto.Table([*names, *more], [dict(line) | more for line in found])


def test_query(folder: Path) -> None:
    assert pareto.query(folder) == [0, 1, 2]
    assert pareto.query(str(folder), max_auc=0.7) == [1, 2]
    assert pareto.query(folder, max_auc=0.7, min_accuracy=0.75) == [1]
    assert pareto.query(folder, where={"defense": "relaxloss"}) == [1, 2]
    assert pareto.query(folder, where={"relaxloss.alpha": "0.50", "seed": 0}) == [1]
    assert pareto.query(folder, where={"dpsgd.secure": "true"}) == [1]
    assert pareto.query(folder, where={"dpsgd.secure": False}) == [2]
    assert pareto.query(folder, where={"relaxloss.alpha": "high"}) == []
    assert pareto.query(folder, where={"relaxloss.alpha": ""}) == [0]
    assert pareto.query(table(folder, always=True), where={"always": "true"}) == [0, 1, 2]
    for value in ("True", "true", "TRUE", True):
        assert pareto.query(folder, where={"dpsgd.secure": value}) == [1]
    assert pareto.query(folder, where={"dpsgd.secure": "nan"}) == [], "an empty cell is '', not nan"
    assert [line["digest"] for line in pareto.read(folder).lines][:3] == ["123", "1e5", "789"]


def test_another_metric_draws_the_front_anew(folder: Path) -> None:
    assert pareto.query(folder, metric="auc.lira") == [0, 2, 3]
    assert pareto.query(folder, metric="lira", max_auc=0.55) == [2, 3]
    assert pareto.query(folder, metric="lira", where={"defense": "-odd"}) == [3]


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
    source = table(folder, epsilon=None)
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
    """Whole numbers, some of them unknown, and mixed ones."""
    (folder / "trials.csv").write_text(
        "trial,state,test_accuracy,max_attack_auc,size\n0,done,0.9,0.5,3\n1,done,0.8,0.5,\n2,done,0.7,0.6,1\n"
    )
    assert pareto.query(folder, metric="size") == [0, 2]
    assert pareto.query(folder, metric="size", max_auc=2) == [2]
    (folder / "trials.csv").write_text(
        (folder / "trials.csv").read_text().replace("0.6,1", "0.6,1.5")
    )
    assert pareto.query(folder, metric="size") == [0, 2]


def test_where_no_trial_finished_the_front_is_empty_and_nothing_is_wrong(folder: Path) -> None:
    head, *lines = CSV.splitlines()
    (folder / "trials.csv").write_text(f"{head}\n{lines[4]}\n")
    assert pareto.query(folder) == pareto.query(folder, metric="max_attack_auc") == []
    (folder / "trials.csv").write_text(f"{head}\n")
    assert pareto.query(folder) == []


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
    kinds = {name: {type(line[name]) for line in data.lines} - {type(None)} for name in data.names}
    asked = ("whole", "float", "both", "seed", "dpsgd.secure", "digest")
    assert [kinds[name] for name in asked] == [{int}, {float}, {float}, {int}, {bool}, {str}]
    assert not kinds["auc.lira"] - {float} and data.lines[4]["both"] is None
    names, rows = pareto.written(folder)
    assert [row[names.index("float")] for row in rows] == ["1.0", "", "2.0", "", ""]
    assert [row[names.index("both")] for row in rows] == ["1", "0.5", "2", "", ""]
    assert pareto.query(data, where={"whole": "1"}) == [0]
    assert pareto.query(data, where={"whole": ""}) == [1]


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
    found = [line["confirmed_max_attack_auc"] for line in pareto.read(folder).lines]
    assert found == [0.85, None, None, None, None]


def test_the_command_imports_no_data_frames(folder: Path) -> None:
    """What it imports is what it takes: pandas alone takes as long as all of it."""
    code = (
        "import sys; from raymia.cli import main\n"
        "try: main(['pareto', sys.argv[1]])\n"
        f"finally: print(*sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stderr.strip() == "" and "relaxloss" in done.stdout
