"""Two folders on one page: what comes first, where the points stand, and that names stay texts."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from cli_rows import invoke
from test_beside import TEXT, folder
from test_report import Page

from raymia.report import beside
from raymia.report.beside import Side
from raymia.report.page import pair
from raymia.results.folder import Folder

A = [(0, 0, 0.9, 0.7), (1, 0.5, 0.8, 0.6), (1, 1.0, 0.7, 0.55), (1, 1.5, 0.6, 0.65)]
B = [(0, 0, 0.88, 0.72), (1, 1.0, 0.75, 0.5), (2, 0, 0.6, 0.6)]
FILLED = re.compile(r'<use href="#m\d+" x="([\d.]+)" y="([\d.]+)" class="mark (\w+)"/>')
HOLLOW = re.compile(r'class="mark (\w+) open around" transform="translate\(([\d.]+) ([\d.]+)\) ')


@pytest.fixture
def sides(tmp_path: Path) -> tuple[Side, Side]:
    other = TEXT.replace("width: 8", "width: 16")
    return Side.of(folder(tmp_path / "a", A)), Side.of(folder(tmp_path / "b", B, other))


def figure(html: str, size: str = "wide") -> str:
    return html.partition(f'class="{size}"')[2].partition("</svg>")[0]


def marks(html: str, hollow: bool) -> list[tuple[float, float, str]]:
    """Where the marks of a side are in the figure, from the left, and their colours."""
    drawn = figure(html)
    if hollow:
        return sorted((float(x), float(y), kind) for kind, x, y in HOLLOW.findall(drawn))
    return sorted((float(x), float(y), kind) for x, y, kind in FILLED.findall(drawn))


def scale(pixels: Sequence[float], values: Sequence[float]) -> float:
    """Pixels for one, the same between any two: the axis is straight."""
    (first, *rest), (low, *others) = pixels, values
    steps = [(p - first) / (v - low) for p, v in zip(rest, others, strict=True)]
    assert steps == pytest.approx([steps[0]] * len(steps), rel=0.01)
    return steps[0]


def test_both_fronts_stand_on_the_same_axes(sides: tuple[Side, Side]) -> None:
    """Filled marks of A, hollow ones of B; points that are beaten are left out. The interval of a
    point goes 0.02 below and 0.04 above.
    """
    html = pair.html(*sides)
    a, b = marks(html, False), marks(html, True)
    assert (len(a), len(b)) == (3, 2), "relaxloss at 1.5, and label_smoothing, are beaten"
    points = [(x, y) for x, y, _ in (*a, *b)]
    accuracy, auc = (0.7, 0.8, 0.9, 0.75, 0.88), (0.55, 0.6, 0.7, 0.5, 0.72)
    across = scale([x for x, _ in points], accuracy)
    up = scale([y for _, y in points], auc)
    assert across > 0 > up, "more accuracy to the right, more leakage up"
    bars = re.findall(r"M([\d.]+),([\d.]+)H([\d.]+)M([\d.]+),([\d.]+)V([\d.]+)", figure(html))
    assert len(bars) == len(points)
    for left, y, right, x, bottom, top in (map(float, bar) for bar in bars):
        assert (x, y) in points
        assert (x - left, right - x) == pytest.approx((across * 0.02, across * 0.04), abs=0.2)
        assert (y - bottom, y - top) == pytest.approx((up * 0.02, -up * 0.04), abs=0.2)


def test_the_same_defense_has_the_same_mark_on_both(sides: tuple[Side, Side]) -> None:
    for hollow in (False, True):
        found = marks(pair.html(*sides), hollow)
        assert {kind for *_, kind in found} == {"bare", "c1"}, "c0 is that of label_smoothing"
    stairs = re.findall(r'class="stairs"( stroke-dasharray="[\d ]+")?', figure(pair.html(*sides)))
    assert [bool(dashed) for dashed in stairs] == [False, True]


def test_an_undefended_point_that_is_beaten_is_marked_all_the_same(tmp_path: Path) -> None:
    a = Side.of(folder(tmp_path / "a", [(0, 0, 0.7, 0.7), (1, 0.5, 0.8, 0.6)]))
    for hollow in (False, True):
        assert [kind for *_, kind in marks(pair.html(a, a), hollow)] == ["bare", "c0"]


def test_what_was_set_otherwise_comes_first(sides: tuple[Side, Side]) -> None:
    a, b = sides
    page = Page(pair.html(a, b))
    order = (
        "What was set otherwise",
        '"width": 8',
        '"width": 16',
        "Both fronts",
        "0.880",
        "B less A",
        "-0.020",
    )
    places = [page.text.index(one) for one in (*order, "What the numbers do not say")]
    assert places == sorted(places)
    assert "Nothing: data, network" in pair.html(a, replace(a, name="c"))


def test_its_differences_are_those_of_the_table(sides: tuple[Side, Side]) -> None:
    a, b = sides
    text = Page(pair.html(a, b)).text
    differences = [one.difference for one in beside.pairs(a, b)]
    assert len(differences) == 4
    for value, low, high in differences:
        assert f"{value:+.3f} ({low:+.3f} to {high:+.3f})" in text
    assert "0.900 (0.880 to 0.940)0.880 (0.860 to 0.920)-0.020 (" in text, "A, then B"
    assert "Only in B: label_smoothing." in text and "Only in A" not in text
    assert "Only in A: label_smoothing." in Page(pair.html(b, a)).text


def test_names_stay_texts(sides: tuple[Side, Side]) -> None:
    bad = '<script>alert(1)</script>"&'
    a, b = sides
    rows = tuple(replace(row, defense=bad, knobs={f"{bad}.k": bad}) for row in a.rows[:1])
    a = replace(a, name=bad, rows=(*rows, *a.rows[1:]), settings={**a.settings, "network": bad})
    for html in (pair.html(a, b), pair.html(b, a), pair.html(a, a)):
        page = Page(html)
        assert "<script" not in html and "script" not in page.tags
        assert bad in page.text
        elsewhere = [value for name, value in page.attributes if name in ("src", "href")]
        assert all(value and value.startswith("#") for value in elsewhere) and "://" not in html


def test_what_was_confirmed_stands_beside_what_was_found(sides: tuple[Side, Side]) -> None:
    a, b = sides
    assert "confirmed accuracy" not in pair.html(a, b)
    again = replace(a.rows[0], numbers={"test_accuracy": 0.811, "max_attack_auc": 0.7})
    html = pair.html(replace(a, confirmed=(again,)), b)
    assert "0.811" in Page(html).text and figure(html).count('class="again bare"') == 1
    assert "2 of the 3 points on the front of A and 2 of the 2 points on the front of B" in html
    whole = [replace(one, confirmed=one.rows) for one in sides]
    assert "Both fronts were trained again" in pair.html(*whole)
    assert "Both fronts were trained again" not in pair.html(whole[0], b)


def test_it_says_what_a_difference_may_be_of(sides: tuple[Side, Side]) -> None:
    a, b = sides
    text = pair.html(a, b)
    assert "wider than they had to be" in text and "settings differ at once" not in text
    other = replace(b, settings={**b.settings, "data": "f" * 16, "attacks": "[]"})
    text = pair.html(a, other)
    assert "A and B read other data" in text and "wider than they had to be" not in text
    assert "3 settings differ at once" in text and "in A and B others ran" in text


def test_folders_that_were_searched_by_other_measures(sides: tuple[Side, Side]) -> None:
    """Both fronts are by the AUC then, which every row has."""
    a, b = sides
    rows = tuple(
        replace(row, objective="advantage", numbers={**row.numbers, "advantage": 0.3})
        for row in b.rows
    )
    html = pair.html(a, replace(b, rows=rows))
    assert marks(html, True) == marks(pair.html(a, b), True)
    assert "searched by other measures (max_attack_auc, advantage)" in html


def test_a_network_that_did_not_learn_is_said_before_any_number(sides: tuple[Side, Side]) -> None:
    a, b = sides
    numbers = {"majority": 0.95, "learned": 0.0, "train_accuracy": 0.9}
    rows = tuple(replace(row, numbers={**row.numbers, **numbers}) for row in b.rows)
    text = Page(pair.html(a, replace(b, rows=rows))).text
    assert text.index("B: the undefended network did not learn") < text.index("Both fronts")


def test_a_file_is_written_whole_and_once(tmp_path: Path) -> None:
    a, b = (str(folder(tmp_path / name, made).path) for name, made in (("a", A), ("b", B)))
    first, second = tmp_path / "new" / "one.html", tmp_path / "two.html"
    for page in (first, second):
        done = invoke("compare", a, b, "--page", str(page))
        assert (done.exit_code, done.stdout.strip()) == (0, str(page)), done.output
    assert first.read_bytes() == second.read_bytes(), "the same rows, the same bytes"
    assert [one.name for one in first.parent.iterdir()] == ["one.html"]
    second.write_text("mine")
    done = invoke("compare", a, b, "--page", str(second))
    assert done.exit_code == 2 and "nothing is overwritten" in done.stderr
    assert second.read_text() == "mine"


def test_what_is_refused_is_one_line(tmp_path: Path) -> None:
    a = str(folder(tmp_path / "a", A).path)
    empty, page = str(folder(tmp_path / "empty", []).path), str(tmp_path / "x.html")
    under = str(Path(page) / "x.html")
    for arguments, code, why in (
        ((a, "--page", page), 2, "two folders"),
        ((a, a, "--page", page, "--csv"), 2, "one of them"),
        ((a, empty, "--page", page), 2, "no finished trial"),
        ((a, a, "--page", f"{a}/x.html"), 2, "outside the results folders"),
        ((a, a, "--page", "s3://b/x.html"), 2, "a path on this machine"),
    ):
        done = invoke("compare", *arguments)
        assert done.exit_code == code and why in done.stderr, done.output
        assert done.stderr.count("\n") == 1 and not Path(page).exists()
    Path(page).write_text("")
    done = invoke("compare", a, a, "--page", under)
    assert done.exit_code == 3 and done.stderr.strip().endswith("choose another --page")


def test_nothing_to_draw_is_said(tmp_path: Path) -> None:
    out = Folder(tmp_path / "a")
    a = Side.of(folder(tmp_path / "b", A))
    bare = replace(a, rows=tuple(replace(row, numbers={}) for row in a.rows), name=str(out.path))
    html = pair.html(bare, bare)
    assert "No trial has both numbers" in html and "No defense is in both" in html
