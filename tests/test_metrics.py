"""The statistics against brute force, closed forms, textbook values and simulated coverage."""

import math
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from raymia.verdict import maximum, metrics

NORMAL = NormalDist()


def pairs(score: Any, member: Any) -> float:
    """P(member above non-member) + P(tie)/2, one pair after the other."""
    inside, outside = score[member], score[~member]
    return float(np.mean([(a > b) + (a == b) / 2 for a in inside for b in outside]))


def binormal(rng: np.random.Generator, true_auc: float, side: int) -> tuple[Any, Any]:
    """`side` members and non-members with unit normal scores, whose means are apart by what
    gives `true_auc`.
    """
    member = np.arange(2 * side) < side
    return rng.normal(size=2 * side) + member * math.sqrt(2) * NORMAL.inv_cdf(true_auc), member


@st.composite
def scored(draw: Any, least: int = 1, most: int = 25) -> tuple[Any, Any]:
    """Scores on few levels, so that ties are common, with both classes present."""
    inside = draw(st.lists(st.integers(-4, 4), min_size=least, max_size=most))
    outside = draw(st.lists(st.integers(-4, 4), min_size=least, max_size=most))
    return np.array(inside + outside) / 4.0, np.arange(len(inside) + len(outside)) < len(inside)


@given(scored(), st.randoms(use_true_random=False))
def test_auc_counts_pairs(case: Any, random: Any) -> None:
    score, member = case
    auc = metrics.auc(score, member)
    assert auc == pytest.approx(pairs(score, member), abs=1e-12)
    assert auc == pytest.approx(roc_auc_score(member, score), abs=1e-12)
    assert auc + metrics.auc(score, ~member) == pytest.approx(1, abs=1e-12)
    assert auc + metrics.auc(-score, member) == pytest.approx(1, abs=1e-12)
    assert metrics.auc(3 * np.exp(score) - 7, member) == pytest.approx(auc, abs=1e-12)
    order = random.sample(range(score.size), score.size)
    assert metrics.auc(score[order], member[order]) == pytest.approx(auc, abs=1e-12)
    everyone = np.ones((1, score.size), bool)
    assert maximum._mean_area(score[None], member[None], everyone) == pytest.approx(auc, abs=1e-12)


def test_a_constant_score_says_nothing() -> None:
    member = np.arange(40) < 10
    judged = metrics.judge(np.full(40, 3.0), member, threshold=3.0)
    assert judged.auc.value == 0.5 and judged.auc.lo is not None and judged.auc.hi is not None
    assert 0 < judged.auc.lo < 0.5 < judged.auc.hi < 1
    assert judged.decision == (0.5, 0.0, {0.01: 0.01, 0.1: 0.1, 0.5: 0.5})


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_refused(bad: float) -> None:
    score, member = np.arange(20.0), np.arange(20) % 2 == 0
    score[3] = bad
    for measure in (metrics.auc, metrics.influence, metrics.best_threshold, metrics.judge):
        with pytest.raises(metrics.ScoreError, match="1 of 20 scores"):
            measure(score, member)
    with pytest.raises(metrics.ScoreError, match="lira, target 1: 1 of 20"):
        scores = {"lira": np.stack([np.arange(20.0), score])}
        maximum.summarise(scores, np.stack([member] * 2), np.ones((2, 20), bool), member, ["lira"])


def test_one_class_has_no_auc() -> None:
    with pytest.raises(ValueError, match="5 of 5 are members"):
        metrics.auc(np.arange(5.0), np.ones(5, bool))
    with pytest.raises(ValueError, match="shape"):
        metrics.auc(np.arange(5.0), np.ones(4, bool))


def test_delong_on_a_case_worked_by_hand() -> None:
    """Members 1, 3, 4, non-members 0, 2, 3: placements of members 1/3, 5/6, 1; of non-members
    1, 2/3, 1/2.

    AUC = 13/18. In eighteenths the members are off by -7, 2, 5 and the non-members by 5, -1,
    -4, hence S10 = (49 + 4 + 25)/324/2 = 78/648, S01 = (25 + 1 + 16)/324/2 = 42/648; DeLong:
    S10/3 + S01/3 = 120/1944.
    """
    score, member = np.array([1.0, 3, 4, 0, 2, 3]), np.array([1, 1, 1, 0, 0, 0], bool)
    influence = metrics.influence(score, member)
    assert metrics.auc(score, member) == pytest.approx(13 / 18)
    assert np.sum(influence**2) == pytest.approx(120 / 1944)
    np.testing.assert_allclose(influence * 18 * math.sqrt(6), [-7, 2, 5, 5, -1, -4], atol=1e-12)


@given(scored(least=2))
def test_influence_is_textbook_delong(case: Any) -> None:
    score, member = case
    inside, outside = score[member], score[~member]
    wins = (inside[:, None] > outside) + (inside[:, None] == outside) / 2
    textbook = wins.mean(1).var(ddof=1) / inside.size + wins.mean(0).var(ddof=1) / outside.size
    influence = metrics.influence(score, member)
    assert np.sum(influence**2) == pytest.approx(textbook, abs=1e-12)
    assert influence.sum() == pytest.approx(0, abs=1e-9)
    low, high = metrics.interval(metrics.auc(score, member), influence)
    auc = metrics.auc(score, member)
    assert 0 <= low <= auc + 1e-9 and auc - 1e-9 <= high <= 1


def test_interval_is_the_logit_one() -> None:
    """AUC 0.8 with variance 0.0016: logit 1.3863 +- 1.96 * 0.04/0.16."""
    low, high = metrics.interval(0.8, np.array([0.04, 0.0]))
    assert low == pytest.approx(1 / (1 + math.exp(-(math.log(4) - 1.959964 * 0.25))), abs=1e-7)
    assert high == pytest.approx(1 / (1 + math.exp(-(math.log(4) + 1.959964 * 0.25))), abs=1e-7)


def test_the_ends_have_one_sided_bounds() -> None:
    member = np.arange(100) < 50
    perfect, wrong = (
        metrics.judge(member * 1.0, member).auc,
        metrics.judge(member * -1.0, member).auc,
    )
    assert perfect == metrics.Rate(1.0, pytest.approx(0.05 ** (1 / 50)), 1.0)
    assert wrong == metrics.Rate(0.0, 0.0, pytest.approx(1 - 0.05 ** (1 / 50)))
    assert metrics.judge(np.arange(3.0), np.array([True, False, False])).auc.lo is None


@pytest.mark.parametrize("true_auc", [0.5, 0.8])
def test_coverage(true_auc: float) -> None:
    rng, held, n = np.random.default_rng(7), 0, 1200
    for _ in range(n):
        score, member = binormal(rng, true_auc, side=200)
        influence = metrics.influence(score, member)
        mean = maximum._mean_area(score[None], member[None], np.ones((1, 400), bool))
        low, high = metrics.interval(mean, influence)
        held += low <= true_auc <= high
    assert 0.93 <= held / n <= 0.97


@pytest.mark.parametrize(
    "redraw", [False, True], ids=["same members", "members redrawn for every target"]
)
def test_coverage_with_records_as_clusters(redraw: bool) -> None:
    """Half of a score's variance is the record's, the same for all four targets: AUC 0.7 in
    truth.
    """
    rng, held, naive, n = np.random.default_rng(11), 0, 0, 1000
    targets, records = 4, 240
    everything = np.ones((targets, records), bool)
    for _ in range(n):
        member = np.stack([rng.permutation(records) < records // 2 for _ in range(targets)])
        member = member if redraw else np.broadcast_to(member[0], member.shape)
        score = (rng.normal(size=records) + rng.normal(size=(targets, records))) / math.sqrt(2)
        score = score + member * math.sqrt(2) * NORMAL.inv_cdf(0.7)
        mean = maximum._mean_area(score, member, everything)
        influence = (
            np.stack([metrics.influence(s, m) for s, m in zip(score, member, strict=True)])
            / targets
        )
        low, high = metrics.interval(mean, influence.sum(0))
        held += low <= 0.7 <= high
        low, high = metrics.interval(mean, influence.ravel())
        naive += low <= 0.7 <= high
    assert 0.93 <= held / n <= 0.97
    if not redraw:
        assert naive / n < 0.90  # taking the targets for independent samples promises too much


def test_clopper_pearson_by_hand() -> None:
    assert metrics.clopper_pearson(0, 10) == (0.0, pytest.approx(1 - 0.025**0.1))
    assert metrics.clopper_pearson(10, 10) == (pytest.approx(0.025**0.1), 1.0)
    assert metrics.clopper_pearson(5, 10) == (
        pytest.approx(0.187086, abs=1e-6),
        pytest.approx(0.812914, abs=1e-6),
    )


@given(scored(least=20, most=60))
@settings(max_examples=50)
def test_tpr_against_every_threshold(case: Any) -> None:
    score, member = case
    points = [
        (np.mean(score[~member] >= t), np.mean(score[member] >= t))
        for t in [*np.unique(score), np.inf]
    ]
    for fpr in (0.5, 0.51, 0.9):
        rate = metrics.tpr_at(score, member, fpr)
        assert rate is not None and rate.value == pytest.approx(
            max(tpr for x, tpr in points if x <= fpr)
        )
        assert rate.lo is not None and rate.hi is not None and rate.lo <= rate.value <= rate.hi


def test_tpr_is_empty_where_too_few_could_err() -> None:
    for others, known in ((999, False), (1000, True)):
        member = np.arange(others + 5) < 5
        assert (metrics.tpr_at(np.arange(others + 5.0), member, 0.01) is not None) == known
    line = metrics.judge(np.arange(1005.0), np.arange(1005) >= 1000).line()
    assert line["tpr_at_fpr_0.01"] == 1.0 and line["tpr_at_fpr_0.001"] is None


@given(scored())
def test_best_threshold_against_every_threshold(case: Any) -> None:
    score, member = case

    def balanced(threshold: float) -> float:
        return float(np.mean(score[member] >= threshold) + np.mean(score[~member] < threshold)) / 2

    best = metrics.best_threshold(score, member)
    assert balanced(best) == pytest.approx(max(balanced(t) for t in [*np.unique(score), np.inf]))
    decision = metrics.at_threshold(score, member, best)
    assert decision.balanced_accuracy == pytest.approx(balanced(best))
    assert decision.advantage == pytest.approx(2 * balanced(best) - 1)
    assert decision.balanced_accuracy >= 0.5


def test_ppv_by_hand() -> None:
    """TPR 3/4 and FPR 1/4: at a prior of 1%, 0.0075 of all are found and 0.2475 are accused
    wrongly.
    """
    score, member = np.array([1.0, 1, 1, 0, 1, 0, 0, 0]), np.arange(8) < 4
    ppv = metrics.at_threshold(score, member, 0.5).ppv
    assert ppv == pytest.approx({0.01: 0.0075 / (0.0075 + 0.2475), 0.1: 0.25, 0.5: 0.75})
    assert metrics.at_threshold(score, member, 2.0).ppv == {0.01: None, 0.1: None, 0.5: None}


def test_a_line_has_the_columns_of_the_contract() -> None:
    line = metrics.judge(np.arange(20.0), np.arange(20) % 2 == 0, threshold=None).line()
    assert list(line) == [
        *("auc", "auc_lo", "auc_hi", "balanced_accuracy", "advantage"),
        *("tpr_at_fpr_0.01", "tpr_at_fpr_0.01_lo", "tpr_at_fpr_0.01_hi"),
        *("tpr_at_fpr_0.001", "tpr_at_fpr_0.001_lo", "tpr_at_fpr_0.001_hi"),
        *("ppv_at_0.01", "ppv_at_0.1", "ppv_at_0.5"),
    ]
    assert line["balanced_accuracy"] is None and line["tpr_at_fpr_0.01"] is None


def test_the_baseline_is_the_gap() -> None:
    """An attack that says member where the model is right: AUC = 1/2 + (train accuracy - test
    accuracy)/2.
    """
    rng = np.random.default_rng(3)
    member, correct = rng.random(300) < 0.5, rng.random(300) < 0.7
    gap = correct[member].mean() - correct[~member].mean()
    assert metrics.auc(correct, member) == pytest.approx(0.5 + gap / 2, abs=1e-12)


def test_the_maximum_is_cross_fitted() -> None:
    """`left` leaks on the half alone and `right` elsewhere: whoever is chosen on one half fails
    on the other.
    """
    member = np.tile([True, False], 50)[None]
    half = np.arange(100) < 50
    scores = {
        "left": np.where(half, member, ~member) * 1.0,
        "right": np.where(half, ~member, member) * 1.0,
    }
    judged = np.ones((1, 100), bool)
    out = maximum.summarise(scores, member, judged, half, ["left", "right"])
    assert out.chosen == ("left", "right")
    assert out.max_attack is not None and out.max_attack.value == 0.0
    assert out.plain_max_auc == 0.5 and out.worst_attack == "left"  # of equal ones the first
    steady = maximum.summarise(
        {"good": member * 1.0} | scores, member, judged, half, ["good", "left"]
    )
    assert steady.max_attack is not None and steady.max_attack.value == 1.0


def test_only_attacks_that_count_enter_the_maximum() -> None:
    member, everything, half = (
        np.tile([True, False], 50)[None],
        np.ones((1, 100), bool),
        np.arange(100) < 50,
    )
    known = everything & (np.arange(100) >= 10)
    scores = {"salem": np.where(known, member * 1.0, np.nan), "constant": np.zeros((1, 100))}
    out = maximum.summarise(
        scores, member, everything, half, ["constant"], judged_by={"salem": known}
    )
    assert out.attacks["salem"].rate.value == 1.0 and out.attacks["salem"].over_targets is None
    assert (
        out.max_attack is not None
        and out.max_attack.value == 0.5
        and out.worst_attack == "constant"
    )
    nothing = maximum.summarise(scores, member, everything, half, [], judged_by={"salem": known})
    assert (
        nothing.max_attack is None and nothing.plain_max_auc is None and nothing.worst_attack == ""
    )
    assert nothing.numbers()["max_attack_auc"] is None and nothing.numbers()["auc.salem"] == 1.0


def alike(rng: Any, shared: float) -> Any:
    """Three attacks with that correlation."""
    common = math.sqrt(shared) * rng.normal(size=(1, 120))
    return [common + math.sqrt(1 - shared) * rng.normal(size=(1, 120)) for _ in range(3)]


NULLS = {
    "independent attacks": lambda rng: alike(rng, 0.0),
    "attacks that agree": lambda rng: alike(rng, 0.8),
    "nine copies and one that is independent": lambda rng: (
        [rng.normal(size=(1, 120))] * 9 + [rng.normal(size=(1, 120))]
    ),
}


@pytest.mark.parametrize("kind", NULLS)
def test_on_null_scores_the_crossed_maximum_is_fair_and_the_plain_one_is_not(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # by counting instead of scikit-learn, which takes five times as long; that they agree is
    # tested above
    monkeypatch.setattr(
        metrics,
        "auc",
        lambda s, m: maximum._mean_area(s[None], m[None], np.ones((1, len(s)), bool)),
    )
    rng, crossed, plain, held, n = np.random.default_rng(5), [], [], 0, 1000
    for _ in range(n):
        member = rng.random((1, 120)) < 0.5
        scores = {f"a{i}": score for i, score in enumerate(NULLS[kind](rng))}
        out = maximum.summarise(
            scores, member, np.ones((1, 120), bool), rng.permutation(120) < 60, list(scores)
        )
        assert (
            out.max_attack is not None
            and out.max_attack.lo is not None
            and out.max_attack.hi is not None
        )
        crossed.append(out.max_attack.value)
        plain.append(out.plain_max_auc)
        held += out.max_attack.lo <= 0.5 <= out.max_attack.hi
    error = np.std(crossed) / math.sqrt(n)
    assert abs(np.mean(crossed) - 0.5) < 3 * error
    assert np.mean(plain) - 0.5 > 5 * error
    assert 0.93 <= held / n <= 0.97


@pytest.mark.parametrize("correlation", [-0.5, 0.0, 0.6])
def test_choosing_by_its_closed_form(correlation: float) -> None:
    """Of two attacks the larger is sqrt((1 - r)/pi) on average: the variance grows by (1 -
    r)/pi. Copies change nothing.
    """
    two = np.array([[1.0, 0.0], [correlation, math.sqrt(1 - correlation**2)]])
    closed = math.sqrt(1 + (1 - correlation) / math.pi)
    assert maximum.dependence(two) == pytest.approx(closed, abs=0.01)
    assert maximum.dependence(np.repeat(two, [9, 1], axis=0)) == pytest.approx(closed, abs=0.01)
    assert maximum.dependence(np.repeat(two, [9, 0], axis=0)) == pytest.approx(1.0, abs=0.01)
    assert maximum.dependence(two[:1]) == maximum.dependence(0 * two) == 1.0


def test_scores_of_too_few_targets_are_refused() -> None:
    member = np.stack([np.tile([True, False], 10)] * 2)
    with pytest.raises(ValueError, match="zip"):
        maximum.summarise({"a": member[:1] * 1.0}, member, np.ones((2, 20), bool), member[0], [])


def test_over_targets_is_the_t_interval() -> None:
    """Mean 0.6, s = 0.1, three targets: 0.6 +- 4.302653 * 0.1/sqrt(3)."""
    interval = metrics.spread_interval([0.5, 0.6, 0.7])
    assert interval == (
        pytest.approx(0.6 - 0.248414, abs=1e-5),
        pytest.approx(0.6 + 0.248414, abs=1e-5),
    )
    assert metrics.spread_interval([0.5]) is None


def test_accuracy_is_a_mean_over_targets_with_records_as_clusters() -> None:
    correct = np.array([[1, 1, 1, 0, 0], [1, 1, 0, 0, 1]], bool)
    judged = np.array([[1, 1, 1, 1, 0], [1, 1, 1, 1, 0]], bool)
    out = maximum.accuracy_interval(correct, judged)
    # shares 3/4 and 1/2; a record's influence: the sum over targets of (correct - share)/sqrt(4
    # * 3), over two targets
    moved = np.array([0.25 + 0.5, 0.25 + 0.5, 0.25 - 0.5, -0.75 - 0.5]) / math.sqrt(12) / 2
    assert out.rate.value == 0.625
    assert (out.rate.lo, out.rate.hi) == metrics.interval(0.625, moved)
    alone = maximum.accuracy_interval(correct[:1], judged[:1])
    assert alone.rate.value == 0.75 and alone.over_targets is None
    perfect = maximum.accuracy_interval(np.ones((2, 60), bool), np.ones((2, 60), bool)).rate
    assert perfect == metrics.Rate(1.0, pytest.approx(0.05 ** (1 / 60)), 1.0)
    with pytest.raises(ValueError, match="at least one"):
        maximum.accuracy_interval(correct, judged & False)


def test_the_upper_end_is_the_largest_of_all_that_count() -> None:
    rng = np.random.default_rng(0)
    member, half = rng.random((2, 300)) < 0.5, np.arange(300) < 150
    judged = np.ones((2, 300), bool)
    scores = {f"a{i}": i * 0.2 * member + rng.normal(size=(2, 300)) for i in range(4)}
    scores["uncounted"] = member * 1.0
    out = maximum.summarise(scores, member, judged, half, [f"a{i}" for i in range(4)])
    ends = [out.attacks[f"a{i}"].rate.hi or 0.0 for i in range(4)]
    assert out.upper == max(ends) == out.numbers()["max_attack_auc_upper"]
    assert out.max_attack is not None and out.upper >= (out.max_attack.value or 0)
    assert maximum.largest_upper([0.6, None]) is None and maximum.largest_upper([]) is None


def test_the_upper_end_covers_where_the_crossed_ones_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One weak attack is the best of eight: each half chooses another one more often than not.
    More settings, and 2,000 runs each: benchmarks/upper.py.
    """
    counted = lambda s, m: maximum._mean_area(s[None], m[None], np.ones((1, len(s)), bool))  # noqa: E731
    monkeypatch.setattr(maximum, "auc", counted)
    rng, runs, above, above_crossed = np.random.default_rng(0), 300, 0, 0
    truth = 0.5422  # Phi(0.15 / sqrt(2))
    judged = np.ones((2, 400), bool)
    for _ in range(runs):
        member, half = rng.random((2, 400)) < 0.5, rng.permutation(400) < 200
        scores = {f"a{i}": rng.normal(size=(2, 400)) for i in range(8)}
        scores["a0"] = scores["a0"] + 0.15 * member
        out = maximum.summarise(scores, member, judged, half, list(scores))
        assert out.upper is not None and out.max_attack is not None
        above += out.upper < truth
        above_crossed += (out.max_attack.hi or 0.0) < truth
    assert above <= 0.035 * runs < 0.1 * runs < above_crossed
