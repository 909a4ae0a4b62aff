"""Planted records and the bounds on epsilon that they give."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from raymia.attack.attack import Attack, Traits
from raymia.errors import SweepError
from raymia.laws.synthetic import split
from raymia.records import canaries
from raymia.records.data import load
from raymia.signals import world as worlds
from raymia.signals.view import Signals
from raymia.streams import stream
from raymia.study import sweep
from raymia.trial import judge
from raymia.trial import row as rows
from raymia.trial import run as trial
from raymia.verdict import audit, metrics, planted

MANY = {"mislabelled": 6, "blank": 5, "out_of_distribution": 4, "near_duplicates": 3}
TEXT = """
name: canaries
dataset: {digits: {records: 160}}
network: {mlp: {width: 16}}
protocol: {coin: {models: 4, targets: 2, reserve: 0.2}}
defenses: [[]]
attacks: [baseline, loss, lira]
training: {epochs: 3, lanes: 4}
canaries: {mislabelled: 8, blank: 2, out_of_distribution: 3, near_duplicates: 3}
"""


def test_canaries_stand_where_targets_are_judged() -> None:
    drawn = split(records=200)
    kinds = canaries.places(MANY, drawn, 0)
    assert [(kinds == i + 1).sum() for i in range(4)] == [6, 5, 4, 3]
    assert (drawn.role[kinds > 0] == 0).all() and drawn.judged[:, kinds > 0].all()
    np.testing.assert_array_equal(kinds, canaries.places(MANY, drawn, 0))
    assert (kinds != canaries.places(MANY, drawn, 1)).any()
    with pytest.raises(SweepError, match="at most 80"):
        canaries.places({"blank": 81}, drawn, 0)


def test_what_is_planted() -> None:
    data = load(sweep.parse(TEXT).dataset, 0)
    kinds = canaries.places(MANY, split(records=160), 0)
    planted = canaries.plant(data, kinds, 0)
    wrong, blank, strange, double = (kinds == i + 1 for i in range(4))
    same = kinds == 0
    assert (planted.x[same] == data.x[same]).all() and (planted.y[same] == data.y[same]).all()
    assert (planted.x[wrong] == data.x[wrong]).all() and (planted.y[wrong] != data.y[wrong]).all()
    flat = planted.x[blank].reshape(5, -1)
    assert (np.ptp(flat, axis=1) == 0).all() and len(np.unique(flat[:, 0])) == 5
    assert np.isin(planted.x[strange], data.x).all()
    for i in np.flatnonzero(double):
        apart = np.abs(data.x[same] - planted.x[i]).reshape(same.sum(), -1).max(1)
        assert apart.min() < 0.06 and planted.y[i] == data.y[same][apart.argmin()]
    assert canaries.plant(data, 0 * kinds, 0) is data
    all_wrong = canaries.plant(data, np.ones(160, np.int8), 0)
    assert (all_wrong.y != data.y).all() and len(np.unique(all_wrong.y)) == data.classes


def test_which_records_the_bounds_and_the_lines_are_of() -> None:
    """The planted records are told apart, the others are not: the bounds of epsilon see it, and
    the lines of attacks.csv do not.
    """
    file = sweep.parse(TEXT.replace("canaries: {", "canaries: {blank: 50} #"))
    data = load(file.dataset, 0)
    one = worlds.of(file.point(0, {}, 0, data), len(data))
    drawn, noise = one.split, np.random.default_rng(0)
    logits = noise.normal(size=(drawn.models, len(data), 10)).astype(np.float32)
    on = one.kinds > 0
    told = np.where(on, drawn.member, ~drawn.member)
    signals = Signals(drawn, data.y, {"logits": logits, "told": told})
    found = judge.verdicts(Told(), "loss", signals, [0, 1], ("x",), None, one.kinds)
    row = rows.finished(one, data, logits, found)
    for verdict in found:
        asked = np.isfinite(verdict.scores) & ~on
        member = drawn.member[drawn.targets[verdict.target]]
        assert verdict.line["auc"] == metrics.auc(verdict.scores[asked], member[asked]) < 0.5
    assert row.numbers["canary_auc.loss"] == 1.0
    # every planted record counts once, and is told: what so many right guesses show
    guesses = [2 * int(share * on.sum()) for share in audit.SHARES]
    each = 0.05 / 4
    best = [np.log(each ** (1 / g) / (1 - each ** (1 / g))) for g in guesses if g]
    n = {name: value or 0.0 for name, value in row.numbers.items()}
    assert n["epsilon_lower"] == max(n["epsilon_lower_one_run"], n["epsilon_lower_f_dp"])
    assert n["epsilon_lower"] == pytest.approx(max(best), rel=1e-3)


@dataclass(frozen=True)
class Told(Attack):
    """Knows the planted members, and takes the others for the opposite of what they are."""

    def traits(self) -> Traits:
        return Traits(needs={"told"})

    def score(self, view: Any, rng: Any) -> Any:
        return view.target["told"][view.asked].astype(float)

    def cut(self, view: Any) -> float:
        return 0.5


def test_a_trial_with_canaries() -> None:
    """They are left out of the ordinary numbers and have columns of their own."""
    file = sweep.parse(TEXT)
    data = load(file.dataset, 0)
    point = file.point(0, {}, 0, data)
    row = trial.run(point, data)
    assert (
        row.members is not None
        and row.nonmembers is not None
        and row.members + row.nonmembers == 128 - 16
    )
    n = row.numbers
    assert {"canary_auc.loss", "canary_auc.lira", "epsilon_lower", "epsilon_lower_one_run"} <= set(
        n
    )
    assert n["canary_tpr_at_fpr_0.001.loss"] is None  # 16 non-members cannot say
    assert n["epsilon_lower"] is not None and n["epsilon_lower"] >= 0
    assert not any(
        "canary" in name or "lower" in name
        for name in trial.run(replace(point, canaries={}), data).numbers
    )


@pytest.mark.parametrize(
    "bad", ["{mislabeled: 3}", "{blank: -1}", "{blank: 1.5}", "{blank: true}", "[blank]"]
)
def test_a_bad_canary_is_refused(bad: str) -> None:
    text = "\n".join(line for line in TEXT.splitlines() if not line.startswith("canaries"))
    with pytest.raises(SweepError, match="canaries"):
        sweep.parse(f"{text}\ncanaries: {bad}\n")


def test_tpr_on_canaries_counts_strictly_above() -> None:
    score = np.concatenate([np.arange(2000.0), [1998.5, 1997.5, 1997.0, 5.0, 3000.0]])
    member = np.arange(2005) >= 2000
    found = planted.tpr(score, member, 0.001)  # two false positives are allowed: 1999 and 1998
    assert found is not None and found.value == 0.6
    assert planted.tpr(score[1001:], member[1001:], 0.001) is None


# ---- epsilon -----------------------------------------------------------------------------------


def test_the_lower_bound_by_hand() -> None:
    """All 1000 of each side right: FNR and FPR are at most 1 - level^(1/1000)."""
    upper = 1 - (0.05 / 4) ** (1 / 1000)
    assert audit.lower_bound(1000, 1000, 0, 1000) == pytest.approx(
        np.log((1 - upper) / upper), rel=1e-9
    )
    assert audit.lower_bound(500, 1000, 500, 1000) == 0.0
    assert audit.lower_bound(900, 1000, 100, 1000) == pytest.approx(
        audit.lower_bound(900, 1000, 100, 1000, 0.0)
    )
    assert audit.lower_bound(900, 1000, 100, 1000, delta=0.5) < audit.lower_bound(
        900, 1000, 100, 1000
    )


@pytest.mark.parametrize("epsilon", [0.5, 2.0])
def test_bounds_stay_below_the_truth(epsilon: float) -> None:
    """Randomised response is exactly epsilon-private: at most 5% of the bounds are above, and
    they are not trivial.
    """
    rng = np.random.default_rng(0)
    truth = 1 / (1 + np.exp(-epsilon))
    names = [f"epsilon_lower{what}" for what in ("", "_one_run", "_f_dp", "_clopper_pearson")]
    above, found = np.zeros(4), []
    for _ in range(60):
        member = rng.random(1000) < 0.5
        said = np.where(rng.random(1000) < truth, member, ~member) + 1e-6 * rng.random(1000)
        made = audit.bounds(said, member)
        found.append([made[name] or 0.0 for name in names])
        above += np.array(found[-1]) > epsilon
    assert (above <= binom.ppf(0.999, 60, 0.05)).all()
    assert (np.mean(found, 0) > epsilon / 4).all()
    assert made["epsilon_lower_gdp"] is None  # a Gaussian has no epsilon without a delta


def test_a_gaussian_is_told_by_its_mu_and_a_response_is_not_one() -> None:
    """What assumes a Gaussian mechanism is right of one, and far above the truth of another."""
    rng, member = np.random.default_rng(1), np.arange(2000) < 1000
    made = audit.bounds(rng.standard_normal(2000) + 2 * member, member, 1e-5)
    assert 1.4 < (made["gdp_mu_lower"] or 0) < 2
    valid, assumed = made["epsilon_lower"] or 0, made["epsilon_lower_gdp"] or 0
    assert 2.5 < valid < assumed < audit.epsilon_of_mu(2.0, 1e-5)
    told = np.where(rng.random(2000) < 1 / (1 + np.exp(-1)), member, ~member)
    other = audit.bounds(told + 1e-6 * rng.random(2000), member, 1e-5)
    assert (other["epsilon_lower_gdp"] or 0) > 2 > 1 > (other["epsilon_lower"] or 0)


def test_the_epsilon_of_a_gaussian() -> None:
    assert audit.epsilon_of_mu(1.0, 1e-5) == pytest.approx(4.377, abs=1e-3)
    assert audit.epsilon_of_mu(4.0, 1e-5) == pytest.approx(24.38, abs=0.01)
    assert audit.epsilon_of_mu(0.0, 1e-5) == 0.0


def test_scores_and_membership_turned_round_show_as_much() -> None:
    rng = np.random.default_rng(2)
    member = np.arange(600) % 2 == 0
    score = rng.standard_normal(600) + 1.5 * member
    first, turned = audit.bounds(score, member, 1e-5), audit.bounds(-score, ~member, 1e-5)
    for name, value in first.items():
        assert value == pytest.approx(turned[name] or 0.0, abs=1e-9), name
    wrong = audit.bounds(-score, member, 1e-5)
    assert wrong["epsilon_lower"] == 0.0 and wrong["epsilon_lower_one_run"] == 0.0


@pytest.mark.parametrize(
    ("epsilon", "right", "fair"),
    [(0.0, 40, False), (1.0, 40, True), (1.0, 48, False), (3.0, 50, True)],
)
def test_the_recursion_of_f_dp_by_hand(epsilon: float, right: int, fair: bool) -> None:
    """As algorithm 3 of Mahloujifar et al. writes it, number by number, with lists from 0 to c."""
    made, records, level, e = 50, 200, 0.05, np.exp(epsilon)
    p = level * made / records
    r, h = {right: p * right / made}, {right: p * (made - right) / made}
    for i in reversed(range(right)):
        h[i] = max(h[i + 1], r[i + 1] / e, 1 - e * (1 - r[i + 1]))
        r[i] = r[i + 1] + i / (made - i) * (h[i] - h[i + 1])
    fine = r[0] + h[0] <= made / records

    def curve(y: Any) -> Any:
        return np.maximum(y / e, 1 - e * (1 - y))

    assert bool(audit._consistent(curve, records, made, right, level)[0]) == fine
    assert fine == fair  # 40 of 50 are too many for chance, and 50 are not for e^3


def test_each_record_is_audited_once_and_the_attack_is_chosen_elsewhere() -> None:
    rng = np.random.default_rng(3)
    targets, records = 4, 2000
    member = rng.random((targets, records)) < 0.5
    turn = stream("audit", records).permutation(records) % targets
    own = turn == np.arange(targets)[:, None]
    # one attack tells the audited ones alone, which must not be known when it is chosen
    peeking = np.where(own, 5.0 * member, rng.random(member.shape))
    honest = rng.standard_normal(member.shape) + 1.0 * member
    on = {"peeking": np.ones_like(own), "honest": np.ones_like(own)}
    half = np.arange(records) < records // 2
    found = rows._epsilon_bounds({"peeking": peeking, "honest": honest}, member, on, half, 1e-5)
    assert found == audit.bounds(honest[own], member[own], 1e-5)
    assert own.sum() == records
    one = rows._epsilon_bounds(
        {"honest": honest[:1]}, member[:1], {"honest": on["honest"][:1]}, half, 1e-5
    )
    assert one == audit.bounds(honest[0, ~half], member[0, ~half], 1e-5)


def test_the_one_run_p_value() -> None:
    """Without delta it is a binomial tail; delta only adds to it, by theorem 5.2 of Steinke et
    al. written out.
    """
    q = 1 / (1 + np.exp(-1.0))
    assert audit.p_value(1000, 50, 45, 1.0, 0.0) == pytest.approx(binom.sf(44, 50, q))
    delta = 1e-5
    alpha = max((binom.cdf(44, 50, q) - binom.cdf(44 - i, 50, q)) / i for i in range(1, 46))
    assert audit.p_value(1000, 50, 45, 1.0, delta) == pytest.approx(
        binom.sf(44, 50, q) + 2 * 1000 * delta * alpha
    )
