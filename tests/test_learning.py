"""A sweep whose networks learned nothing says so first, and its numbers decide nothing."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cli_rows import invoke, row

from raymia.cluster import progress
from raymia.records.data import Data, load
from raymia.report import page, query
from raymia.results.folder import Folder
from raymia.results.row import Row, best
from raymia.study import sweep
from raymia.trial import run as trial
from raymia.verdict import learning

TINY = """
name: tiny
dataset: {digits: {records: 240}}
network: {mlp: {width: 32}}
protocol: {coin: {models: 4, targets: 2}}
defenses: [[]]
attacks: [loss]
training: {epochs: 20, lanes: 4}
"""


def test_the_majority_by_hand() -> None:
    """Two targets, judged non-members 0,0,0,1 and 1,1: shares 3/4 and 1."""
    label = np.array([0, 0, 0, 1, 1, 1, 2, 2])
    member = np.zeros((2, 8), bool)
    member[:, 6:] = True
    member[1, :4] = True
    judged = np.ones((2, 8), bool)
    judged[0, 5] = judged[1, 3] = judged[0, 4] = False
    found = learning.numbers(label, np.ones((2, 8), bool), member, judged)
    assert found["majority"] == pytest.approx((3 / 4 + 1) / 2)


@pytest.mark.parametrize(("rate", "learned"), [(0.50, 0.0), (0.55, 0.0), (0.75, 1.0), (1.0, 1.0)])
def test_learned_is_above_the_majority_beyond_doubt(rate: float, learned: float) -> None:
    """200 members, two classes: 55% right may be luck, at one-sided 99%; 75% is not."""
    label = np.arange(400) % 2
    member = np.arange(400)[None] < 200
    right = (np.arange(400) % 200 < 200 * rate)[None]
    found = learning.numbers(label, right, member, np.ones((1, 400), bool))
    assert found == {"majority": 0.5, "learned": learned}


def test_chance_alone_seldom_counts_as_learned() -> None:
    draw, said = np.random.default_rng(0), []
    label, member = np.arange(400) % 2, np.arange(400)[None] < 200
    for _ in range(2000):
        right = draw.random((1, 400)) < 0.5
        said.append(learning.numbers(label, right, member, np.ones((1, 400), bool))["learned"])
    assert 0.002 < np.mean(said) < 0.02


def known(one: Row, train: float, majority: float, learned: float) -> Row:
    more = {"train_accuracy": train, "majority": majority, "learned": learned}
    return replace(one, numbers=one.numbers | more)


def test_what_a_constant_answer_beats_is_on_no_front(tmp_path: Path) -> None:
    rows = [
        known(row(0, "none", 0.9, 0.7), 1.0, 0.6, 1.0),
        known(row(1, "dpsgd", 0.6, 0.5), 0.6, 0.6, 0.0),
        known(row(2, "crl", 0.61, 0.55), 0.7, 0.6, 1.0),
        row(3, "relaxloss", 0.5, 0.52),  # written before there was a majority
    ]
    assert [one.trial for one in best(rows)] == [0, 2, 3]
    folder = Folder(tmp_path)
    for one in rows:
        folder.write(one)
    folder.derive()
    assert query.query(tmp_path) == [0, 2, 3]
    assert learning.warning([{"state": "done", "defense": "none", **rows[0].numbers}]) == ""


def swept(folder: Path, data: Data | None = None, **training: float) -> Row:
    file = sweep.parse(TINY, "x", [f"training.{k}={v}" for k, v in training.items()])
    data = load(file.dataset, 0) if data is None else data
    one = trial.attempt(file.point(0, {}, 0, data), data)
    kept = Folder(folder)
    kept.write(replace(one, trial=0))
    kept.derive()
    page.write(kept, None)
    return one


def test_where_nothing_was_learned_everything_begins_with_that(tmp_path: Path) -> None:
    one = swept(tmp_path, lr=1e-9)
    assert one.state == "done" and one.numbers["learned"] == 0.0
    said = "the undefended network did not learn: its train accuracy, "
    asked = invoke("pareto", str(tmp_path))
    assert asked.exit_code == 0 and asked.stderr.startswith(said)
    assert asked.stdout == "no point of the front matches\n"
    gate = invoke("gate", str(tmp_path), "--max-auc", "0.9")
    assert gate.exit_code == 1 and gate.stderr.startswith(said)
    html = (tmp_path / "report.html").read_text()
    assert html.index(said) < html.index("No network without defense")
    assert "than a constant answer" in html
    assert (tmp_path / "pareto.csv").read_text().count("\n") == 1
    assert "not on the front: its test accuracy" in progress.line(one)
    assert any(note.startswith("not on the front") for note in one.notes)
    refused = invoke("confirm", str(tmp_path))
    assert refused.exit_code == 2


def test_where_labels_are_random_what_was_learned_is_no_use(tmp_path: Path) -> None:
    data = load(sweep.parse(TINY).dataset, 0)
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1], [168, 72]))
    one = swept(tmp_path, replace(data, y=labels, classes=2), epochs=60)
    assert one.numbers["learned"] == 1.0 and learning.useless(one.numbers)
    said = "the undefended network learned nothing that holds for other records: train accuracy "
    assert invoke("pareto", str(tmp_path)).stderr.startswith(said)
    assert invoke("gate", str(tmp_path), "--max-auc", "1").exit_code == 1
    assert said in (tmp_path / "report.html").read_text()


def test_where_networks_learn_nothing_is_said(tmp_path: Path) -> None:
    one = swept(tmp_path)
    assert one.numbers["learned"] == 1.0 and not learning.useless(one.numbers)
    asked = invoke("pareto", str(tmp_path))
    assert asked.stderr == "" and "none" in asked.stdout
    assert 'class="warning grave"' not in (tmp_path / "report.html").read_text()


def test_where_training_diverged_the_reason_stands_in_the_row(tmp_path: Path) -> None:
    one = swept(tmp_path, lr=1e9)
    assert (one.state, "learned" in one.numbers) == ("invalid", False)
    assert "not a number" in one.reason and "not a number" in progress.line(one)
    assert "not a number" in (tmp_path / "report.html").read_text()
    assert invoke("gate", str(tmp_path), "--max-auc", "1").exit_code != 0


def test_without_an_undefended_arm_all_trials_are_asked() -> None:
    one = known(row(0, "dpsgd", 0.6, 0.5), 0.6, 0.6, 0.0)
    cells = {"state": "done", "defense": "dpsgd", **one.numbers}
    assert learning.warning([cells]).startswith("no network of this sweep learned: its train")
