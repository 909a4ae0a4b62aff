"""The report: whole, honest, self-contained, and the same bytes for the same rows."""

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from raymia.report import page as report
from raymia.results.folder import Folder
from raymia.results.row import Row

VOID = {"meta", "link", "br", "img", "hr", "input"}


class Page(HTMLParser):
    """Checks that tags nest, and keeps the tags, the attributes and the text."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def row(trial: int, accuracy: float, auc: float, defense: str = "relaxloss", **changes: Any) -> Row:
    numbers = {
        "test_accuracy": accuracy,
        "test_accuracy_lo": accuracy - 0.03,
        "test_accuracy_hi": accuracy + 0.02,
    }
    numbers |= {
        "max_attack_auc": auc,
        "max_attack_auc_lo": auc - 0.05,
        "max_attack_auc_hi": auc + 0.04,
    }
    numbers |= {"auc.lira": auc - 0.01, "auc_lo.lira": auc - 0.02, "auc_hi.lira": auc + 0.01}
    digest = f"{(trial + 1) * 0x123456789ABCDEF:064x}"[::-1]
    knobs = {"relaxloss.alpha": 0.5} if defense == "relaxloss" else {}
    whole = Row(
        trial,
        digest,
        "5" * 64,
        "done",
        "",
        {},
        "digits",
        "mlp",
        defense,
        knobs,
        0,
        8,
        4,
        240,
        240,
        numbers,
    )
    return replace(whole, worst_attack="lira", **changes)


ROWS = [
    row(0, 0.9, 0.8, "none"),
    row(1, 0.85, 0.6),
    row(2, 0.8, 0.7, "$odd$ & <b>"),
    row(
        3, 0.7, 0.6, state="failed", reason="<script>alert(1)</script>", numbers={}, notes=["a & b"]
    ),
]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    out = Folder(tmp_path / "quick<start>")
    for one in ROWS:
        out.write(one)
    out.write_sweep("name: quickstart  # <why>\n")
    return out


def test_the_page_is_whole_and_needs_nothing_from_elsewhere(folder: Folder) -> None:
    text = report.write(folder).read_text()
    page = Page(text)
    assert "http:" not in text and "https:" not in text
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert all(
        (value or "").startswith("#") for name, value in page.attributes if name in ("href", "src")
    )
    assert (
        "svg" in page.tags
        and "name: quickstart  # <why>" in page.text
        and "quick<start>" in page.text
    )
    for one in ROWS:
        assert one.digest[:12] in page.text


def test_everything_is_escaped(folder: Folder) -> None:
    text = report.write(folder).read_text()
    assert "<script>" not in text and "&lt;script&gt;alert(1)" in text
    assert "<b>" not in text and "$odd$ & <b>" in Page(text).text


def test_the_same_rows_give_the_same_bytes(folder: Folder, tmp_path: Path) -> None:
    first = report.write(folder).read_bytes()
    (folder.path / "report.html").unlink()
    assert report.write(folder.path).read_bytes() == first
    assert report.page("x", ROWS, [], "") == report.page("x", ROWS, [], "")


def test_the_numbers_and_their_intervals_are_there(folder: Folder) -> None:
    text = Page(report.write(folder).read_text()).text
    assert "4 trials on digits with mlp: 3 done, 1 failed. 2 of them stand on the front" in text
    assert (
        "Without any defense: test accuracy 0.900 (0.870 to 0.920), max attack AUC 0.800 (0.750 to "
        "0.840)" in text
    )
    assert "0.590 (0.580 to 0.610)" in text  # lira on trial 1
    assert "1 trial gave no numbers" in text and "An epsilon" not in text


def test_it_says_whether_the_front_is_confirmed(folder: Folder) -> None:
    assert (
        "2 of the 2 points of the front are not confirmed"
        in Page(report.write(folder).read_text()).text
    )
    folder.confirm(row(0, 0.88, 0.81, "none"))
    half = Page(report.write(folder).read_text()).text
    assert "1 of the 2 points" in half and "0.880 (0.850 to 0.900)" in half
    assert "-0.020+0.010" in half and "change of accuracy" in half  # 0.88 less 0.9, 0.81 less 0.8
    folder.confirm(row(1, 0.84, 0.63))
    assert "decide on the confirmed numbers" in Page(report.write(folder).read_text()).text


def test_only_the_current_sweep_is_reported(folder: Folder) -> None:
    text = Page(report.write(folder, [ROWS[1].digest]).read_text()).text
    assert "1 trial on" in text and ROWS[0].digest[:12] not in text


@pytest.mark.parametrize("rows", [[], ROWS[3:]], ids=["no rows", "no row that is done"])
def test_a_report_of_nothing(rows: list[Row]) -> None:
    Page(report.page("empty", rows, [], ""))
