"""TPR at low FPR and the highest advantage: by their definitions, record by record."""

from typing import Any

import numpy as np
import pytest

from raymia.verdict import low_fpr, metrics

Array = np.ndarray[Any, Any]


def drawn(
    attacks: int = 3, targets: int = 2, records: int = 1500, shift: float = 1.0, seed: int = 0
) -> tuple[dict[str, Array], Array, dict[str, Array], Array]:
    """Scores by attack, of which the first shifts a quarter of the members most."""
    rng = np.random.default_rng(seed)
    member = rng.random((targets, records)) < 0.5
    memorised = member * (rng.random(records) < 0.25)
    scores = {
        f"a{i}": rng.standard_normal((targets, records)) + shift * (attacks - i) * memorised
        for i in range(attacks)
    }
    on = dict.fromkeys(scores, np.ones_like(member))
    return scores, member, on, rng.permutation(records) % 2 == 0


@pytest.mark.parametrize("step", [0.0, 0.25])
def test_of_one_target_it_is_the_tpr_of_the_contract(step: float) -> None:
    """With ties, too: then a whole level is called, or none of it."""
    scores, member, on, half = drawn(targets=1, records=4000)
    scores = {name: np.round(s / step) * step if step else s for name, s in scores.items()}
    found = low_fpr.summarise(scores, member, on, half, list(scores))
    for name, score in scores.items():
        one, expected = (
            found.attacks["tpr_at_fpr_0.01"][name],
            metrics.tpr_at(score[0], member[0], 0.01),
        )
        assert one is not None and expected is not None and one.value == expected.value
        assert one.lo is not None and one.hi is not None and one.lo < one.value < one.hi
        assert found.attacks["tpr_at_fpr_0.001"][name] is None  # 2,000 non-members, 10,000 needed
    assert found.resolution == 1 / (~member).sum()


def by_hand(score: Array, member: Array, fpr: float, weight: Array) -> float:
    """The best of all thresholds that keep the weighted FPR, one by one. All [pairs]."""
    best = 0.0
    for cut in [*np.unique(score), np.inf]:
        called = score >= cut
        if (weight * called)[~member].sum() <= fpr * weight[~member].sum() + 1e-9:
            best = max(best, (weight * called)[member].sum() / weight[member].sum())
    return float(best)


@pytest.mark.parametrize("seed", range(6))
def test_pooled_over_targets_with_ties_and_weights(seed: int) -> None:
    rng = np.random.default_rng(seed)
    targets, records = 3, 60
    score = rng.integers(0, 8, (targets, records)).astype(float)
    member = rng.random((targets, records)) < 0.5
    score += member * rng.integers(0, 3, (targets, records))
    on = rng.random((targets, records)) < 0.9
    weights = rng.integers(0, 4, (5, records)).astype(np.uint8)
    pool = low_fpr._Pool.of(score, member, on)
    for fpr in (0.02, 0.1, 0.3):
        found = pool.tprs(fpr, weights)
        for draw, value in zip(weights, found, strict=True):
            spread = np.broadcast_to(draw, score.shape)[on]
            assert value == pytest.approx(by_hand(score[on], member[on], fpr, spread))


def test_the_highest_scores_are_looked_at_as_far_as_is_needed() -> None:
    """Where all the weight lies among the lowest, the threshold lies there, too."""
    records = 40_000
    score, member = np.arange(records, dtype=float)[None], (np.arange(records) % 2 == 0)[None]
    weight = np.zeros((1, records), np.uint8)
    weight[0, :2000] = 1
    pool = low_fpr._Pool.of(score, member, np.ones_like(member))
    assert pool.tprs(0.01, weight)[0] == pytest.approx(0.01, abs=0.001)


def test_a_monotone_map_and_the_order_of_attacks_change_nothing() -> None:
    scores, member, on, half = drawn()
    scores["b"], on["b"] = scores["a0"].copy(), on["a0"]  # as good as the best
    first = low_fpr.summarise(scores, member, on, half, list(scores)).numbers()
    assert first == low_fpr.summarise(scores, member, on, half, list(scores)).numbers()
    mapped = {name: np.exp(3 * score) for name, score in reversed(scores.items())}
    assert first == low_fpr.summarise(mapped, member, on, half, list(mapped)).numbers()


def test_the_order_of_records_changes_nothing_but_the_draws() -> None:
    scores, member, on, half = drawn(targets=4)
    first = low_fpr.summarise(scores, member, on, half, list(scores)).numbers()
    order = np.random.default_rng(1).permutation(half.size)
    moved = low_fpr.summarise(
        {n: s[:, order] for n, s in scores.items()},
        member[:, order],
        {n: o[:, order] for n, o in on.items()},
        half[order],
        list(scores),
    ).numbers()
    for name, value in first.items():
        end = "_lo" in name or "_hi" in name or name.endswith("upper")
        if value is None:
            assert moved[name] is None, name
        elif not end:
            assert moved[name] == pytest.approx(value, abs=1e-12), name
        else:
            assert moved[name] == pytest.approx(value, rel=0.15, abs=0.002), name


def test_what_is_not_judged_is_not_read() -> None:
    scores, member, on, half = drawn()
    out = np.random.default_rng(2).random(member.shape) < 0.2
    on = {name: o & ~out for name, o in on.items()}
    spoiled = {name: np.where(out, np.nan, s) for name, s in scores.items()}
    other = np.where(out, ~member, member)
    first, second = (
        low_fpr.summarise(s, m, on, half, list(scores)).numbers()
        for s, m in ((scores, member), (spoiled, other))
    )
    assert first == second


def test_a_record_at_several_targets_is_one_cluster() -> None:
    """The same scores at four targets tell no more than at one: the interval is as wide."""
    scores, member, on, half = drawn(attacks=1, targets=1, records=4000)
    one = low_fpr.summarise(scores, member, on, half, ["a0"])
    score, many = np.repeat(scores["a0"], 4, 0), np.repeat(member, 4, 0)
    copied = low_fpr.summarise({"a0": score}, many, {"a0": np.ones_like(many)}, half, ["a0"])
    independent, members, all_on, split = drawn(attacks=1, targets=4, records=4000)
    fresh = low_fpr.summarise(independent, members, all_on, split, ["a0"])
    for measure in ("tpr_at_fpr_0.01", "advantage"):
        a, b, c = (found.attacks[measure]["a0"] for found in (one, copied, fresh))
        assert a is not None and b is not None and c is not None
        width = [(r.hi or 0) - (r.lo or 0) for r in (a, b, c)]
        assert a.value == pytest.approx(b.value, abs=1e-9)
        assert width[1] == pytest.approx(width[0], rel=0.02) and width[2] < 0.75 * width[0]


def test_too_few_others_say_nothing_and_a_maximum_needs_them_on_each_half() -> None:
    scores, member, on, half = drawn(targets=2, records=1100)
    found = low_fpr.summarise(scores, member, on, half, list(scores))
    others = (~member).sum()
    assert 1000 < others < 2000
    assert all(found.attacks["tpr_at_fpr_0.01"].values())
    most = found.largest["tpr_at_fpr_0.01"]
    assert most.rate is None and most.upper is not None
    few = {name: o & (np.arange(1100) < 900) for name, o in on.items()}
    nothing = low_fpr.summarise(scores, member, few, half, list(scores))
    assert not any(nothing.attacks["tpr_at_fpr_0.01"].values())
    assert nothing.largest["tpr_at_fpr_0.01"] == low_fpr.Largest(None, None)
    assert nothing.largest["advantage"].rate is not None
    assert "tpr_at_fpr_0.01.a0" not in nothing.numbers()
    assert nothing.numbers()["max_tpr_at_fpr_0.01"] is None


def test_the_maximum_takes_the_strongest_and_only_of_those_that_count() -> None:
    scores, member, on, half = drawn(records=2600, shift=0.9)
    found = low_fpr.summarise(scores, member, on, half, list(scores))
    for measure in ("tpr_at_fpr_0.01", "advantage"):
        best, most = found.attacks[measure]["a0"], found.largest[measure]
        assert best is not None and most.rate is not None and most.upper is not None
        assert most.rate.value == pytest.approx(best.value, abs=0.03)
        assert best.hi is not None and most.upper >= best.hi - 1e-9
    without = low_fpr.summarise(scores, member, on, half, ["a1", "a2"]).largest
    assert without["advantage"].rate is not None and found.largest["advantage"].rate is not None
    assert without["advantage"].rate.value < found.largest["advantage"].rate.value - 0.02


def gain(score: Array, member: Array, cut: float) -> float:
    called = score >= cut
    return float(called[member].mean() - called[~member].mean())


def best_of(score: Array, member: Array) -> float:
    return float(max(np.unique(score), key=lambda cut: gain(score, member, cut)))


def error(score: Array, member: Array, cut: float) -> float:
    """The standard error of TPR - FPR, records being clusters. Shapes: [T, S]."""
    called, moved = score >= cut, np.zeros(score.shape[1])
    for side, sign in ((member, 1), (~member, -1)):
        moved += sign * (side * (called - called[side].mean())).sum(0) / side.sum()
    return float(np.sqrt(np.sum(moved**2)))


def test_the_advantage_is_that_of_a_threshold_from_the_other_half() -> None:
    """And its upper end is that of the best threshold of all."""
    scores, member, on, half = drawn(attacks=1)
    score, values, errors = scores["a0"], [], []
    for fit, count in ((half, ~half), (~half, half)):
        cut = best_of(score[:, fit], member[:, fit])
        values.append(gain(score[:, count], member[:, count], cut))
        errors.append(error(score[:, count], member[:, count], cut))
    found = low_fpr.summarise(scores, member, on, half, ["a0"])
    own, most = found.attacks["advantage"]["a0"], found.largest["advantage"]
    assert own is not None and own.value == pytest.approx(np.mean(values))
    crossed, cut = float(np.linalg.norm(errors)) / 2, best_of(score, member)
    plain, whole = gain(score, member, cut), error(score, member, cut)
    assert own.hi == pytest.approx(plain + 1.96 * whole, abs=0.03 * whole)
    assert most.rate is not None and most.rate.value == own.value and most.upper == own.hi
    assert most.rate.hi == own.hi
    assert most.rate.lo == pytest.approx(own.value - 1.96 * crossed, abs=0.03 * crossed)
    # the halves share their threshold's luck: 1 where they share none, sqrt(2) where all
    assert own.lo is not None and 1.03 < (own.value - own.lo) / (1.96 * crossed) < 1.42


def test_of_one_attack_the_maximum_is_as_well_known_as_the_attack() -> None:
    scores, member, on, half = drawn(attacks=1, targets=4, records=4000)
    found = low_fpr.summarise(scores, member, on, half, ["a0"])
    own, most = found.attacks["tpr_at_fpr_0.01"]["a0"], found.largest["tpr_at_fpr_0.01"].rate
    assert own is not None and most is not None
    widths = [(rate.hi or 0) - (rate.lo or 0) for rate in (own, most)]
    assert widths[1] == pytest.approx(widths[0], rel=0.15)


@pytest.mark.parametrize("seed", range(3))
def test_the_maximum_is_chosen_on_one_half_and_scored_on_the_other(seed: int) -> None:
    scores, member, on, half = drawn(targets=2, records=2200, shift=0.4, seed=seed)
    scores = {name: np.round(score, 1) for name, score in scores.items()}
    found = low_fpr.summarise(scores, member, on, half, list(scores))

    def tpr(name: str, here: Array) -> float:
        weight = np.ones(member[:, here].shape)
        return by_hand(scores[name][:, here], member[:, here], 0.01, weight)

    expected = [tpr(max(scores, key=lambda name: tpr(name, here)), ~here) for here in (half, ~half)]
    most = found.largest["tpr_at_fpr_0.01"]
    assert most.rate is not None and most.rate.value == pytest.approx(np.mean(expected))
    for measure, largest in found.largest.items():
        ends = [rate.hi or 0.0 for rate in found.attacks[measure].values() if rate]
        assert largest.upper == (max(ends) if ends else None)


def test_nothing_is_found_where_nothing_is() -> None:
    """The cross-fitted maxima are not flattered by having been chosen among eight, as the plain
    ones are; and their intervals, and each attack's, hold the truth. Of n non-members k are
    allowed, and a member is above the next one with probability (k + 1) / (n + 1).
    """
    names = [f"a{i}" for i in range(8)]
    draws = [drawn(8, 4, 1200, 0.0, seed) for seed in range(50)]
    runs = [low_fpr.summarise(*draw, names) for draw in draws]
    others = np.array([(~m[:, side]).sum() for _, m, _, half in draws for side in (half, ~half)])
    level = float(np.mean((others // 100 + 1) / (others + 1)))
    for measure, truth, mean in (("tpr_at_fpr_0.01", 0.01, level), ("advantage", 0.0, 0.0)):
        most = [run.largest[measure] for run in runs]
        crossed = np.array([[r.value, r.lo, r.hi] for one in most if (r := one.rate)], float)
        own = np.array(
            [[r.value, r.lo, r.hi] for run in runs for r in run.attacks[measure].values() if r],
            float,
        ).reshape(len(runs), len(names), 3)
        assert len(crossed) == len(runs)
        error = crossed[:, 0].std(ddof=1) / len(runs) ** 0.5
        assert abs(crossed[:, 0].mean() - mean) < 3 * error, measure
        assert own[..., 0].max(1).mean() > mean + 5 * error, measure
        for value, low, high in (crossed.T, own.reshape(-1, 3).T):
            assert np.mean((low <= truth) & (truth <= high)) > 0.88, measure
            assert np.all((low <= value) & (value <= high)), measure
        assert np.mean([one.upper is not None and one.upper < truth for one in most]) <= 0.05


def test_a_score_that_is_no_number_is_an_error_of_its_attack() -> None:
    scores, member, on, half = drawn(records=100)
    scores["a1"][0, 7] = np.nan
    with pytest.raises(metrics.ScoreError, match="a1: 1 of 200"):
        low_fpr.summarise(scores, member, on, half, list(scores))
    on["a1"] = on["a1"].copy()
    on["a1"][0, 7] = False
    low_fpr.summarise(scores, member, on, half, list(scores))


def test_names_of_the_columns() -> None:
    scores, member, on, half = drawn()
    names = low_fpr.summarise(scores, member, on, half, list(scores)).numbers()
    for name in (
        *("tpr_at_fpr_0.01.a0", "tpr_at_fpr_0.01_lo.a0", "tpr_at_fpr_0.01_hi.a0"),
        *("advantage.a1", "advantage_lo.a1", "advantage_hi.a1", "fpr_resolution"),
        *("max_tpr_at_fpr_0.01", "max_tpr_at_fpr_0.01_lo", "max_tpr_at_fpr_0.01_upper"),
        *("max_tpr_at_fpr_0.001", "advantage", "advantage_hi", "advantage_upper"),
    ):
        assert name in names, name
