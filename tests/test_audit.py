"""Bounds of epsilon against the best of all private mechanisms, closed forms and simulation."""

from typing import Any

import numpy as np
import pytest
from scipy.optimize import brentq, linprog
from scipy.special import ndtr, ndtri
from scipy.stats import binom, norm

from raymia.verdict import audit

DELTA = 1e-5


def gaussian(mu: float, seed: int, side: int = 300) -> tuple[Any, Any]:
    """Scores of a Gaussian mechanism of sensitivity / sigma = mu, each record by its own coin."""
    rng = np.random.default_rng(seed)
    member = rng.random(2 * side) < 0.5
    return rng.standard_normal(2 * side) + mu * member, member


def private_curve(epsilon: float, delta: float) -> Any:
    """f(1 - y) of the trade-off function f of (epsilon, delta)."""
    e = np.exp(epsilon)
    return lambda y: np.maximum(0, np.maximum(1 - delta - e * (1 - y), (y - delta) / e))


def gaussian_curve(mu: float) -> Any:
    return lambda y: ndtr(ndtri(y) - mu)


def tail(curve: Any, records: int, made: int, right: int) -> float:
    """The largest probability of `right` of `made` guesses or more that the recursion allows."""

    def refused(level: float) -> bool:
        return not audit._consistent(curve, records, made, right, level)[0]

    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if refused(middle) else (middle, high)
    return high if refused(1.0) else 1.0


def best(records: int, made: int, right: int, epsilon: float, delta: float) -> float:
    """P(`right` of `made` guesses or more) of the best of all (epsilon, delta)-private mechanisms
    that make so many guesses, exactly: a linear program.

    By symmetry under permutations and changes of sign its output depends on the number d of wrong
    guesses alone, with a probability G_d. Of the outputs that guess one record and are wrong
    about j of the others, that record in and out have G_j (made - j) / records and G_{j+1} (j + 1)
    / records. What either has above e^epsilon of the other, summed over j, is at most delta.
    """
    e, size = np.exp(epsilon), made + 1 + 2 * made
    above, excess = np.zeros((2 * made + 1, size)), made + 1
    for j in range(made):
        one, other = (made - j) / records, (j + 1) / records
        above[2 * j, [j, j + 1, excess + 2 * j]] = one, -e * other, -1
        above[2 * j + 1, [j + 1, j, excess + 2 * j + 1]] = other, -e * one, -1
    above[-1, excess:] = 1
    wanted, whole = np.zeros(size), np.zeros((1, size))
    wanted[: made - right + 1], whole[0, :excess] = -1, 1
    limit = np.append(np.zeros(2 * made), delta)
    return -float(linprog(wanted, above, limit, whole, [1.0]).fun)


# ---- the probability of so many right guesses --------------------------------------------------


def test_the_best_mechanism_by_hand() -> None:
    """One record: (e^eps + delta) / (e^eps + 1). No guess is better without delta than that of
    randomised response, and delta may show a record in `records` / `made` of the cases.
    """
    e = np.exp(0.7)
    assert best(1, 1, 1, 0.7, 0.1) == pytest.approx((e + 0.1) / (e + 1))
    assert best(5, 3, 2, 0.7, 0.0) == pytest.approx(binom.sf(1, 3, e / (1 + e)))
    assert best(4, 1, 1, 0.0, 0.1) == pytest.approx(0.5 + 4 * 0.1 / 2)


@pytest.mark.parametrize(("records", "made"), [(1, 1), (3, 2), (6, 6), (50, 20), (2000, 40)])
@pytest.mark.parametrize("epsilon", [0.0, 1.0, 2.5])
@pytest.mark.parametrize("delta", [0.0, 1e-5, 1e-3])
def test_no_private_mechanism_guesses_better(
    records: int, made: int, epsilon: float, delta: float
) -> None:
    """Both bounds are above the best mechanism of all at any level that an audit uses; Steinke's
    is it without a delta, and the recursion where every guess is right.
    """
    curve = private_curve(epsilon, delta)
    for right in sorted({(made + 1) // 2, 3 * made // 4, made - 1, made} - {0}):
        truth = best(records, made, right, epsilon, delta)
        steinke = audit.p_value(records, made, right, epsilon, delta)
        recursion = tail(curve, records, made, right)
        assert recursion >= truth * (1 - 1e-6) - 1e-9
        assert steinke >= truth * (1 - 1e-6) - 1e-9 or truth > 0.8
        if not delta:
            assert steinke == pytest.approx(truth, rel=1e-6, abs=1e-9)
        if right == made:
            assert recursion == pytest.approx(truth, rel=1e-6, abs=1e-9)


def test_steinkes_bound_is_none_of_probabilities_near_one() -> None:
    """Three coins, each member's shift of the output at most 0.01: at least one guess is right
    with 7 / 8 + 7 / 8 delta, above theorem 5.2's 7 / 8 + 6 / 8 delta. No audit is about those.
    """
    truth = best(3, 3, 1, 0.0, 0.01)
    assert truth == pytest.approx(7 / 8 * 1.01) and truth > audit.p_value(3, 3, 1, 0.0, 0.01)


@pytest.mark.parametrize("mu", [0.3, 1.0, 2.0])
def test_the_recursion_allows_what_a_gaussian_mechanism_does(mu: float) -> None:
    """Each record told by the sign of its score: right with probability Phi(mu / 2), which no
    mechanism exceeds of a single record.
    """
    one = tail(gaussian_curve(mu), 1, 1, 1)
    assert one == pytest.approx(norm.cdf(mu / 2), rel=1e-6)
    for right in (26, 30, 36, 40):
        true = binom.sf(right - 1, 40, norm.cdf(mu / 2))
        assert tail(gaussian_curve(mu), 40, 40, right) >= true * (1 - 1e-6)


def test_what_refutes_an_epsilon_refutes_every_smaller_one() -> None:
    grid = np.linspace(0, 8, 81)
    for right in range(20, 41, 4):
        for at in (0.0, 0.01):
            fine = [audit._consistent(private_curve(e, at), 80, 40, right, 0.01)[0] for e in grid]
            assert fine == sorted(fine)
            p = [audit.p_value(80, 40, right, e, at) for e in grid if right > 20 or not at]
            assert (np.diff(p) >= -1e-12).all()


# ---- the bounds --------------------------------------------------------------------------------


def test_bounds_are_where_the_probability_meets_the_level() -> None:
    """All guesses right of two hundred records: of k on either side q^(2 k) = 0.05 / 4, so that
    the largest k counts, of 60 on either side.
    """
    member = np.arange(200) < 100
    q = (0.05 / 4) ** (1 / 120)
    for found in (
        audit.one_run(-np.arange(200.0), member),
        audit.bounds(-np.arange(200.0), member),
    ):
        value = found if isinstance(found, float) else found["epsilon_lower_f_dp"]
        assert value == pytest.approx(np.log(q / (1 - q)), abs=1e-3)
    mu = brentq(lambda m: norm.cdf(m / 2) ** 120 - 0.025 / 4, 0, 16)
    assert mu / 2 < audit.gdp_mu(-np.arange(200.0), member) < mu


def test_clopper_pearson_at_the_best_of_its_thresholds() -> None:
    """400 records, of which the 140 highest are members: none of 200 others is above, and of 32
    tests (sixteen thresholds, two directions) each has two ends. A Gaussian's mu is the same in
    both directions, and leaves half to the recursion.
    """
    member = np.concatenate([np.arange(60) < 0, np.arange(200) < 60, np.ones(140, bool)])
    level = 0.05 / 32 / 2
    upper = 1 - level ** (1 / 200)  # of no false positive among 200
    missed = brentq(lambda p: binom.cdf(60, 200, p) - level, 0.3, 0.7)
    found = audit.clopper_pearson(np.arange(400.0), member)
    assert found == pytest.approx(np.log((1 - missed) / upper), rel=1e-9)
    mu = ndtri(1 - missed) - ndtri(upper)
    assert audit.gdp_mu(np.arange(400.0), member) == pytest.approx(mu, rel=1e-9)


@pytest.mark.parametrize(("mu", "delta"), [(2.0, 1e-3), (4.0, 0.003)])
def test_the_recursion_at_the_best_of_its_guesses(mu: float, delta: float) -> None:
    """Of the k highest and lowest of 600 each: where a quarter of 5% is no longer refused."""
    score, member = gaussian(mu, 5)
    order, ends = np.argsort(score), []
    for k in (6, 18, 60, 180):
        right = int(member[order[-k:]].sum() + (~member[order[:k]]).sum())

        def slack(epsilon: float, made: int = 2 * k, right: int = right) -> float:
            return tail(private_curve(epsilon, delta), 600, made, right) - 0.05 / 4

        ends.append(brentq(slack, 0, 20, xtol=1e-6) if slack(0.0) < 0 else 0.0)
    assert max(ends) > 0
    assert audit.f_dp_one_run(score, member, delta) == pytest.approx(max(ends), abs=1e-3)


def test_a_better_attack_and_more_records_show_more() -> None:
    found = [audit.bounds(*gaussian(mu, 0), DELTA) for mu in (0.0, 1.0, 2.0, 4.0)]
    larger = audit.bounds(*gaussian(2.0, 0, 3000), DELTA)
    for name, value in larger.items():
        by_mu = [one[name] or 0.0 for one in found]
        assert by_mu == sorted(by_mu) and by_mu[0] < by_mu[2] < by_mu[3], name
        assert (value or 0.0) > by_mu[2], name
    for one in (larger, *found):
        both = [one[f"epsilon_lower_{what}"] or 0.0 for what in ("one_run", "f_dp")]
        assert one["epsilon_lower"] == max(both)
    assert larger["epsilon_lower"] != larger["epsilon_lower_one_run"]


def test_a_larger_delta_leaves_a_smaller_epsilon() -> None:
    score, member = gaussian(3.0, 1)
    found = [audit.bounds(score, member, delta) for delta in (1e-6, 1e-4, 1e-2)]
    for name in set(found[0]) - {"gdp_mu_lower"}:
        first, second, third = (one[name] or 0.0 for one in found)
        assert first > second > third, name


@pytest.mark.parametrize("size", [599, 600])
def test_members_and_others_change_places(size: int) -> None:
    score, member = gaussian(1.5, 2)
    score, member = score[:size], member[:size]
    turned = audit.bounds(-score, ~member, DELTA)
    assert turned == pytest.approx(audit.bounds(score, member, DELTA), rel=1e-9)


def test_nothing_but_the_order_of_scores_counts() -> None:
    score, member = gaussian(1.5, 3)
    order = np.random.default_rng(0).permutation(len(score))
    found = audit.bounds(score, member, DELTA)
    assert found == audit.bounds(score[order], member[order], DELTA)
    assert found == audit.bounds(np.exp(3 * score), member, DELTA)


@pytest.mark.parametrize("members_first", [False, True])
def test_the_order_of_records_breaks_no_ties(members_first: bool) -> None:
    """Of equal scores nothing is learned, even where members stand before or behind the others."""
    member = (np.arange(2000) < 1000) == members_first
    assert set(audit.bounds(np.zeros(2000), member, DELTA).values()) == {0.0}


@pytest.mark.parametrize("records", [0, 1, 2, 5])
def test_a_handful_of_records_shows_nothing(records: int) -> None:
    member = np.arange(records) % 2 == 1
    assert set(audit.bounds(1.0 * member, member, DELTA).values()) <= {0.0}


# ---- validity ----------------------------------------------------------------------------------


def test_bounds_of_a_leak_that_delta_allows() -> None:
    """Randomised response that shows a record outright with probability delta: exactly (epsilon,
    delta)-private, and above epsilon if delta were left out.
    """
    epsilon, delta, runs = 1.0, 0.05, 40
    rng, above, left_out = np.random.default_rng(4), np.zeros(3), 0
    names = ["epsilon_lower", "epsilon_lower_one_run", "epsilon_lower_f_dp"]
    for _ in range(runs):
        member, shown = rng.random(1000) < 0.5, rng.random(1000) < delta
        told = np.where(rng.random(1000) < 1 / (1 + np.exp(-epsilon)), member, ~member)
        score = np.where(shown, 4.0 * member - 2, told) + 1e-6 * rng.random(1000)
        found = audit.bounds(score, member, delta)
        above += [(found[name] or 0.0) > epsilon for name in names]
        left_out += audit.f_dp_one_run(score, member) > epsilon
    assert (above <= binom.ppf(0.999, runs, 0.05)).all()
    assert left_out == runs


def test_the_mu_of_a_gaussian_stays_below_the_truth() -> None:
    runs, mu = 40, 1.0
    found = [audit.bounds(*gaussian(mu, 100 + seed), DELTA) for seed in range(runs)]
    mus = np.array([one["gdp_mu_lower"] for one in found])
    assert (mus > mu).sum() <= binom.ppf(0.999, runs, 0.05) and mus.mean() > mu / 3
    for one in found:
        assert one["epsilon_lower_gdp"] == audit.epsilon_of_mu(one["gdp_mu_lower"] or 0.0, DELTA)


# ---- epsilon of mu -----------------------------------------------------------------------------


@pytest.mark.parametrize("mu", [0.1, 0.5, 1.0, 2.0, 4.0, 12.0])
@pytest.mark.parametrize("delta", [1e-9, 1e-5, 1e-2])
def test_epsilon_of_mu_is_where_the_curves_touch(mu: float, delta: float) -> None:
    """The curve of (epsilon, delta) is the highest that nowhere exceeds a Gaussian's."""
    epsilon = audit.epsilon_of_mu(mu, delta)
    at = norm.cdf(np.linspace(-mu - 9, mu + 9, 40001))  # false positive rates
    gap = norm.cdf(norm.ppf(at) + mu) - np.exp(epsilon) * at  # TPR - e^epsilon FPR
    assert gap.max() == pytest.approx(delta, rel=1e-4)


def test_epsilon_of_mu_of_two() -> None:
    assert audit.epsilon_of_mu(1.0, DELTA) == pytest.approx(4.38, abs=0.005)
    assert audit.epsilon_of_mu(0.5, DELTA) == pytest.approx(1.99, abs=0.005)
    below = norm.cdf(0.1 / 2) - norm.cdf(-0.1 / 2)  # delta of epsilon 0: the total variation
    assert audit.epsilon_of_mu(0.1, below * 1.01) == 0.0 < audit.epsilon_of_mu(0.1, below * 0.99)
