"""Groups of people: read beside the records, shown by what an attack finds of each."""

import re
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_rows import invoke
from loaded import read, refused, some

from raymia.errors import SweepError
from raymia.records.account import account, sentences
from raymia.records.canaries import plant
from raymia.records.data import Data, load, take
from raymia.records.groups import Groups
from raymia.report import page
from raymia.report.page import evidence, warned
from raymia.results.folder import Folder
from raymia.results.row import Row
from raymia.signals import observe
from raymia.study import sweep
from raymia.trial import record_scores
from raymia.trial import run as trial
from raymia.verdict import grouped, low_fpr, metrics

# ---- how they are read


def people(path: Path, cells: list[str], name: str = "sex") -> Path:
    """A table of so many people, the column before the label."""
    lines = [f"{i / 7:.4f},{i % 5},{cell},{i % 2}" for i, cell in enumerate(cells)]
    path.write_text(f"a,b,{name},y\n" + "\n".join(lines) + "\n")
    return path


def test_a_column_of_a_table_is_groups_and_a_feature_unless_dropped(tmp_path: Path) -> None:
    cells = ["f", "m", "m", ""] * 10
    file = str(people(tmp_path / "t.csv", cells))
    data = read("table", path=file, label="y", groups="sex", missing="category")
    assert data.groups is not None
    assert (data.groups.column, data.groups.names) == ("sex", ("(empty)", "f", "m"))
    assert [data.groups.names[k] for k in data.groups.code] == [c or "(empty)" for c in cells]
    plain = read("table", path=file, label="y", missing="category")
    assert (plain.x == data.x).all() and data.x.shape[1] == 5
    dropped = read("table", path=file, label="y", groups=2, drop=["sex"])
    assert dropped.x.shape[1] == 2 and dropped.groups is not None
    assert dropped.groups.counts() == {"(empty)": 10, "f": 10, "m": 20}


def test_without_groups_the_data_are_what_they_were_and_with_them_others(tmp_path: Path) -> None:
    file = str(people(tmp_path / "t.csv", ["f", "m"] * 20))
    plain, with_groups = (read("table", path=file, label="y", **k) for k in ({}, {"groups": "sex"}))
    assert plain.groups is None and "groups" not in account(plain)
    assert plain.sha256() == replace(with_groups, groups=None).sha256() != with_groups.sha256()
    groups = with_groups.groups
    assert groups is not None
    for other in (
        replace(groups, code=1 - groups.code),
        replace(groups, column="gender"),
        replace(groups, names=("a", "b")),
    ):
        assert replace(with_groups, groups=other).sha256() != with_groups.sha256()


def test_they_go_with_their_records(tmp_path: Path) -> None:
    """Whatever is drawn, dropped or planted."""
    cells = ["f", "m", "d"] * 20
    lines = [f"{i},{cell},{i % 2}" for i, cell in enumerate(cells)]
    # the second record is the first one again, but for the column that is no feature
    text = "a,sex,y\n" + "\n".join([lines[0].replace("f", "m"), *lines]) + "\n"
    (tmp_path / "t.csv").write_text(text)
    knobs: dict[str, Any] = dict(label="y", groups="sex", drop=["sex"], numbers=["a"])
    data = read("table", path=str(tmp_path / "t.csv"), **knobs)
    assert data.groups is not None and len(data) == 60
    said = [data.groups.names[k] for k in data.groups.code]
    assert said == ["m", *cells[1:]]
    few = take(data, 25, 3)
    assert few.groups is not None
    assert [few.groups.names[k] for k in few.groups.code] == [said[int(a)] for a in few.x[:, 0]]
    kinds = np.zeros(25, np.int8)
    kinds[:4] = 1
    planted = plant(few, kinds, 0, 0).groups
    assert planted is not None and (planted.code == few.groups.code).all()


def test_of_many_texts_the_rare_are_pooled_and_many_numbers_are_refused(tmp_path: Path) -> None:
    cells = [f"town{i:02}" for i in range(24) for _ in range(30 - i)]
    file = str(people(tmp_path / "t.csv", cells, "town"))
    data = read("table", path=file, label="y", groups="town")
    assert data.groups is not None
    counts = data.groups.counts()
    assert list(counts) == [f"town{i:02}" for i in range(19)] + ["(other)"]
    assert counts == {f"town{i:02}": 30 - i for i in range(19)} | {"(other)": 11 + 10 + 9 + 8 + 7}
    ages = str(people(tmp_path / "ages.csv", [str(20 + i % 21) for i in range(200)], "age"))
    refused("table", "groups: 'age' has 21 numbers", "bins", path=ages, label="y", groups="age")
    names = str(people(tmp_path / "n.csv", [f"name{i % 30}" for i in range(200)], "who"))
    refused("table", "groups: 'who' has 30 texts", path=names, label="y", groups="who")
    refused("table", "groups: there is no column 'wo'", "who", path=names, label="y", groups="wo")


def test_numbers_stand_in_their_order(tmp_path: Path) -> None:
    file = str(people(tmp_path / "t.csv", ["10", "9", "100"] * 20, "level"))
    data = read("table", path=file, label="y", groups="level")
    assert data.groups is not None and data.groups.names == ("9", "10", "100")


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (np.array([10, 9, 9] * 10), ("9", "10")),
        (np.array([1.0, 2.5, np.nan] * 10), ("1", "2.5", "(empty)")),
        (np.array([["b"], ["a"], [""]] * 10), ("(empty)", "a", "b")),
        (np.array([True, False, True] * 10), ("False", "True")),
    ],
)
def test_an_array_of_a_file_is_groups(tmp_path: Path, values: Any, names: tuple[str, ...]) -> None:
    x = np.arange(60.0).reshape(30, 2)
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(30) % 2, who=values)
    data = read("arrays", path=str(tmp_path / "a.npz"), groups="who")
    assert data.groups is not None and (data.groups.column, data.groups.names) == ("who", names)
    assert data.x.shape == (30, 2)
    plain = read("arrays", path=str(tmp_path / "a.npz"))
    assert plain.groups is None and plain.sha256() == replace(data, groups=None).sha256()


def test_arrays_that_are_no_groups_are_refused(tmp_path: Path) -> None:
    x, y = np.arange(60.0).reshape(30, 2), np.arange(30) % 2
    np.savez(tmp_path / "a.npz", x=x, y=y, two=x, few=y[:9], ages=np.arange(30))
    file = str(tmp_path / "a.npz")
    refused("arrays", "has no sex", "arrays.groups", path=file, groups="sex")
    refused("arrays", "groups are numbers or texts [N]", "two", path=file, groups="two")
    refused("arrays", "one for each of 30 records", path=file, groups="few")
    refused("arrays", "'ages' has 30 numbers; at most 20", path=file, groups="ages")
    with pytest.raises(SweepError, match="10 records and groups of 9"):
        some(groups=Groups("g", ("a",), np.zeros(9, np.int64)))


def test_what_was_read_says_so_and_hides_small_counts(tmp_path: Path) -> None:
    file = str(people(tmp_path / "t.csv", ["f"] * 12 + ["m"] * 20 + ["d"] * 3))
    said = account(read("table", path=file, label="y", groups="sex"))
    assert said["groups"] == {"column": "sex", "records": {"d": 3, "f": 12, "m": 20}}
    lines = [line for line in sentences(said) if line.startswith("groups:")]
    assert lines == ["groups:    by sex: d (fewer than 10), f (12), m (20)"]


# ---- their numbers


def scored(seed: int = 0, records: int = 3000, lift: float = 1.0) -> tuple[np.ndarray, ...]:
    """Scores, members, judged and right ones [T, S] and groups [S]; members of group 1 score
    higher by `lift`.
    """
    rng = np.random.default_rng(seed)
    code = rng.choice(3, records, p=(0.5, 0.497, 0.003))
    member = rng.random((2, records)) < 0.5
    scores = rng.normal(size=(2, records)) + lift * (member & (code == 1))
    on, right = rng.random((2, records)) < 0.9, rng.random((2, records)) < 0.8
    return scores, member, on, right, code


def test_a_groups_numbers_are_those_of_its_records_alone() -> None:
    scores, member, on, right, code = scored()
    found = grouped.numbers(scores, member, on, right, code, 3)
    for k in (0, 1):
        mine = np.flatnonzero(code == k)
        here = on[:, mine]
        one = [a[:, mine][here] for a in (scores, member, right)]
        assert found[k].members == one[1].sum() and found[k].others == (~one[1]).sum()
        assert found[k].records == here.any(0).sum()
        accuracy, auc, tpr = found[k].accuracy, found[k].auc, found[k].tpr
        assert accuracy and auc and tpr and auc.lo is not None and auc.hi is not None
        assert accuracy.value == pytest.approx(one[2][~one[1]].mean())
        above = one[0][one[1]][:, None] > one[0][~one[1]]
        assert auc.value == pytest.approx(above.mean())
        assert auc.lo < auc.value < auc.hi
        cut = np.sort(one[0][~one[1]])[::-1][int(0.01 * (~one[1]).sum())]
        assert tpr.value == pytest.approx((one[0][one[1]] > cut).mean())
    assert found[1].auc and found[0].auc and found[1].auc.value > 0.7 > 0.55 > found[0].auc.value
    assert found[2].records < 10 and found[2][3:] == (None, None, None)


def test_of_one_target_the_intervals_are_delongs_and_the_binomials() -> None:
    scores, member, on, right, _ = (one[:1] for one in scored())
    everyone = np.zeros(3000, np.int64)
    (found,) = grouped.numbers(scores, member, on, right, everyone, 1)
    alone = metrics.judge(scores[on], member[on])
    assert found.auc == alone.auc
    assert found.accuracy and found.accuracy.lo and found.accuracy.hi
    n, p = found.others, found.accuracy.value
    width = 2 * 1.96 * np.sqrt(p * (1 - p) / n)
    assert found.accuracy.hi - found.accuracy.lo == pytest.approx(width, rel=0.01)
    assert found.tpr == low_fpr.tpr(scores, member, on, 0.01, low_fpr.drawn(3000))[0]  # type: ignore[index]


def test_a_record_that_is_judged_twice_is_no_second_witness() -> None:
    """The same scores at two targets: the same intervals as at one."""
    scores, member, on, right, code = scored()
    once = [one[:1] for one in (scores, member, on, right)]
    twice = [np.concatenate([one, one]) for one in once]
    for a, b in zip(grouped.numbers(*once, code, 2), grouped.numbers(*twice, code, 2), strict=True):
        assert a.records == b.records and 2 * a.members == b.members
        assert a.auc and b.auc and a.accuracy and b.accuracy
        assert astuple(b.auc) == pytest.approx(astuple(a.auc), rel=1e-3)
        assert astuple(b.accuracy) == pytest.approx(astuple(a.accuracy), rel=1e-3)


def test_the_order_of_records_does_not_matter() -> None:
    scores, member, on, right, code = scored()
    order = np.random.default_rng(1).permutation(3000)
    turned = [one[:, order] for one in (scores, member, on, right)]
    for a, b in zip(
        grouped.numbers(scores, member, on, right, code, 3),
        grouped.numbers(*turned, code[order], 3),
        strict=True,
    ):
        assert a[:3] == b[:3]
        for one, other in ((a.auc, b.auc), (a.accuracy, b.accuracy)):
            assert (one is None) == (other is None)
            assert one is None or other is None or astuple(one) == pytest.approx(astuple(other))
        assert (a.tpr and a.tpr.value) == (b.tpr and b.tpr.value)


def test_who_is_clearly_more_exposed_is_named_and_nobody_where_none_is() -> None:
    scores, member, on, _, code = scored()
    found = grouped.clearly_more(scores, member, on, code, 3)
    assert list(found) == [1]
    own, rest = found[1]
    assert own.lo and rest.hi and own.lo > rest.hi
    assert own.value == metrics.auc(*(a[on & (code == 1)] for a in (scores, member)))
    assert rest.value == metrics.auc(*(a[on & (code != 1)] for a in (scores, member)))
    # of 20 groups of which none differs, hardly ever one
    for seed in range(5):
        scores, member, on, _, _ = scored(seed, lift=0.0)
        code = np.random.default_rng(seed).integers(0, 20, 3000)
        assert not grouped.clearly_more(scores, member, on, code, 20)


def test_the_level_is_that_of_all_groups_together() -> None:
    """With more groups to look at, the intervals of the same one are wider."""
    scores, member, on, _, code = scored()
    few, many = code.copy(), code.copy()
    many[code == 0] = 2 + np.arange((code == 0).sum()) % 10
    (one,) = grouped.clearly_more(scores, member, on, few, 3).values()
    (other,) = grouped.clearly_more(scores, member, on, many, 12).values()
    assert one[0].value == other[0].value and one[0].lo and other[0].lo
    assert other[0].lo < one[0].lo


# ---- a sweep with groups

SWEEP = """
name: people
dataset: {table: {path: %s, label: y, drop: [sex]%s}}
network: {mlp: {width: 256}}
protocol: {coin: {models: 8, targets: 4, reserve: 0.2}}
defenses: [[]]
attacks: [loss, lira]
training: {epochs: 60, lanes: 8}
canaries: {mislabelled: 6}
"""


def table(path: Path) -> Path:
    """Whose labels are chance among women, so that a network learns them by heart, and follow a
    feature among men; three more say nothing.
    """
    rng = np.random.default_rng(0)
    lines = ["a,b,c,d,sex,y"]
    for i in range(600):
        x, sex = rng.normal(size=4), "x" if i < 3 else "fm"[i % 2]
        y = int(rng.integers(2)) if sex == "f" else int(x[0] > 0)
        x[0] += (sex == "m") * (2 * y - 1)
        lines.append(",".join([*(f"{v:.5f}" for v in x), sex, str(y)]))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Folder, Row, Data]:
    root = tmp_path_factory.mktemp("people")
    file = table(root / "people.csv")
    study = sweep.parse(SWEEP % (file, ", groups: sex"))
    data = load(study.dataset, 0)
    folder = Folder(root / "kept")
    point = study.point(0, {}, 0, data)
    row = replace(trial.attempt(point, data, folder.signals), trial=0)
    assert row.state == "done", row.reason
    folder.write(row)
    folder.write_json("account.json", account(data))
    return folder, row, data


def test_they_decide_nothing(run: tuple[Folder, Row, Data], tmp_path: Path) -> None:
    """The same numbers as without them, under another digest."""
    _, row, data = run
    study = sweep.parse(SWEEP % (row.point["dataset"]["table"]["path"], ""))
    plain = load(study.dataset, 0)
    assert plain.sha256() != data.sha256() and (plain.x == data.x).all()
    other = trial.attempt(study.point(0, {}, 0, plain), plain, tmp_path)
    assert other.digest != row.digest and other.numbers == row.numbers
    assert other.attacks == row.attacks
    assert evidence.of(other, tmp_path)["groups"] is None


def test_they_are_kept_beside_the_signals(run: tuple[Folder, Row, Data]) -> None:
    folder, row, data = run
    kept = observe.kept(sweep_point(row), Path(folder.signals)).groups
    assert kept is not None and data.groups is not None
    assert (kept.column, kept.names) == (data.groups.column, data.groups.names)
    assert (kept.code == data.groups.code).all()


def sweep_point(row: Row) -> Any:
    from raymia.point.point import Point

    return Point.from_json(row.point)


def test_the_page_shows_them_as_the_single_scores_have_it(run: tuple[Folder, Row, Data]) -> None:
    """The table's AUC is that of what `raymia scores` prints, planted records left out."""
    folder, row, data = run
    seen = evidence.of(row, Path(folder.signals))
    groups = seen["groups"]
    lines = dict(groups["lines"])
    assert data.groups is not None
    printed = [
        one
        for one in record_scores.scores(row, Path(folder.signals))
        if one.attack == seen["attack"] and not one.canary
    ]
    for k, name in enumerate(data.groups.names):
        mine = [one for one in printed if data.groups.code[one.record] == k]
        assert lines[name].members + lines[name].others == len(mine)
        if name != "x":
            auc = metrics.auc([o.calibrated for o in mine], [o.member for o in mine])
            assert lines[name].auc.value == pytest.approx(auc)
    assert lines["f"].accuracy.value < 0.65 < 0.8 < lines["m"].accuracy.value
    assert [name for name, _, _ in groups["more"]] == ["f"]
    (warning,) = warned.groups([(row, seen)])
    assert "Clearly more exposed than the rest, by sex, with no defense: f (AUC" in warning.text
    html = page.text(folder)
    assert warning.text in html[: html.index('id="answer"')]
    rows = html[html.index('<table id="groups-0"') :].partition("</table>")[0].split("<tr>")[2:]
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", one) for one in rows]
    assert [line[0] for line in cells] == ["f", "m", "x"]
    assert cells[0][1:4] == [
        str(lines["f"].records),
        str(lines["f"].members),
        str(lines["f"].others),
    ]
    assert cells[0][5].startswith(f"{lines['f'].auc.value:.3f} (")
    # of few people nothing but that they are few
    assert cells[2] == ["x", "too few", "", "", "", ""]
    assert "groups:    by sex: f (298), m (299), x (fewer than 10)" in html


def test_scores_name_the_group_of_each_record(run: tuple[Folder, Row, Data]) -> None:
    folder, row, data = run
    assert data.groups is not None
    found = record_scores.exposures(row, Path(folder.signals), "lira")
    for one in found:
        want = "" if one.canary else data.groups.names[data.groups.code[one.record]]
        assert one.group == want
    assert {one.group for one in found} == {"", "f", "m", "x"}
    done = invoke("scores", str(folder.path), "--trial", "0", "--records", "--attack", "lira")
    head, first = done.stdout.splitlines()[:2]
    assert head.endswith(",ratio,group") and first.endswith(f",{found[0].group}")
