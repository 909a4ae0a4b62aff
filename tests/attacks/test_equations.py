"""Each attack's equations on numbers checked by hand, and where there is one, against its
closed form.
"""

from dataclasses import replace
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from scipy.stats import entropy as kl
from scipy.stats import norm

from raymia.attack.attack import make
from raymia.attack.calibration import by_class
from raymia.laws.synthetic import Array, world
from raymia.point.space import Part
from raymia.protocols.coin import Coin
from raymia.records.split import POPULATION
from raymia.signals.view import Signals, View, log_odds, log_softmax, log_truth
from raymia.streams import stream
from raymia.verdict import metrics

NORMAL = NormalDist()


def score(name: str, view: View, **knobs: Any) -> Array:
    return make(Part(name, knobs)).score(view, stream("test"))


def gaussian(
    models: int, apart: float, spread: float, base: float, records: int = 4000, seed: int = 0
) -> Signals:
    """Log-odds phi = what is the record's own + normal noise, and `apart` more for members; two
    classes, logits (phi, 0).
    """
    drawn = Coin(models=models, targets=1).draw(records, seed, 0)
    rng = np.random.default_rng(seed)
    phi = (
        base
        + rng.normal(size=records)
        + spread * rng.normal(size=drawn.member.shape)
        + apart * drawn.member
    )
    logits = np.stack([phi, np.zeros_like(phi)], -1)
    return Signals(drawn, np.zeros(records, np.int64), {"logits": logits})


def area(signals: Signals, name: str, **knobs: Any) -> float:
    view = signals.view(0, {"logits"})
    return metrics.auc(
        score(name, view, **knobs), signals.split.member[signals.split.targets[0], view.asked]
    )


@pytest.mark.parametrize("variance", ["fixed", "per_example", "shrunken"])
@pytest.mark.parametrize("mode", ["offline", "online"])
def test_lira_on_gaussian_signals(mode: str, variance: str) -> None:
    """With many shadows the score is (phi - mu) / s, whatever the record: AUC = Phi(apart / (s
    sqrt 2)).
    """
    signals = gaussian(models=102, apart=0.5, spread=0.4, base=0.0)
    ideal = NORMAL.cdf(0.5 / 0.4 / np.sqrt(2))
    assert area(signals, "lira", mode=mode, variance=variance) == pytest.approx(ideal, abs=0.025)
    assert area(signals, "loss") < ideal - 0.1  # which does not know how hard the records are


def test_lira_with_unequal_spread_is_the_likelihood_ratio() -> None:
    """Online, members' own spread counts: compared with scipy's densities at the fitted medians
    and deviations.
    """
    signals = gaussian(models=66, apart=0.8, spread=0.4, base=0.0, records=500)
    member, phi = signals.split.member, signals.arrays["logits"][..., 0].copy()
    phi[member] += 0.5 * np.random.default_rng(1).normal(size=int(member.sum()))
    view = Signals(
        signals.split, signals.labels, {"logits": np.stack([phi, np.zeros_like(phi)], -1)}
    ).view(0, {"logits"})
    k, asked = view.member, view.asked
    other = log_odds(view.shadows["logits"], view.labels)
    expected = []
    for a in asked:
        inside, outside = other[k[:, a], a], other[~k[:, a], a]
        own = float(view.log_odds[a])
        ratio = [
            np.log(NormalDist(float(np.median(s)), float(s.std(ddof=1))).pdf(own))
            for s in (inside, outside)
        ]
        expected.append(ratio[0] - ratio[1])
    np.testing.assert_allclose(
        score("lira", view, mode="online", variance="per_example"), expected, rtol=1e-9
    )


def test_lira_averages_over_views() -> None:
    signals = world(0.3)
    views = signals.arrays["view_log_odds"]
    both = score("lira", signals.view(0, {"logits", "view_log_odds"}), views=2)
    single = []
    for v in range(2):
        phi = views[..., v].astype(float)
        one = Signals(
            signals.split, 0 * signals.labels, {"logits": np.stack([phi, np.zeros_like(phi)], -1)}
        )
        single.append(score("lira", one.view(0, {"logits"})))
    np.testing.assert_allclose(both, np.mean(single, 0), rtol=1e-9)


@pytest.mark.parametrize("mode", ["offline", "online"])
def test_rmia_on_gaussian_signals(mode: str) -> None:
    """With small p and a = 1, log ratio = phi - mu + a constant: AUC = Phi(apart / (s sqrt 2)),
    less the population's grain.
    """
    signals = gaussian(models=102, apart=0.5, spread=0.4, base=-12.0)
    assert area(signals, "rmia", mode=mode, a=1.0) == pytest.approx(
        NORMAL.cdf(0.5 / 0.4 / np.sqrt(2)), abs=0.025
    )


def test_rmia_counts_the_population() -> None:
    view = world(0.5).view(0, {"logits"})
    p = np.exp(log_softmax(view.target["logits"]))[np.arange(len(view.labels)), view.labels]
    others = np.exp(log_softmax(view.shadows["logits"]))[
        :, np.arange(len(view.labels)), view.labels
    ]
    mean = np.array(
        [others[view.out[:, i], i].mean() if view.out[:, i].any() else 1.0 for i in range(len(p))]
    )
    ratio = p / (((1 + 0.3) * mean + (1 - 0.3)) / 2)
    z = ratio[view.population]
    exact = np.array([(ratio[a] / z > 2.0).mean() for a in view.asked])
    got = score("rmia", view, a=0.3)
    assert ((exact <= got) & (got < exact + 1 / len(z))).all()


@pytest.mark.parametrize("mode", ["offline", "online"])
def test_rmia_ranks_by_the_ratio_whatever_gamma(mode: str) -> None:
    view = world(0.5).view(0, {"logits"})
    orders = [
        np.argsort(score("rmia", view, mode=mode, gamma=gamma), kind="stable")
        for gamma in (1.0, 2.0, 4.0)
    ]
    np.testing.assert_array_equal(orders[0], orders[1])
    np.testing.assert_array_equal(orders[0], orders[2])


def test_rmia_online_leaves_out_the_shadows_at_either_end() -> None:
    view = world(0.5).view(0, {"logits"})
    p = np.exp(log_softmax(view.shadows["logits"]))[:, np.arange(len(view.labels)), view.labels]
    own = log_softmax(view.target["logits"])[np.arange(len(view.labels)), view.labels]
    for trim, cut in ((0.0, 0), (0.2, 1), (0.4, 3)):  # of eight shadows, int(share * 8) an end
        assert len(p) == 8
        mean = np.sort(p, 0)[cut : 8 - cut].mean(0)
        made = make(Part("rmia", {"mode": "online", "trim": trim}))
        np.testing.assert_allclose(made._log_ratio(view), own - np.log(mean), rtol=1e-9)  # type: ignore[attr-defined]


def test_rmias_a_is_the_one_at_which_shadows_are_told_best() -> None:
    """By hand over the grid, on shadows in the target's place; the target's row changes nothing."""
    view = world(0.5).view(0, {"logits"})
    found = []
    for a in np.round(np.arange(11) * 0.1, 1):
        made = make(Part("rmia", {"a": float(a)}))
        areas = []
        for k in range(4):
            stand_in, known = view.as_target(k)
            ratio = made._log_ratio(stand_in)[stand_in.asked]  # type: ignore[attr-defined]
            areas.append(metrics.auc(ratio, known))
        found.append(np.mean(areas))
    best = float(np.argmax(found)) / 10
    np.testing.assert_array_equal(score("rmia", view), score("rmia", view, a=best))
    assert len(set(np.round(found, 6))) > 3, "it matters"
    alone = tiny(np.zeros((3, 2)), np.ones((1, 3, 2)), [0, 1, 0])  # nobody can stand in
    np.testing.assert_array_equal(
        make(Part("rmia", {}))._log_ratio(alone),  # type: ignore[attr-defined]
        make(Part("rmia", {"a": 0.3}))._log_ratio(alone),  # type: ignore[attr-defined]
    )


def test_lira_by_means() -> None:
    view = world(0.5).view(0, {"logits"})
    phi, asked = view.shadow_log_odds[:, view.asked], view.asked
    out = np.where(view.out[:, asked], phi, np.nan)
    inside = np.where(view.member[:, asked], phi, np.nan)
    mu_out, mu_in = np.nanmean(out, 0), np.nanmean(inside, 0)
    s_out, s_in = (
        np.sqrt(np.nansum((side - mu) ** 2) / (np.isfinite(side).sum(0) - 1).clip(0).sum())
        for side, mu in ((out, mu_out), (inside, mu_in))
    )
    x = view.log_odds[asked]
    exact = norm.logpdf(x, mu_in, s_in) - norm.logpdf(x, mu_out, s_out)
    got = score("lira", view, mode="online", centre="mean")
    np.testing.assert_allclose(got, exact, rtol=1e-6)


def test_rmia_with_the_taylor_softmax_by_hand() -> None:
    """Logits (1.6, 1, -3), label 0: t(1) = 8/3, t(1) = 8/3, t(-3) = -2, so p = (8/3) / (10/3) =
    0.8.
    """
    own, others = np.array([[1.6, 1.0, -3.0]] * 2), np.zeros((2, 2, 3))
    view = tiny(own, others, [0, 0])
    margin = 1 - 0.6 + 0.18 - 0.036
    mean = margin / (margin + 2)
    ratio = make(Part("rmia", {"likelihood": "taylor", "a": 1.0}))._log_ratio(view)  # type: ignore[attr-defined]
    np.testing.assert_allclose(ratio, np.log(0.8 / mean), rtol=1e-9)
    wrong = tiny([[-2.4, 9.0, 0.0]], np.zeros((2, 1, 3)), [0])  # t(-3) is negative: the floor
    ratio = make(Part("rmia", {"likelihood": "taylor", "a": 1.0}))._log_ratio(wrong)  # type: ignore[attr-defined]
    np.testing.assert_allclose(ratio, np.log(1e-12 / mean), rtol=1e-9)


def tiny(own: Any, others: Any, labels: Any, member: Any = None) -> View:
    """A view of one target whose logits are `own` [S, C], with shadows' `others` [K, S, C]."""
    own, others, labels = np.asarray(own, float), np.asarray(others, float), np.asarray(labels)
    base = world(0.0).view(0, {"logits"})
    everywhere = np.ones(others.shape[:2], bool)
    inside = ~everywhere if member is None else np.asarray(member)
    said = Signals(
        _split(len(labels), len(others), inside),
        labels,
        {"logits": np.concatenate([own[None], others])},
    )
    view = said.view(0, {"logits"})
    return replace(base, **{n: getattr(view, n) for n in View.__dataclass_fields__})


def _split(records: int, shadows: int, inside: Array) -> Any:
    from raymia.records.split import Split

    member = np.concatenate([np.zeros((1, records), bool), inside])
    row = np.ones((1, records), bool)
    return Split(
        member=member,
        held=np.zeros_like(member),
        fit=np.ones_like(member),
        targets=np.array([0]),
        shadows=np.array([[False] + [True] * shadows]),
        judged=row,
        known=~row,
        role=np.zeros(records, np.int8),
        half=row[0],
        twin=np.full(1 + shadows, -1),
    )


P = np.array([[0.7, 0.2, 0.1], [0.25, 0.25, 0.5]])
BY_HAND = {
    "baseline": [1.0, 0.0],
    "probability": [0.7, 0.25],
    "loss": [np.log(0.7), np.log(0.25)],
    "confidence": [np.log(0.7), np.log(0.5)],
    "entropy": [
        0.7 * np.log(0.7) + 0.2 * np.log(0.2) + 0.1 * np.log(0.1),
        0.5 * np.log(0.25) + 0.5 * np.log(0.5),
    ],
    "modified_entropy": [
        0.3 * np.log(0.7) + 0.2 * np.log(0.8) + 0.1 * np.log(0.9),
        0.75 * np.log(0.25) + 0.25 * np.log(0.75) + 0.5 * np.log(0.5),
    ],
}


@pytest.mark.parametrize("name", BY_HAND)
def test_metrics_by_hand(name: str) -> None:
    view = tiny(np.log(P) + 5, np.zeros((2, 2, 3)), [0, 1])
    np.testing.assert_allclose(score(name, view), BY_HAND[name], rtol=1e-12)


def test_nothing_ties_where_one_class_has_nearly_all() -> None:
    """float64 softmax is 1 from a margin of 37 on; the losses still differ there."""
    view = tiny([[m, 0, 0] for m in (30.0, 40, 60, 300, 700)], np.zeros((2, 5, 3)), [0] * 5)
    for name in ("loss", "confidence", "entropy", "modified_entropy", "lira", "population"):
        if name != "population":
            assert (np.diff(score(name, view)) > 0).all(), name
    np.testing.assert_allclose(
        log_truth(view.log_odds), -2 * np.exp([-30.0, -40, -60, -300, -700]), rtol=1e-9
    )


def test_reference_by_hand() -> None:
    """Losses 1, 2, 3 of the shadows; the CDF runs through (0, 0), (1, 1/4), (2, 2/4), (3, 3/4),
    (1000, 1).
    """

    def logits(loss: float) -> list[float]:
        return [-loss, float(np.log(-np.expm1(-loss)))]

    for loss, share in ((1.5, 0.375), (0.5, 0.125), (2.0, 0.5), (3.0 + 997 / 2, 0.875)):
        view = tiny([logits(loss)], [[logits(1.0)], [logits(3.0)], [logits(2.0)]], [0])
        assert score("reference", view)[0] == pytest.approx(1 - share, abs=1e-9)


def test_instance_vector_by_hand() -> None:
    rng = np.random.default_rng(0)
    p, others = rng.dirichlet(np.ones(4), 3), rng.dirichlet(np.ones(4), (5, 3))
    member = np.array([[1, 0, 0], [0, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0]], bool)
    got = score("instance_vector", tiny(np.log(p), np.log(others), [0, 1, 2], member))
    for i in range(2):
        inside, outside = (others[on, i].mean(0) for on in (member[:, i], ~member[:, i]))
        assert got[i] == pytest.approx(kl(outside, p[i]) - kl(inside, p[i]), abs=1e-9)
    assert got[2] == 0.0  # no shadow trained on it


def test_population_ranks_as_the_loss_does() -> None:
    view = world(0.3).view(0, {"logits"})
    got, loss = score("population", view), score("loss", view)
    assert (np.argsort(got, kind="stable") == np.argsort(loss, kind="stable")).all()
    z = np.sort(score("loss", replace(view, asked=np.flatnonzero(view.population))))
    share = np.searchsorted(z, loss) / (len(z) + 1)
    assert np.abs(got - share).max() <= 1.0 / (len(z) + 1) + 1e-9
    assert (view.population == (world(0.3).split.role == POPULATION)).all()


def test_yeoms_threshold_is_the_shadows_mean_training_loss() -> None:
    view = world(0.2).view(0, {"logits"})
    losses = -log_softmax(view.shadows["logits"])[:, np.arange(len(view.labels)), view.labels]
    cut = make(Part("loss", {"threshold": "mean_loss"})).cut(view)
    assert cut == pytest.approx(-losses[view.member].mean(), rel=1e-9)
    known = world(0.2).view(0, {"logits"}, known=True)
    assert known.known_member.any() and not known.known_member.all()
    own = -log_softmax(known.target["logits"])[np.arange(len(known.labels)), known.labels]
    cut = make(Part("loss", {"threshold": "known"})).cut(known)
    assert cut == pytest.approx(-own[known.known[known.known_member]].mean(), rel=1e-9)
    with pytest.raises(Exception, match="mean_loss goes with per_class: false"):
        make(Part("loss", {"threshold": "mean_loss", "per_class": True}))


def test_places_within_a_class_by_hand() -> None:
    """Two known scores of class 0, one of class 1, none of class 2: thirds, halves, and
    anywhere; uniform in each.
    """
    got = by_class(
        np.array([0.0, 2.0, 4.0, 0.0, 9.0, 5.0]),
        np.array([0, 0, 0, 1, 1, 2]),
        np.array([1.0, 3, 5]),
        np.array([0, 0, 1]),
    )
    low = np.array([0, 1 / 3, 2 / 3, 0, 1 / 2, 0])
    width = np.array([1 / 3, 1 / 3, 1 / 3, 1 / 2, 1 / 2, 1])
    assert ((low < got) & (got < low + width)).all()


def test_places_are_among_the_shadows_non_members() -> None:
    """What the shadows say of their own members moves no place."""
    draw, labels = np.random.default_rng(0), np.arange(12) % 2
    own, others = draw.normal(size=(12, 2)), draw.normal(size=(3, 12, 2))
    member = draw.random((3, 12)) < 0.5
    places = score("loss", tiny(own, others, labels, member), per_class=True)
    for moved, same in ((member, True), (~member, False)):
        told = np.where(moved[..., None], draw.normal(size=others.shape), others)
        again = score("loss", tiny(own, told, labels, member), per_class=True)
        if same:  # only the common scale of what lies between two places may differ
            assert (again.argsort() == places.argsort()).all()
        else:
            assert (again.argsort() != places.argsort()).any()


def test_rare_classes_do_not_win_the_top_ranks() -> None:
    """Nothing leaks: half of the records are of a class with three known scores, and they are
    not the highest hundredth.
    """
    rng = np.random.default_rng(0)
    rare = rng.random(20_000) < 0.5
    share, mean = [], []
    for _ in range(40):
        known = np.concatenate([rng.normal(size=3), rng.normal(size=500)])
        place = by_class(
            rng.normal(size=20_000), rare.astype(int), known, (np.arange(503) < 3).astype(int)
        )
        share.append(rare[np.argsort(place)[-200:]].mean())
        mean.append(place[rare].mean())
    assert np.mean(share) < 0.6
    assert np.mean(mean) == pytest.approx(0.5, abs=0.06)


def test_per_class_calibration_removes_what_only_the_class_says() -> None:
    """Members are in the one class that is hard, non-members in the easy one: the loss is
    misled, places in a class are not.
    """
    signals = gaussian(models=10, apart=1.0, spread=1.0, base=0.0, records=2000)
    hard = np.arange(2000) % 2
    phi = signals.arrays["logits"][..., 0] - 4 * hard
    own = signals.split.member[signals.split.targets[0]]
    logits = np.stack([phi, np.zeros_like(phi)], -1)
    logits[:, hard == 1] = logits[:, hard == 1, ::-1]
    view = Signals(signals.split, hard, {"logits": logits}).view(0, {"logits"})
    view = replace(view, asked=np.flatnonzero(own == (hard == 1)))
    member = own[view.asked]
    assert metrics.auc(score("loss", view), member) < 0.2
    assert metrics.auc(score("loss", view, per_class=True), member) > 0.6
