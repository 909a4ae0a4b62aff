"""The report: whole, honest, self-contained, and the same bytes for the same rows."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_rows import invoke

from raymia.records.data import load
from raymia.report import page as report
from raymia.report.page import decision, evidence
from raymia.report.page.data import said
from raymia.report.page.declared import combined
from raymia.report.page.recipes import alone
from raymia.report.page.setting import split
from raymia.results.folder import Folder
from raymia.results.row import Row
from raymia.study import sweep
from raymia.trial import record_scores
from raymia.trial import run as trial

SWEEP = """
name: small
dataset: {digits: {records: 240}}
network: {mlp: {width: 32}}
protocol: {coin: {models: 8, targets: 2}}
defenses: [[%s]]
attacks: [loss, lira]
training: {epochs: 20, momentum: 0.5}
"""

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
    out.write_sweep("name: quick  # <why>\n")
    return out


def test_the_page_is_whole_and_needs_nothing_from_elsewhere(folder: Folder) -> None:
    text = report.write(folder).read_text()
    page = Page(text)
    assert "http:" not in text and "https:" not in text and "@import" not in text
    assert "default-src 'none'" in text  # a browser fetches nothing even if it were asked to
    assert not {"link", "img", "iframe", "object"} & set(page.tags)
    assert all(
        (value or "").startswith("#") for name, value in page.attributes if name in ("href", "src")
    )
    assert "svg" in page.tags and "name: quick  # <why>" in page.text
    for one in ROWS:
        assert one.digest[:12] in page.text


def test_everything_is_escaped(folder: Folder) -> None:
    text = report.write(folder).read_text()
    assert "<script>alert" not in text and "&lt;script&gt;alert(1)" in text
    assert "<b>" not in text and "$odd$ & <b>" in Page(text).text
    live = json.loads(between(text, 'id="live">', "</script>"))
    assert live["names"]["2"] == "$odd$ & <b>"


def between(text: str, start: str, end: str) -> str:
    return text.split(start, 1)[1].split(end, 1)[0]


def test_the_same_rows_give_the_same_bytes(folder: Folder, tmp_path: Path) -> None:
    first = report.write(folder).read_bytes()
    (folder.path / "report.html").unlink()
    assert report.write(folder.path).read_bytes() == first
    assert report.page("x", ROWS, [], "") == report.page("x", ROWS, [], "")


def test_its_heading_is_the_name_of_the_sweep(folder: Folder) -> None:
    assert between(report.write(folder).read_text(), "<h1>", "</h1>") == "quick"
    assert between(report.page("a<b", ROWS, [], ""), "<h1>", "</h1>") == "a&lt;b"


def test_the_numbers_of_the_front_are_those_of_the_csv(folder: Folder) -> None:
    folder.derive()
    lines = list(csv.DictReader(io.StringIO((folder.path / "pareto.csv").read_text())))
    table = data(ROWS)["front"]
    assert [row["trial"] for row in table["rows"]] == [int(line["trial"]) for line in lines]
    for line, row in zip(lines, table["rows"], strict=True):
        cells = dict(zip(table["head"], row["cells"], strict=True))
        for head, name in (("test accuracy", "test_accuracy"), ("attack AUC", "max_attack_auc")):
            value, low, high = (float(line[end]) for end in (name, f"{name}_lo", f"{name}_hi"))
            assert cells[head] == f"{value:.3f} ({low:.3f} to {high:.3f})"
        shown = Page(report.write(folder).read_text()).text
        assert all(cell in shown for cell in row["cells"])


def data(rows: list[Row], confirmed: Sequence[Row] = ()) -> dict[str, Any]:
    return said("x", rows, confirmed, "", {}, ())


def test_what_is_said_of_all_trials(folder: Folder) -> None:
    text = Page(report.write(folder).read_text()).text
    assert "4 trials: 3 done, 1 failed, on digits with mlp. 2 of them stand on the front" in text
    assert "Without defense: accuracy 0.900, attack AUC 0.800." in text
    assert "1 trial gave no numbers" in text and "An epsilon" not in text
    heat = data(ROWS)["heat"]
    assert [one["attack"] for one in heat["attacks"]] == ["lira"]
    assert [cell["text"] for cell in heat["attacks"][0]["cells"]] == ["0.790", "0.690", "0.590"]


def test_it_says_whether_the_front_is_confirmed(folder: Folder) -> None:
    found = Page(report.write(folder).read_text()).text
    assert "2 of the 2 points of the front are not confirmed" in found
    folder.confirm(row(0, 0.88, 0.81, "none"))
    half = Page(report.write(folder).read_text()).text
    assert "1 of the 2 points" in half and "0.880 (0.850 to 0.900)" in half
    assert "0.880 (0.850 to 0.900), -0.020" in half  # less 0.9
    assert "0.810 (0.760 to 0.850), +0.010" in half  # less 0.8
    folder.confirm(row(1, 0.84, 0.63))
    assert "decide on the confirmed numbers" in Page(report.write(folder).read_text()).text


def test_only_the_current_sweep_is_reported(folder: Folder) -> None:
    text = Page(report.write(folder, [ROWS[1].digest]).read_text()).text
    assert "1 trial: 1 done, on" in text and ROWS[0].digest[:12] not in text


@pytest.mark.parametrize("rows", [[], ROWS[3:]], ids=["no rows", "no row that is done"])
def test_a_report_of_nothing(rows: list[Row]) -> None:
    text = Page(report.page("empty", rows, [], "")).text
    assert "No network without defense is more accurate than a constant answer." in text


# ---- the answer


def asked(most: float, least: float = 0.0, confirmed: Sequence[Row] = ()) -> tuple[str, int | None]:
    found = data(ROWS, confirmed)
    sentences, trial = decision.answer(found["options"], found["measure"], most, least)
    return " ".join(sentences), trial


def test_the_answer_goes_by_the_upper_end_of_the_interval() -> None:
    """Trial 1 has the AUC 0.6, at most 0.64; trial 2 0.7, at most 0.74; undefended 0.8, 0.84."""
    text, trial = asked(0.64)
    assert trial == 1 and "To reach attack AUC 0.640 take relaxloss alpha=0.5" in text
    assert "attack AUC 0.600, at most 0.640); it costs 5.0 points of accuracy" in text
    assert "not confirmed" in text
    text, trial = asked(0.639)
    assert trial == 1 and "No trained point reaches attack AUC 0.639. The nearest is" in text
    text, trial = asked(0.74)
    assert trial == 1  # more accurate than trial 2, and more private
    text, trial = asked(0.82)
    assert "By the number alone no defense (accuracy 0.900, attack AUC 0.800) would do" in text
    text, trial = asked(0.841)
    assert trial == 0 and "no defense is needed for that" in text


def test_the_least_accuracy_counts_by_the_number() -> None:
    assert asked(0.7, 0.85)[1] == 1
    text, trial = asked(0.7, 0.86)
    assert trial == 0 and "No trained point reaches attack AUC 0.700 with accuracy 0.860" in text
    assert asked(0.7, 0.95)[1] == 1  # nobody is so accurate: the most private is the nearest


def test_what_was_confirmed_decides() -> None:
    again = [row(1, 0.80, 0.66, "relaxloss")]
    again = [replace(one, numbers={**one.numbers, "seeds": 5.0}) for one in again]
    text, trial = asked(0.64, confirmed=again)
    assert "No trained point reaches attack AUC 0.640" in text
    text, trial = asked(0.70, confirmed=again)
    assert (
        trial == 1
        and "it costs 10.0 points" in text
        and "confirmed with fresh seeds: 5 of them" in text
    )


def test_a_gate_lets_through_what_the_page_says_is_reached() -> None:
    """Both go by the largest upper end of all attacks, where a row has it."""
    one = replace(ROWS[1], numbers={**ROWS[1].numbers, "max_attack_auc_upper": 0.66})
    option = next(o for o in data([ROWS[0], one])["options"] if o["trial"] == 1)
    assert option["highest"] == 0.66


def test_a_point_that_a_constant_answer_beats_is_no_answer() -> None:
    rows = [ROWS[0], replace(ROWS[1], numbers={**ROWS[1].numbers, "majority": 0.9})]
    assert [one["trial"] for one in data(rows)["options"]] == [0]


# ---- what must be read first


def test_warnings_name_what_is_wrong() -> None:
    idle = "relaxloss did nothing here (relaxed: 0%): its numbers are those of the recipe without"
    rows = [
        row(0, 0.8, 0.6, "none"),
        row(1, 0.85, 0.7, "dpsgd"),
        replace(row(2, 0.7, 0.55), notes=[idle]),
    ]
    rows[1].numbers["epsilon"] = 5422.0
    text = " ".join(one.text for one in data(rows)["warnings"])
    assert "A part of relaxloss did nothing in trial 2" in text
    assert "The epsilon of trial 1 is above 100" in text
    assert "More exposed than without defense, although on the front: dpsgd" in text
    assert "1,000 non-members over all targets are needed, 960 were judged" in text
    assert not any(one.grave for one in data(rows)["warnings"])
    for one in rows:
        one.numbers.update(learned=0.0, majority=0.1, train_accuracy=0.1)
    assert data(rows)["warnings"][0].grave


# ---- the sweep file of one point


@pytest.mark.parametrize("recipe", ["", "srcm: {r1: {low: 3, high: 25}}, relaxloss: {}"])
def test_the_file_of_a_point_trains_that_point(recipe: str) -> None:
    """Same digest: the same records, recipe, training, attacks and seed."""
    study = sweep.parse(SWEEP % recipe)
    records = load(study.dataset, 0)
    point = study.point(0, study.default(0), 0, records)
    text = alone(replace(ROWS[1], point=point.to_json()), "small")
    again = sweep.parse(text)
    assert again.search.trials == 1 and len(again.arms) == 1 and again.name == "small-trial-1"
    assert not again.space(0) and again.point(0, {}, 0, records).digest() == point.digest()


def test_texts_are_split_and_joined_to_the_same() -> None:
    texts = {1: "n: s-1\na\nb\nc\n", 2: "n: s-2\na\nx\ny\nc\n", 3: "n: s-3\na\nc\n", 4: ""}
    for some in (texts, {5: "n: s-5\na\nb\n", 6: "n: s-6\na\nb\n"}):
        found = split(some)
        assert {
            trial: f"{found['first']}{trial}\n{found['head']}{own}{found['tail']}"
            for trial, own in found["own"].items()
        } == {trial: text for trial, text in some.items() if text}
    assert found["own"] == {5: "", 6: ""}
    assert split({})["own"] == {}


# ---- what the signals say


def test_a_roc_is_the_largest_tpr_at_each_fpr() -> None:
    rng = np.random.default_rng(0)
    score = rng.integers(0, 9, 300).astype(float)  # many ties
    member = rng.random(300) < 0.5
    others, members = score[~member], score[member]
    for fpr, tpr in evidence.curve(score, member):
        cuts = [c for c in [*np.unique(score), np.inf] if (others >= c).mean() <= fpr + 1e-12]
        assert tpr == max((members >= c).mean() for c in cuts)
    assert evidence.curve(score, member)[-1] == (1.0, 1.0)


def test_what_is_declared_and_measured_is_combined_by_bayes() -> None:
    """Of 1,000 people 100 are members; 30 of them are called so, and 45 of the 900 others."""
    found = combined(0.3, 0.05, 0.1, 100)
    assert (found.found, found.accused) == (pytest.approx(30), pytest.approx(45))
    assert found.precision == pytest.approx(30 / 75) and found.lift == pytest.approx(4.0)
    guess = combined(0.05, 0.05, 0.2, 10)
    assert guess.lift == pytest.approx(1.0)  # an attack that guesses says what one knew
    assert combined(0.0, 0.0, 0.1, 10).precision is None


def test_kept_signals_say_who_is_exposed(tmp_path: Path) -> None:
    study = sweep.parse(SWEEP % "", overrides=["training.epochs=5"])
    records = load(study.dataset, 0)
    folder = Folder(tmp_path / "kept")
    one = replace(trial.attempt(study.point(0, {}, 0, records), records, folder.signals), trial=0)
    assert one.state == "done"
    folder.write(one)
    seen = evidence.of(one, folder.signals)
    judged = (one.members or 0) * one.targets
    assert seen["attack"] == "lira" and seen["members"] == judged
    assert sum(each["members"] for each in seen["classes"]) == judged
    assert all(sum(share) == pytest.approx(1.0) for share in seen["confidence"])
    area = np.trapezoid(*np.array([(0.0, 0.0), *seen["roc"]]).T[::-1])
    assert area == pytest.approx(one.numbers["auc.lira"], abs=0.05)
    rows = {found["row"] for found in seen["exposed"]["most"]}
    told = record_scores.exposures(one, Path(folder.signals), "lira")
    assert rows == {found.row for found in told[:10]}
    text = Page(report.write(folder).read_text()).text
    assert "The most exposed records, by their row in the file" in text
    assert "Left out" not in text
    folder.drop_signals(one.signals)
    assert "does not hold its signals" in Page(report.write(folder).read_text()).text


def test_a_large_folder_stays_below_a_megabyte() -> None:
    rng = np.random.default_rng(0)
    study = sweep.parse(SWEEP % "srcm: {r1: {low: 3, high: 25}}, relaxloss: {}")
    point = study.point(0, study.default(0), 0, load(study.dataset, 0)).to_json()
    rows = [
        replace(
            row(i, *(0.5 + 0.4 * rng.random(2)), ["none", "relaxloss", "srcm", "mmd"][i % 4]),
            point=point,
        )
        for i in range(500)
    ]
    assert len(report.page("large", rows, rows[:9], "").encode()) < 1_000_000


# ---- on paper


def test_without_a_browser_paper_is_refused_in_one_line(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder.path / "sweep.yaml").unlink()  # it is a heading here, no sweep
    monkeypatch.setattr("shutil.which", lambda name: None)
    done = invoke("report", str(folder.path), "--pdf")
    assert done.exit_code == 3 and done.stdout.strip().endswith("report.html")
    assert done.stderr.startswith("raymia: --pdf: a browser prints the page, and none of chromium")
