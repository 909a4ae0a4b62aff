"""The laws that every attack keeps (house, section 8), its variants included."""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from raymia.attack.attack import Attack, Rng, column, make
from raymia.attack.learned import Learned
from raymia.laws.synthetic import Array, permuted, split, world
from raymia.point import catalog
from raymia.point.space import Part
from raymia.signals.view import Signals, View
from raymia.streams import stream
from raymia.trial import run as trial
from raymia.verdict import metrics

NAMES = catalog.names("attacks")
VARIANTS = [
    *(
        Part(name, {"per_class": True})
        for name in NAMES
        if "per_class" in catalog.knobs(catalog.find("attacks", name))
    ),
    *(Part("loss", {"threshold": threshold}) for threshold in ("mean_loss", "known")),
    *(
        Part("lira", {"mode": mode, "variance": v})
        for mode in ("offline", "online")
        for v in ("per_example", "shrunken")
    ),
    *(
        Part("lira", knobs)
        for knobs in ({"mode": "online"}, {"views": 2}, {"views": 18, "mode": "online"})
    ),
    *(Part("rmia", knobs) for knobs in ({"mode": "online"}, {"likelihood": "taylor"})),
    *(Part("nn", {"optimizer": optimizer}) for optimizer in ("sgd", "sgd_cifar")),
    *(
        Part(name, {"norm": norm})
        for name, norm in (("grad_x", "l1"), ("grad_w", "l1"), ("adversarial_distance", "linf"))
    ),
]
CASES = [*(Part(name, {}) for name in NAMES), *VARIANTS]
WORLDS = {"leaky": world(1.0), "sealed": world(0.0, seed=1)}
every_attack = pytest.mark.parametrize("part", CASES, ids=column)


def scores(attack: Attack, signals: Signals) -> list[Array]:
    """Of every target, through the same calls as a trial."""
    targets = range(len(signals.split.targets))
    return [verdict.scores for verdict in trial.verdicts(attack, "law", signals, targets, (0, 0))]


@cache
def found(part_text: str, where: str, quick: bool) -> list[Array]:
    part = next(p for p in CASES if column(p) == part_text)
    return scores(hurried(part) if quick else hurried(part, 1500, 1), WORLDS[where])


def hurried(part: Part, pairs: int = 300, share: float = 0.0) -> Attack:
    """The attack; if it learns, on a few pairs, and for one epoch where the law is about
    equality.
    """
    attack: Any = make(part)
    return (
        replace(attack, epochs=max(1, int(share * attack.epochs)), pairs=pairs)
        if isinstance(attack, Learned)
        else attack
    )


def aucs(part: Part, where: str) -> Any:
    """(score, member) of every target on the records that the attack was asked."""
    member = WORLDS[where].split.member[WORLDS[where].split.targets]
    for score, inside in zip(found(column(part), where, False), member, strict=True):
        asked = np.isfinite(score)
        yield score[asked], inside[asked]


@every_attack
def test_a1_leaky_signals_are_seen(part: Part) -> None:
    for score, member in aucs(part, "leaky"):
        assert metrics.auc(score, member) > 0.9


@every_attack
def test_a2_sealed_signals_say_nothing(part: Part) -> None:
    for score, member in aucs(part, "sealed"):
        low, high = metrics.interval(
            metrics.auc(score, member), metrics.influence(score, member), level=0.9999
        )
        assert low <= 0.5 <= high


@every_attack
def test_a3_permuting_records_permutes_scores(part: Part) -> None:
    order = np.random.default_rng(3).permutation(len(WORLDS["leaky"].labels))
    for score, moved in zip(
        found(column(part), "leaky", True),
        scores(hurried(part), permuted(WORLDS["leaky"], order)),
        strict=True,
    ):
        np.testing.assert_allclose(moved, score[order], rtol=1e-4, atol=1e-5)


@every_attack
def test_a4_the_same_stream_gives_the_same_scores(part: Part) -> None:
    again = scores(hurried(part), WORLDS["leaky"])
    np.testing.assert_array_equal(found(column(part), "leaky", True), again)
    view, rng = (
        WORLDS["leaky"].view(0, make(part).traits().needs, make(part).traits().informed),
        stream(1),
    )
    np.random.seed(7)
    before = np.random.get_state()[1]
    hurried(part).score(view, rng)
    # nobody else's randomness is used
    np.testing.assert_array_equal(np.random.get_state()[1], before)


@every_attack
def test_a5_an_attack_reads_what_it_asked_for_and_changes_nothing(part: Part) -> None:
    signals, asked = WORLDS["leaky"], make(part).traits().needs
    own = {
        n: a
        for n, a in signals.arrays.items()
        if any(n == q or n.startswith(f"{q}_") for q in asked)
    }
    assert own
    poisoned = Signals(
        signals.split,
        signals.labels,
        {n: a.copy() if n in own else a * np.nan for n, a in signals.arrays.items()},
    )
    np.testing.assert_array_equal(
        scores(hurried(part), poisoned), found(column(part), "leaky", True)
    )
    for name, array in own.items():
        np.testing.assert_array_equal(poisoned.arrays[name], array)
    view = signals.view(0, asked)
    assert set(view.target) == set(view.shadows) == set(own)
    assert not any(
        a.flags.writeable
        for a in (*view.target.values(), view.member, view.fit, view.out, view.labels, view.asked)
    )


@every_attack
def test_a6_the_targets_membership_is_out_of_reach(part: Part) -> None:
    """Another draw of the target's members (and of its complement's) changes no score of the
    same answers.
    """
    signals = WORLDS["leaky"]
    member = signals.split.member.copy()
    for t, m in enumerate(signals.split.targets):
        free = signals.split.judged[t] & ~(
            signals.split.known[t] if make(part).traits().informed else False
        )
        member[m, free] = np.random.default_rng(m).permutation(member[m, free])
    for t in range(len(signals.split.targets)):
        # the others' rows as they are: each target is among the shadows of the next
        rows = signals.split.member.copy()
        rows[signals.split.targets[t]] = member[signals.split.targets[t]]
        rows[signals.split.twin[signals.split.targets[t]]] = ~member[signals.split.targets[t]]
        other = Signals(replace(signals.split, member=rows), signals.labels, signals.arrays)
        view = other.view(t, make(part).traits().needs, make(part).traits().informed)
        same = signals.view(t, make(part).traits().needs, make(part).traits().informed)
        np.testing.assert_array_equal(
            hurried(part).score(view, stream(t)), hurried(part).score(same, stream(t))
        )


@dataclass(frozen=True)
class Counting(Attack):
    """How many shadows trained on the record."""

    def score(self, view: View, rng: Rng) -> Array:
        counts: Array = view.member.sum(0)[view.asked]
        return counts.astype(float)


@dataclass(frozen=True)
class Regression(Attack):
    """The best that linear regression makes of the shadows' membership: fitted on each shadow
    by the others.
    """

    def score(self, view: View, rng: Rng) -> Array:
        x, y = [], []
        for k in range(len(view.member)):
            stand_in, known = view.as_target(k)
            x.append(np.sort(stand_in.member[:, stand_in.asked], 0).T)
            y.append(known)
        features, answer = np.concatenate(x).astype(float), np.concatenate(y).astype(float)
        weights = np.linalg.lstsq(features, answer, rcond=None)[0]
        own = np.sort(view.member[:, view.asked], 0).T[:, : features.shape[1]]
        return np.asarray(own @ weights)


@pytest.mark.parametrize("attack", [Counting(), Regression()], ids=["counting", "regression"])
@pytest.mark.parametrize("seed", range(5))
def test_a6_membership_of_the_others_says_nothing(attack: Attack, seed: int) -> None:
    signals = world(1.0, split(seed=seed))
    for score, m in zip(scores(attack, signals), signals.split.targets, strict=True):
        asked = np.isfinite(score)
        assert metrics.auc(score[asked], signals.split.member[m, asked]) == 0.5


def test_a6_would_catch_a_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    """Broken on purpose: the complement stays among the shadows."""
    drawn = split()
    shadows = drawn.shadows.copy()
    shadows[np.arange(len(drawn.targets)), drawn.twin[drawn.targets]] = True
    signals = world(1.0, replace(drawn, shadows=shadows))
    for score, m in zip(scores(Counting(), signals), drawn.targets, strict=True):
        asked = np.isfinite(score)
        assert metrics.auc(-score[asked], drawn.member[m, asked]) == 1.0


@pytest.mark.parametrize("name", NAMES)
def test_every_attack_says_where_it_comes_from(name: str) -> None:
    cls = catalog.find("attacks", name)
    assert catalog.source(cls) and cls.cite.startswith("@") and (cls.__doc__ or "").strip()
    traits = make(Part(name, {})).traits()
    assert traits.wants <= {"in_shadows", "out_shadows", "population", "images", "white_box"}
    assert not (traits.informed and cls.standard)
