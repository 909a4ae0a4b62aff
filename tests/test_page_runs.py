"""Several runs of a point on the page: their mean, and an interval over them."""

from dataclasses import replace

import pytest
from scipy import stats

from raymia.report import page
from raymia.report.page import data, runs
from raymia.results.row import Row

REPEATED = "name: often\nsearch:\n  trials: 6\n  repeats: 3\n"


def row(trial: int, accuracy: float, auc: float, alpha: float | None, state: str = "done") -> Row:
    numbers: dict[str, float | None] = {
        "test_accuracy": accuracy,
        "test_accuracy_lo": accuracy - 0.2,
        "test_accuracy_hi": accuracy + 0.1,
        "max_attack_auc": auc,
        "max_attack_auc_lo": auc - 0.2,
        "max_attack_auc_hi": auc + 0.2,
        "max_attack_auc_upper": 0.99,
        "auc.loss": auc - 0.1,
        "auc.lira": auc - 0.02,
        "auc_lo.lira": auc - 0.05,
        "train_accuracy": 1.0,
    }
    return Row(
        trial,
        f"{trial + 1:064x}",
        "s",
        state,
        "" if state == "done" else "broke",
        {},
        "digits",
        "mlp",
        "none" if alpha is None else "relaxloss",
        {} if alpha is None else {"relaxloss.alpha": alpha},
        0,
        8,
        2,
        numbers=numbers if state == "done" else {},
        worst_attack="lira" if trial % 3 else "loss",
    )


ROWS = [
    row(0, 0.80, 0.70, None),
    row(1, 0.84, 0.80, None),
    row(2, 0.85, 0.75, None),
    row(3, 0.90, 0.60, 0.5),  # luckier than any other single run
    row(4, 0.70, 0.54, 0.5),
    row(5, 0.00, 0.00, 0.5, "failed"),
]


def test_a_point_is_the_mean_of_its_finished_runs() -> None:
    whole = data.said("x", ROWS, (), REPEATED, {}, ())
    points = whole["points"]
    assert {r.trial for r in points.rows} == {0, 3, 5}  # the failed one stands alone
    bare, defended = points.rows[:2]
    assert bare.numbers["test_accuracy"] == pytest.approx((0.80 + 0.84 + 0.85) / 3)
    assert defended.numbers["max_attack_auc"] == pytest.approx(0.57)
    three = stats.ttest_1samp([0.70, 0.80, 0.75], 0).confidence_interval(0.95)
    ends = bare.numbers["max_attack_auc_lo"], bare.numbers["max_attack_auc_hi"]
    assert ends == pytest.approx((three.low, three.high))
    # a mean of ends is no end
    assert not {"max_attack_auc_upper", "auc_lo.lira"} & bare.numbers.keys()
    assert bare.worst_attack == "lira"
    assert points.bare is bare and {o["trial"] for o in whole["options"]} == {0, 3}
    option = next(o for o in whole["options"] if o["trial"] == 0)
    assert option["highest"] == pytest.approx(three.high)
    # by its best run trial 3 would be 0.9 accurate, and alone on the front
    assert [r.trial for r in points.front] == [0, 3]
    assert ("mean of trials", "0, 1, 2") in points.card(bare)


def test_the_page_says_so_and_all_trials_stay_in_their_table() -> None:
    text = page.page("often", ROWS, (), REPEATED)
    assert runs.SAID in text and "6 trials of 3 points: 5 done, 1 failed" in text
    assert "but of the draws where a point has several runs; confirmed" in text
    table = text[text.index('<table id="all-trials"') :].partition("</table>")[0]
    assert table.count("<tr>") == 1 + len(ROWS)
    assert "0.840 (0.640 to 0.940)" in table


@pytest.mark.parametrize(
    "sweep", ["", "name: x\nsearch: {trials: 6}\n", "# repeats: 3\nsearch: {repeats: 1}\n"]
)
def test_where_nobody_asked_each_run_is_a_point(sweep: str) -> None:
    whole = data.said("x", ROWS, (), sweep, {}, ())
    assert whole["points"].rows == ROWS and not whole["means"]
    assert runs.SAID not in page.page("x", ROWS, (), sweep)


def test_what_was_confirmed_of_any_run_stands_for_the_point() -> None:
    again = replace(ROWS[4], numbers={"test_accuracy": 0.77, "max_attack_auc": 0.58, "seeds": 5.0})
    points = data.said("x", ROWS, (again,), REPEATED, {}, ())["points"]
    assert points.deciding(points.rows[1])["test_accuracy"] == 0.77


def test_one_finished_run_keeps_its_own_interval() -> None:
    points = data.said("x", [ROWS[3], ROWS[5]], (), REPEATED, {}, ())["points"]
    assert points.rows[0] == ROWS[3]
