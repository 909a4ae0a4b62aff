"""The ensemble of attacks, and what a normal-inverse-gamma prior makes of few shadows."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import rankdata
from scipy.stats import t as student_t

from raymia.attack import calibration
from raymia.attack.attack import make
from raymia.attacks import ensemble
from raymia.laws.synthetic import split
from raymia.point.space import Part
from raymia.signals.view import Signals
from raymia.streams import stream
from raymia.verdict import metrics

Array = np.ndarray[Any, Any]


def mixed(leak: float, models: int = 12, seed: int = 0) -> Signals:
    """Half of the records are memorised by their log-odds; of the others members answer with
    less entropy between the wrong classes, which no likelihood ratio of the label sees.
    """
    drawn, rng = split(records=500, models=models, seed=seed), np.random.default_rng(seed)
    shape = drawn.member.shape
    label: Array = np.asarray(rng.integers(0, 5, shape[1]))
    kind = rng.random(shape[1]) < 0.5
    hard = 2 * rng.normal(size=shape[1])
    logits = rng.normal(size=(*shape, 5)) + (leak * drawn.member * ~kind)[..., None] * np.array(
        [2.0, 0, 0, 0, 0]
    )
    at = np.arange(shape[1])
    rest = np.log(np.exp(logits).sum(-1) - np.exp(logits[:, at, label]))
    odds = hard + rng.normal(size=shape) + leak * 1.5 * drawn.member * kind
    logits[:, at, label] = odds + rest
    return Signals(drawn, label, {"logits": logits})


def areas(part: Part, signals: Signals) -> list[float]:
    drawn, found = signals.split, []
    for t, m in enumerate(drawn.targets):
        view = signals.view(t, {"logits"})
        score = make(part).score(view, stream("stacked", t))
        found.append(metrics.auc(score, drawn.member[m, view.asked]))
    return found


def test_it_finds_more_than_each_of_its_parts() -> None:
    signals = mixed(1.0)
    parts = [Part("lira", {}), Part("lira", {"mode": "online", "variance": "bayes"})]
    parts += [Part("rmia", {"mode": "online"}), Part("entropy", {}), Part("probability", {})]
    best = max(np.mean(areas(part, signals)) for part in parts)
    assert np.mean(areas(Part("ensemble", {}), signals)) > best + 0.02


def test_it_finds_nothing_where_there_is_nothing() -> None:
    found = [a for seed in range(12) for a in areas(Part("ensemble", {}), mixed(0.0, 8, seed))]
    assert abs(np.mean(found) - 0.5) < 3 * np.std(found) / np.sqrt(len(found)) + 1e-9


def test_it_is_fitted_on_stand_ins_alone() -> None:
    """What the target says decides its own score, and nobody else's: moving one asked record
    moves no other's.
    """
    signals = mixed(1.0)
    before = make(Part("ensemble", {})).score(signals.view(0, {"logits"}), stream(0))
    logits = signals.arrays["logits"].copy()
    view = signals.view(0, {"logits"})
    moved = int(view.asked[3])
    logits[signals.split.targets[0], moved, signals.labels[moved]] += 5
    other = Signals(signals.split, signals.labels, {"logits": logits})
    after = make(Part("ensemble", {})).score(other.view(0, {"logits"}), stream(0))
    assert after[3] > before[3]
    np.testing.assert_array_equal(np.delete(after, 3), np.delete(before, 3))


def test_what_is_judged_stands_where_it_would_stand_among_the_known() -> None:
    known = np.random.default_rng(0).integers(0, 9, (200, 3)).astype(float)
    np.testing.assert_array_equal(ensemble._ranks(known, known), rankdata(known, axis=0))
    ends = ensemble._ranks(np.array([[-1.0, 9.0, 4.0]]), known)[0]
    assert (ends[0], ends[1]) == (0.5, 200.5)
    assert ends[2] == (known[:, 2] < 4).sum() + ((known[:, 2] == 4).sum() + 1) / 2


def test_with_nobody_to_stand_in_it_is_the_likelihood_ratio() -> None:
    drawn = split(records=200, models=4)
    logits = np.random.default_rng(0).normal(size=(*drawn.member.shape, 3))
    view = Signals(drawn, np.zeros(200, np.int64), {"logits": logits}).view(0, {"logits"})
    score = make(Part("ensemble", {})).score(view, stream(0))
    ratio = make(Part("lira", {})).score(view, stream(0))
    np.testing.assert_array_equal(score, ratio)
    # of which nobody knows from where on it says member
    assert make(Part("ensemble", {})).cut(view) is None
    assert make(Part("ensemble", {})).cut(mixed(1.0).view(0, {"logits"})) == 0.0


# ---- few shadows -------------------------------------------------------------------------------


def drawn_values(records: int, models: int, n0: float, k0: float, seed: int = 0) -> Array:
    """Values [models + 1, records] by the prior: the last one is yet to come."""
    rng = np.random.default_rng(seed)
    variance = 2.0 * (n0 - 2) / rng.chisquare(n0, records)  # its mean is 2
    mean = 1.5 + rng.normal(size=records) * np.sqrt(variance / k0)
    return np.asarray(mean + rng.normal(size=(models + 1, records)) * np.sqrt(variance))


@pytest.mark.parametrize("models", [2, 4, 16])
def test_the_predictive_distribution_covers_the_next_value(models: int) -> None:
    values = drawn_values(20_000, models, 8.0, 0.5)
    side = calibration.student(values[:-1], np.ones((models, 20_000), bool))
    assert side.free is not None
    place = student_t.cdf((values[-1] - side.centre) / side.scale, side.free)
    shares = np.histogram(place, np.linspace(0, 1, 11))[0] / len(place)
    assert np.abs(shares - 0.1).max() < 0.015


def test_many_shadows_speak_for_themselves_and_none_for_all() -> None:
    values = drawn_values(50, 400, 8.0, 0.5)[:-1]
    on = np.ones(values.shape, bool)
    on[:, 0] = False
    side = calibration.student(values, on)
    np.testing.assert_allclose(side.centre[1:], values.mean(0)[1:], atol=0.02)
    np.testing.assert_allclose(side.scale[1:], values.std(0)[1:], rtol=0.03)
    # a record that no shadow speaks of is like any other
    assert side.centre[0] == pytest.approx(values.mean(0)[1:].mean())
    assert side.scale[0] > side.scale[1:].mean()


def test_the_normal_density_of_a_side() -> None:
    side = calibration.Side(np.array([1.0]), np.array([2.0]))
    ratio = side.log_density(np.array([3.0])) - side.log_density(np.array([1.0]))
    assert ratio == pytest.approx(-0.5)


def test_a_prior_helps_where_shadows_are_few() -> None:
    """By records whose variances differ: better than each record's own, or one for all."""
    rng, records, models = np.random.default_rng(1), 4000, 3
    outside = drawn_values(records, models, 6.0, 0.3, seed=1)
    spread = outside.std(0)
    member = rng.random(records) < 0.5
    target = outside[-1] + 2 * member * np.median(spread)
    on = np.ones((models, records), bool)
    seen, v = calibration.Moments.of(outside[:-1], on), None
    v = seen.common(outside[:-1], on)
    fixed = (target - seen.mean) / np.sqrt(v)
    own = (target - seen.mean) / np.sqrt(seen.square / seen.free)
    side = calibration.student(outside[:-1], on)
    bayes = (target - side.centre) / side.scale
    found = [metrics.auc(score, member) for score in (bayes, fixed, own)]
    assert found[0] > max(found[1:]) + 0.005, found
