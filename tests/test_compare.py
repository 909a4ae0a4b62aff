"""Published numbers beside ours: which trials are compared, and with what interval."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from raymia.errors import SweepError
from raymia.point.point import Point
from raymia.records.data import Data
from raymia.records.data import load as load_data
from raymia.report import compare, page
from raymia.results.row import Row
from raymia.study import sweep
from raymia.study.sweep import Sweep

TEXT = """
name: pub
dataset: {digits: {records: 120}}
network: {mlp: {width: 8}}
protocol: {halves: {shadows: 1, reserve: 0.0}}
defenses: [[], [relaxloss: {alpha: {low: 0.1, high: 1.0}}]]
attacks: [baseline, loss]
search: {trials: 6, repeats: 3}
published:
  source: Nobody, table 1
  rows:
    - {arm: 0, network: mlp, test_accuracy: 0.7, test_accuracy_spread: 0.01, auc.loss: 0.6}
    - {arm: 1, test_accuracy: 0.5, advantage: 0.2, note: contradicts table 2}
"""


@pytest.fixture(scope="module")
def asked() -> tuple[Sweep, Data]:
    file = sweep.parse(TEXT)
    return file, load_data(file.dataset, 0)


def row(point: Point, trial: int, **numbers: float) -> Row:
    return Row(
        trial, point.digest(), "0" * 8, "done", "", point.to_json(), "digits", "mlp",
        point.defense, dict(point.knobs), 0, 2, 1, numbers=dict(numbers),
    )  # fmt: skip


def rows(asked: tuple[Sweep, Data]) -> list[Row]:
    file, data = asked
    bare = [
        row(file.point(0, {}, i, data), i, test_accuracy=value, **{"auc.loss": 0.6})
        for i, value in enumerate((0.6, 0.7, 0.72))
    ]
    strengths = ((0.2, 0.8, 0.3), (0.5, 0.55, 0.1), (0.9, 0.1, 0.0))
    relaxed = [
        row(
            file.point(1, {"relaxloss.alpha": alpha}, 0, data),
            3 + i,
            test_accuracy=accuracy,
            advantage=advantage,
            advantage_lo=advantage - 0.05,
            advantage_hi=advantage + 0.02,
        )
        for i, (alpha, accuracy, advantage) in enumerate(strengths)
    ]
    return bare + relaxed


def test_several_runs_are_a_mean_with_a_t_interval(asked: tuple[Sweep, Data]) -> None:
    accuracy, loss, *_ = compare.compare(asked[0], rows(asked))
    ours = np.array([0.6, 0.7, 0.72])
    low, high = stats.t.interval(0.95, 2, ours.mean(), stats.sem(ours))
    assert (accuracy.runs, accuracy.published, accuracy.spread) == (3, 0.7, 0.01)
    assert accuracy.ours == pytest.approx(ours.mean())
    assert accuracy.sd == pytest.approx(ours.std(ddof=1))
    assert (accuracy.low, accuracy.high) == pytest.approx((low, high))
    apart = accuracy.difference
    assert apart == pytest.approx((ours.mean() - 0.7, low - 0.7, high - 0.7))
    assert loss.ours == pytest.approx(0.6) and loss.sd == pytest.approx(0.0)


def test_of_a_searched_arm_the_point_of_the_nearest_accuracy_is_compared(
    asked: tuple[Sweep, Data],
) -> None:
    *_, accuracy, advantage = compare.compare(asked[0], rows(asked))
    # 0.55 is nearest to 0.5, though the advantage of another point is nearer to 0.2
    assert (accuracy.ours, accuracy.runs, accuracy.knobs) == (0.55, 1, "alpha=0.5")
    assert (advantage.ours, advantage.low, advantage.high) == pytest.approx((0.1, 0.05, 0.12))
    assert advantage.difference == pytest.approx((-0.1, -0.15, -0.08))
    assert advantage.note == "contradicts table 2" and accuracy.sd is None


def test_failed_trials_and_missing_numbers_are_not_compared(asked: tuple[Sweep, Data]) -> None:
    failed = [replace(one, state="failed") for one in rows(asked)]
    found = compare.compare(asked[0], failed)
    assert [one.runs for one in found] == [0, 0, 0, 0]
    assert all(one.ours is None and one.difference == (None, None, None) for one in found)


def test_what_is_published_decides_nothing(asked: tuple[Sweep, Data]) -> None:
    file, data = asked
    bare = sweep.parse(TEXT[: TEXT.index("published:")])
    assert not bare.published and file.published["source"] == "Nobody, table 1"
    assert bare.point(0, {}, 0, data).digest() == file.point(0, {}, 0, data).digest()
    again = sweep.parse(sweep.dump(file.resolved()))
    assert again.published == file.published
    assert sweep.parse(sweep.dump(bare.resolved())).published == {}


def test_the_page_shows_them(asked: tuple[Sweep, Data]) -> None:
    found = compare.compare(asked[0], rows(asked))
    text = page.page("pub", rows(asked), [], "", None, found)
    assert "Beside the published numbers" in text and "0.700 +- 0.010" in text
    assert "Beside the published" not in page.page("pub", rows(asked), [], "")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("arm: 0,", "arm: 2,", "published.rows.0.arm: got 2; the number of an arm, 0 to 1"),
        ("arm: 0, ", "", "published.rows.0.arm"),
        ("network: mlp,", "network: cnn,", "published.rows.0.network: got 'cnn'; mlp"),
        ("auc.loss", "auc.los", "did you mean 'auc.loss'"),
        ("auc.loss: 0.6", "auc.loss: high", "a number"),
        ("auc.loss: 0.6", "auc.lira: 0.6", "published.rows.0.'auc.lira'"),
        ("source: Nobody, table 1", "", "published.source"),
        ("note: contradicts table 2", "note: 7", "published.rows.1.note: got 7"),
        ("source:", "sources: x\n  source:", "no such key"),
    ],
)
def test_published_numbers_are_checked(old: str, new: str, said: str) -> None:
    assert old in TEXT
    with pytest.raises(SweepError) as error:
        sweep.parse(TEXT.replace(old, new, 1))
    assert said in str(error.value) and "\n" not in str(error.value)
