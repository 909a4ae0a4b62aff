"""What a sweep weighs the accuracy against: from the file to the front."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from raymia import cli
from raymia.errors import SweepError
from raymia.point.objectives import PRIVACY
from raymia.records.data import load
from raymia.report import page, query
from raymia.results.folder import Folder
from raymia.results.row import Row, best
from raymia.search.suggest import Outcome
from raymia.study import continues, preflight, sweep
from raymia.trial import confirm

TEXT = """
name: weighed
dataset: digits
network: {mlp: {width: 16}}
protocol: {coin: {models: 6, targets: 3, reserve: 0.1}}
defenses: [[], [relaxloss: {alpha: {low: 0.0, high: 2.0}}]]
attacks: [loss, lira]
training: {epochs: 1, lanes: 6}
search: {trials: 4, objective: {privacy: %s}}
"""


def test_the_default_and_the_choices() -> None:
    plain = sweep.parse(TEXT.replace(", objective: {privacy: %s}", ""))
    assert plain.search.objective == {"accuracy": "test_accuracy", "privacy": "max_attack_auc"}
    for name in PRIVACY[:4]:
        asked = sweep.parse(TEXT % name)
        assert asked.search.objective["privacy"] == name
        again = sweep.parse(sweep.dump(asked.resolved()))
        assert again == asked


@pytest.mark.parametrize(
    ("spelled", "why"),
    [
        ("{privacy: max_tpr}", "max_tpr"),
        ("{accuracy: train_accuracy}", "test_accuracy"),
        ("{privcy: advantage}", "privacy"),
        ("{privacy: epsilon_lower}", "canaries"),
        ("{privacy: canary_tpr_at_fpr_0.01}", "canaries"),
        ("[advantage]", "a mapping is allowed"),
    ],
)
def test_another_is_refused_when_the_file_is_loaded(spelled: str, why: str) -> None:
    with pytest.raises(SweepError, match=f"objective.*{why}"):
        sweep.parse(TEXT.replace("{privacy: %s}", spelled))


def test_a_rate_that_so_few_cannot_resolve_is_refused_before_anything_starts() -> None:
    few = sweep.parse((TEXT % "max_tpr_at_fpr_0.01").replace("digits", "{digits: {records: 300}}"))
    with pytest.raises(SweepError, match="it needs 1000 non-members on each half"):
        preflight.check(few, load(few.dataset, 0))
    enough = sweep.parse(TEXT % "max_tpr_at_fpr_0.01")
    preflight.check(enough, load(enough.dataset, 0))
    planted = sweep.parse(TEXT % "canary_tpr_at_fpr_0.01" + "canaries: {blank: 20}\n")
    with pytest.raises(SweepError, match="it needs 100 planted non-members.*there are"):
        preflight.check(planted, load(planted.dataset, 0))
    standard = sweep.parse(TEXT % "canary_tpr_at_fpr_0.01" + "canaries: standard\n")
    assert standard.canaries == {"mislabelled": 80}  # 240 over three targets
    preflight.check(standard, load(standard.dataset, 0))


def test_canaries_are_standard_or_counted() -> None:
    with pytest.raises(SweepError, match="canaries.*standard"):
        sweep.parse(TEXT % "advantage" + "canaries: standrad\n")


def test_a_folder_keeps_its_objective() -> None:
    one, other = (sweep.parse(TEXT % name) for name in ("advantage", "max_attack_auc"))
    with pytest.raises(SweepError, match=r"search.objective.privacy was 'advantage'"):
        continues.check_continues(one.resolved(), other)


def row(trial: int, accuracy: float, **numbers: float) -> Row:
    return Row(
        trial, f"{trial:08x}", "s", "done", "", {}, "d", "n", "x", {}, 0, 2, 1,
        numbers={"test_accuracy": accuracy, **numbers},
        objective="max_tpr_at_fpr_0.01",
    )  # fmt: skip


# the AUC and the TPR disagree about which is private
ROWS = [
    row(0, 0.9, **{"max_attack_auc": 0.6, "max_tpr_at_fpr_0.01": 0.30}),
    row(1, 0.8, **{"max_attack_auc": 0.7, "max_tpr_at_fpr_0.01": 0.05}),
    row(2, 0.7, **{"max_attack_auc": 0.5, "max_tpr_at_fpr_0.01": 0.10}),
]


def test_the_front_the_search_and_the_tables_go_by_it(tmp_path: Path) -> None:
    assert [r.trial for r in best(ROWS)] == [0, 1]
    assert [r.trial for r in best([replace(r, objective="max_attack_auc") for r in ROWS])] == [0, 2]
    assert Outcome.of(ROWS[1]).values == (0.8, 0.05)
    folder = Folder(tmp_path)
    for one in ROWS:
        folder.write(one)
    folder.derive()
    assert query.objective(query.read(tmp_path)) == "max_tpr_at_fpr_0.01"
    assert query.query(tmp_path) == [0, 1]
    assert query.query(tmp_path, max_auc=0.1) == [1]
    assert query.query(tmp_path, metric="max_attack_auc") == [0, 2]
    assert (tmp_path / "pareto.csv").read_text().count("\n") == 3
    shown = CliRunner().invoke(cli.main, ["pareto", str(tmp_path)], terminal_width=200)
    assert shown.exit_code == 0 and "max_tpr_at_fpr_0.01" in shown.output
    written = page.write(tmp_path)
    assert "Largest TPR at FPR 1% that you accept" in Path(str(written)).read_text()


def test_a_gate_by_tpr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Folder(tmp_path)
    for one in ROWS:
        folder.write(one)
    sure: dict[str, Any] = {"max_attack_auc_upper": 0.75, "max_tpr_at_fpr_0.01_upper": 0.08}
    folder.confirm(replace(ROWS[1], numbers={**ROWS[1].numbers, **sure, "seeds": 5.0}))
    assert [r.trial for r in confirm.passes(folder, max_tpr=0.08)] == [1]
    assert not confirm.passes(folder, max_tpr=0.079)
    assert not confirm.passes(folder, max_auc=0.7, max_tpr=0.08)
    assert confirm.passes(folder, max_auc=0.75, max_tpr=0.08, min_accuracy=0.8)
    assert not confirm.passes(folder, max_tpr=0.08, min_accuracy=0.81)

    def gate(*asked: str) -> Any:
        return CliRunner().invoke(cli.main, ["gate", str(tmp_path), *asked])

    good = gate("--max-tpr", "0.08")
    assert good.exit_code == 0 and "max_tpr_at_fpr_0.01_upper 0.080" in good.output
    bad = gate("--max-tpr", "0.05", "--max-auc", "0.9")
    assert bad.exit_code == 1 and "max_tpr_at_fpr_0.01_upper <= 0.05" in bad.output
    assert gate().exit_code == 2


def test_what_is_confirmed_has_the_rates_of_every_attack() -> None:
    numbers = {
        "max_tpr_at_fpr_0.01": 0.2, "max_attack_auc": 0.6, "test_accuracy": 0.9,
        "tpr_at_fpr_0.01.loss": 0.1, "tpr_at_fpr_0.01.lira": 0.2, "auc.loss": 0.55,
        "auc.lira": 0.6, "advantage.loss": -0.1, "advantage.lira": 0.2, "advantage": 0.1,
    }  # fmt: skip
    study = sweep.parse(TEXT % "max_tpr_at_fpr_0.01")
    point = study.point(0, {}, 0, load(study.dataset, 0))
    seen = replace(ROWS[0], point=point.to_json())
    fresh = [replace(seen, numbers={k: v + 0.02 * i for k, v in numbers.items()}) for i in range(3)]
    made = confirm.combine(seen, fresh).numbers
    assert made["tpr_at_fpr_0.01.lira"] == pytest.approx(0.22)
    assert made["max_tpr_at_fpr_0.01_upper"] == made["tpr_at_fpr_0.01_hi.lira"]
    assert made["advantage_lo.loss"] is not None and made["advantage_lo.loss"] < -0.1
    assert made["advantage_upper"] == made["advantage_hi.lira"]


def test_canaries_are_said_beside_the_average(tmp_path: Path) -> None:
    """A low AUC of the average record does not hide that planted ones are found."""
    folder = Folder(tmp_path)
    for one in ROWS:
        planted = {"canary_auc": 0.953, "canary_tpr_at_fpr_0.01": 0.62}
        folder.write(replace(one, numbers={**one.numbers, **planted}))
    folder.derive()
    shown = CliRunner().invoke(cli.main, ["pareto", str(tmp_path)], terminal_width=400)
    said = "canaries are found with AUC 0.953, the average record with 0.600"
    assert "canary_auc" in shown.output and said in " ".join(shown.output.split())
    html = Path(str(page.write(tmp_path))).read_text()
    assert "canary TPR at FPR 1%" in html and said in html
