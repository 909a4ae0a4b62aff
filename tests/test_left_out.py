"""No row vanishes in silence: what a table leaves out is counted, with the reason."""

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from raymia.cli import main
from raymia.defenses.relaxloss import Relaxloss
from raymia.point.point import Point
from raymia.point.schedule import Training
from raymia.point.space import Part
from raymia.records.data import load as load_data
from raymia.results.folder import Folder
from raymia.results.row import Row
from raymia.study import sweep
from raymia.study.asked import left_out

TEXT = """
name: tiny
dataset: {digits: {records: 120}}
network: {mlp: {width: 8}}
protocol: {coin: {models: 4, targets: 2, reserve: 0.2}}
defenses: [[], [relaxloss: {alpha: [0.2, 0.5]}]]
attacks: [baseline, loss]
search: {trials: 3}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    file = sweep.parse(TEXT)
    data = load_data(file.dataset, 0)
    points = [file.point(0, {}, 0, data)]
    points += [file.point(1, {"relaxloss.alpha": alpha}, 0, data) for alpha in (0.2, 0.5)]
    kept = Folder(tmp_path)
    kept.write_sweep(sweep.dump(file.resolved()))
    for i, point in enumerate(points):
        numbers = {"test_accuracy": 0.9 - i / 10, "max_attack_auc": 0.7 - i / 20}
        numbers |= {"max_attack_auc_upper": 0.8, "train_accuracy": 1.0}
        kept.write(
            Row(
                i, point.digest(), "0" * 8, "done", "", point.to_json(), "digits", "mlp",
                point.defense, dict(point.knobs), 0, 4, 2, numbers=dict(numbers),
            )
        )  # fmt: skip
    kept.derive()
    return tmp_path


def said(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, list(arguments))
    return result.exit_code, result.stdout, result.stderr


def test_nothing_is_said_where_nothing_is_left_out(folder: Path) -> None:
    assert left_out(Folder(folder)) == ""
    assert said("report", str(folder))[2] == "" and said("pareto", str(folder))[2] == ""


def test_a_raised_revision_is_counted_in_every_command(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Relaxloss, "revision", Relaxloss.revision + 1)
    expected = "2 of the 3 trials"
    for command in (("report",), ("gate", "--max-auc", "0.9")):
        _, _, error = said(command[0], str(folder), *command[1:])
        assert expected in error and "2 of an older revision" in error, command
        assert len(error.splitlines()[0]) > 0 and f"raymia run {folder}" in error
    # the CSVs hold one line now, and say so
    assert len((folder / "trials.csv").read_text().splitlines()) == 2
    code, _, error = said("pareto", str(folder))
    assert code == 0 and f"{expected} of {folder} are not in its CSVs" in error


def test_training_of_another_revision_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Training, "revision", Training.revision + 1)
    assert left_out(Folder(folder)).startswith("3 of the 3 trials")


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("reserve: 0.2", "reserve: 0.3", "protocol"),
        ("width: 8", "width: 9", "network"),
        ("seed: 0", "seed: 1", "seed"),
        ("{lanes: auto}", "{lanes: auto, epochs: 7}", "training"),
        ("attacker: adaptive", "attacker: plain", "attacker"),
    ],
)
def test_an_edited_sweep_file_is_named_by_what_was_edited(
    folder: Path, old: str, new: str, what: str
) -> None:
    file = folder / "sweep.yaml"
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new).split("\n", 1)[1])  # of before sweep.yaml was sealed
    assert f"3 of another {what} than sweep.yaml says" in left_out(Folder(folder))


def test_a_knob_that_comes_later_changes_no_digest(folder: Path) -> None:
    row = Folder(folder).rows()[1]
    before = dict(row.point)
    (part,) = before["recipe"]
    fewer = {k: v for k, v in part["relaxloss"].items() if k != "variant"}
    assert len(fewer) < len(part["relaxloss"])
    training = {k: v for k, v in before["training"].items() if k not in ("warmup", "checkpoint")}
    old = Point.from_json({**before, "recipe": [{"relaxloss": fewer}], "training": training})
    assert old == Point.from_json(before) and old.digest() == row.digest
    # another value than the default does change it
    other = replace(old, recipe=(Part("relaxloss", {**fewer, "variant": "jek"}),))
    assert other.digest() != row.digest
