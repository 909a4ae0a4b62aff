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
    scores = np.stack([verdict.scores for verdict in found])
    planted_on, member = drawn.judged & on, drawn.member[drawn.targets]
    halves = np.broadcast_to(drawn.half, planted_on.shape)
    expected = audit.cross_fitted(scores[planted_on], member[planted_on], halves[planted_on])
    assert row.numbers["epsilon_lower"] == expected > 1


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
    above, found = np.zeros(2), []
    for _ in range(200):
        member = rng.random(1000) < 0.5
        said = np.where(rng.random(1000) < truth, member, ~member) + 1e-6 * rng.random(1000)
        half = rng.random(1000) < 0.5
        bounds = np.array([audit.cross_fitted(said, member, half), audit.one_run(said, member)])
        above += bounds > epsilon
        found.append(bounds)
    assert (above <= binom.ppf(0.999, 200, 0.05)).all()
    assert (np.mean(found, 0) > epsilon / 4).all()


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
