"""Equations and laws that a flipped sign, a wrong rate or a leaked row would break."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from raymia.attack import attack as attacks
from raymia.attack.attack import Attack, Rng
from raymia.defenses.advreg import Advreg
from raymia.defenses.crl import Crl
from raymia.laws.synthetic import split, world
from raymia.point import catalog
from raymia.point.schedule import Training
from raymia.point.space import Part
from raymia.records.data import Data
from raymia.records.split import AUDITED, POPULATION, Split
from raymia.signals import world as worlds
from raymia.signals.view import View
from raymia.streams import Stream
from raymia.study import sweep
from raymia.training import inner_attack
from raymia.training.batches import Batches
from raymia.training.defense import Batch, Clock, Lesson, Reference
from raymia.training.group import Group
from raymia.training.network import Network, Outputs, classifier
from raymia.training.optimizer import Optimizer
from raymia.trial import judge
from raymia.trial import row as rows
from raymia.trial.judge import Verdict
from raymia.verdict import audit, metrics

CLOCK = Clock(0, 1, 0)


def net(features: int = 4, classes: int = 3) -> Network:
    torch.manual_seed(0)
    return classifier(torch.nn.Identity(), features, classes).double()


def spoken(logits: torch.Tensor, label: torch.Tensor) -> tuple[Outputs, Batch]:
    one_hot = F.one_hot(label, logits.shape[-1]).double()
    return Outputs(logits, logits), Batch(logits, one_hot, label)


# ---- AdvReg's inner attacker -------------------------------------------------------------------


def sides() -> tuple[Any, Any]:
    """Members, on which the network is sure, and reference records, on which it is not."""
    draw = torch.Generator().manual_seed(1)
    label = torch.arange(40) % 3
    sure = 6 * F.one_hot(label, 3).double() + torch.randn((40, 3), generator=draw).double()
    return spoken(sure, label), spoken(torch.randn((40, 3), generator=draw).double(), label)


def test_the_inner_attackers_loss_calls_members_one_and_the_reference_zero() -> None:
    (inside, batch), (outside, other) = sides()
    extra = Advreg().extra(net(), Stream(("x",), 0))
    (further,) = Advreg().passes(CLOCK)
    seen, _ = further.loss(inside, batch, Reference(outside, other), extra, CLOCK)
    p = torch.sigmoid(inner_attack.suspicion(inside.logits, batch.label, extra))
    q = torch.sigmoid(inner_attack.suspicion(outside.logits, other.label, extra))
    assert not torch.allclose(p.mean(), q.mean())
    assert float(seen) == pytest.approx(float(-(p.log().mean() + (1 - q).log().mean()) / 2))


def test_the_inner_attacker_learns_to_tell_members() -> None:
    (inside, batch), (outside, other) = sides()
    defense = Advreg()
    extra = defense.extra(net(), Stream(("x",), 0))
    weights = {name: w.clone().unsqueeze(0) for name, w in extra.items()}
    optimizer = Optimizer(list(weights.values()), defense.extra_training()[""])
    (further,) = defense.passes(CLOCK)

    def auc() -> float:
        now = {name: w[0] for name, w in weights.items()}
        of = [
            inner_attack.suspicion(said.logits, b.label, now).detach().numpy()
            for said, b in ((inside, batch), (outside, other))
        ]
        return metrics.auc(np.concatenate(of), np.repeat([True, False], 40))

    for _ in range(30):
        now = {name: w[0].clone().requires_grad_() for name, w in weights.items()}
        loss, acted = further.loss(inside, batch, Reference(outside, other), now, CLOCK)
        grads = torch.autograd.grad(loss, list(now.values()))
        optimizer.step([g.unsqueeze(0) for g in grads], 1e-3)
    assert auc() > 0.9 and float(acted["gained"]) == 1


def test_the_network_is_made_to_look_like_non_members() -> None:
    """The penalty is alpha (mean h - 1/2): its gradient lowers h on the batch."""
    (inside, batch), _ = sides()
    extra = Advreg().extra(net(), Stream(("x",), 0))
    logits = inside.logits.clone().requires_grad_()
    penalty = Advreg(alpha=2.0).penalty(Outputs(logits, logits), None, batch, extra, CLOCK)
    assert penalty is not None
    h = torch.sigmoid(inner_attack.suspicion(inside.logits, batch.label, extra)).mean()
    assert penalty.item() == pytest.approx(2 * (h.item() - 0.5))


# ---- what is trained beside a network ----------------------------------------------------------


def group(training: Training, **knobs: float) -> Group:
    x = torch.rand((12, 4), generator=torch.Generator().manual_seed(0)).double()
    lesson = Lesson(x, torch.arange(12) % 3, (np.arange(12),), (np.arange(0),), 3)
    return Group(Crl(**knobs), [net()], lesson, training, ("x",), [0])


def test_centres_move_at_their_own_rate() -> None:
    """SGD at 0.001 with momentum 0.9: after one step they are 0.001 times the gradient away."""
    still = Training(epochs=1, batch_size=12, lr=0.0, weight_decay=0.0, precision="float64")
    one = group(still, lam=1.0)
    before, network = one.extra["centres"].detach().clone(), one.template.state_dict()
    before_net = {name: value.clone() for name, value in network.items()}
    one.train()
    assert all(torch.equal(network[name], value) for name, value in before_net.items())
    centres = before.clone().requires_grad_()
    batch = one.batches.gather(np.arange(12)[None])
    own = Batch(*(t[0] for t in batch))
    said = one.template(own.x)
    losses = one.recipe.losses(said, None, own, {"centres": centres[0]}, Clock(0, 1, 0))
    (grad,) = torch.autograd.grad(sum(loss.mean() for loss in losses), centres)
    expected = before - 1e-3 * (grad + 5e-4 * before)
    assert not torch.equal(before, expected)
    assert torch.allclose(one.extra["centres"], expected, atol=1e-12, rtol=0)


def test_a_milestone_begins_with_its_own_epoch() -> None:
    training = Training(epochs=10, lr=1.0, milestones=((0.5, 0.1), (0.8, 0.01)))
    rates = [training.lr_at(epoch) for epoch in range(10)]
    assert rates == [1.0] * 5 + [0.1] * 3 + [0.01] * 2


def test_every_reference_record_of_a_class_is_drawn_and_no_other() -> None:
    x = torch.zeros((40, 2)).double()
    lesson = Lesson(x, torch.arange(40) % 4, (np.arange(20),), (np.arange(20, 40),), 4)
    batches = Batches(lesson, torch.float64, [], [np.random.default_rng(0)])
    seen: dict[int, set[int]] = {label: set() for label in range(4)}
    lesson.x[:, 0] = torch.arange(40)
    for _ in range(60):
        drawn = batches.reference(np.arange(4)[None], "by_class")
        for place, label in zip(
            drawn.x[0, :, 0].int().tolist(), drawn.label[0].tolist(), strict=True
        ):
            seen[label].add(place)
        assert drawn.label[0].tolist() == [0, 1, 2, 3]
    assert seen == {label: set(range(20 + label, 40, 4)) for label in range(4)}


# ---- who knows what ----------------------------------------------------------------------------


def test_a_stand_in_leaves_out_its_complement() -> None:
    """Shadow k as target: its complement among the shadows would give its membership away."""
    signals = world(0.0, split(models=12, targets=2))
    view = signals.view(0, ["logits"])
    pairs = 0
    for k in range(len(view.member)):
        stand_in, truth = view.as_target(k)
        assert (truth == view.member[k, view.fit[k]]).all()
        assert not (stand_in.member == view.member[k]).all(1).any()
        free = view.fit[k]
        assert not (stand_in.member[:, free] == ~view.member[k, free]).all(1).any()
        assert len(stand_in.member) == len(view.member) - (2 if view.twin[k] >= 0 else 1)
        pairs += view.twin[k] >= 0
    assert pairs >= 8


def test_a_threshold_is_the_best_one_on_the_first_shadow() -> None:
    """Not on the target: calling members by it is what a stranger could do."""
    signals, attack = world(0.3, split(models=8)), catalog.made("attacks", Part("loss", {}))
    view = signals.view(0, ["logits"])
    (verdict,) = judge.verdicts(attack, "loss", signals, [0], ("x",))
    stand_in, member = view.as_target(0)
    rng = np.random.default_rng(0)
    threshold = metrics.best_threshold(attack.score(stand_in, rng), member)
    own = signals.split.member[signals.split.targets[0], view.asked]
    said = metrics.at_threshold(attack.score(view, rng), own, threshold)
    assert verdict.line["balanced_accuracy"] == said.balanced_accuracy
    others = {
        metrics.best_threshold(attack.score(v, rng), m)
        for v, m in (view.as_target(k) for k in range(1, len(view.member)))
    }
    assert threshold not in others


@pytest.mark.parametrize("name", catalog.names("protocols"))
def test_known_records_are_never_judged(name: str) -> None:
    knobs = {"overlap": {"targets": 2, "shadows": 4}, "official": {"train": 400}}.get(name, {})
    drawn: Split = catalog.made("protocols", Part(name, knobs)).draw(600, 0, 0)
    signals = world(0.0, drawn)
    for t in range(len(drawn.targets)):
        informed, plain = (signals.view(t, ["logits"], known) for known in (True, False))
        assert len(informed.known) and not set(informed.asked) & set(informed.known)
        assert set(informed.asked) | set(informed.known) == set(plain.asked)
        assert not len(plain.known)


def test_the_place_of_a_record_does_not_say_who_is_a_member() -> None:
    """Under `official` the members come first in the data: a view shows them in a drawn order."""
    drawn: Split = catalog.made("protocols", Part("official", {"train": 400})).draw(800, 0, 0)
    signals, member = world(0.0, drawn), drawn.member[0]
    seen: list[Any] = []

    @dataclass(frozen=True)
    class Counting(Attack):
        """Early records are members."""

        def score(self, view: View, rng: Rng) -> Any:
            seen.append(view)
            return -view.asked.astype(float)

    aucs = []
    for key in range(20):
        (verdict,) = judge.verdicts(Counting(), "counting", signals, [0], (key, 0))
        on = np.isfinite(verdict.scores)
        aucs.append(metrics.auc(verdict.scores[on], member[on]))
    # 20 draws of 400 and 400: one has a standard error of 0.02
    assert abs(np.mean(aucs) - 0.5) < 0.018 and np.ptp(aucs) > 0.01
    for view in seen:
        assert (np.diff(view.asked) > 0).all()
    # the scores of a record are its own wherever it stands
    attack = catalog.made("attacks", Part("loss", {}))
    (verdict,) = judge.verdicts(attack, "loss", signals, [0], (3, 0))
    asked = np.flatnonzero(drawn.judged[0])
    own = attack.score(signals.view(0, ["logits"]), np.random.default_rng(0))
    np.testing.assert_array_equal(verdict.scores[asked], own)


def test_a_shadow_does_not_stand_for_a_model_without_a_record_that_it_held_out() -> None:
    """Its defense saw the record: the shadow is neither with it nor without it."""
    drawn = split(models=8).carve(0.3, 0, 0)
    view, shadows = world(0.0, drawn).view(0, ["logits"]), np.flatnonzero(drawn.shadows[0])
    assert drawn.held[shadows].any() and not (view.out & drawn.held[shadows]).any()
    free = (drawn.role == AUDITED) | (drawn.role == POPULATION)
    assert (view.out | drawn.held[shadows] | view.member == free | view.member).all()


TWO = """
name: two
dataset: {digits: {records: 200}}
network: mlp
protocol: {coin: {models: 4, targets: 2}}
defenses: [[]]
attacks: %s
"""


@pytest.mark.parametrize(("asked", "strongest"), [("all", "loss"), ("[loss, salem]", "salem")])
def test_an_attack_that_knows_members_counts_only_where_it_was_asked_for(
    asked: str, strongest: str
) -> None:
    """salem tells every member, loss some: who is the strongest depends on how it was asked for."""
    file = sweep.parse(TWO % asked)
    data = Data(
        "toy", np.zeros((200, 64), np.float32), np.arange(200, dtype=np.int64) % 10, 10, False
    )
    point = file.point(0, {}, 0, data)
    kept = tuple(part for part in point.attacks if part.name in ("loss", "salem"))
    one = worlds.of(replace(point, attacks=kept), 200)
    assert [attacks.traits(part).counts for part in kept] == [True, asked != "all"]
    verdicts, noise = [], np.random.default_rng(0)
    for part in kept:
        for t, m in enumerate(one.split.targets):
            member = one.split.member[m]
            score = member + (noise.normal(size=200) if part.name == "loss" else 0.0)
            asked_of = one.split.judged[t] & ~(
                one.split.known[t] if part.name == "salem" else False
            )
            scores = np.where(asked_of, score, np.nan)
            verdicts.append(Verdict(part.name, t, scores, {"auc": 0.5}, {}, ""))
    logits = np.random.default_rng(1).normal(size=(4, 200, 10))
    row = rows.finished(one, data, logits, verdicts)
    assert row.worst_attack == strongest
    assert (row.numbers["plain_max_auc"] == 1.0) == (strongest == "salem")
    assert row.numbers["auc.salem"] == 1.0  # its own column stands in either case


# ---- bounds ------------------------------------------------------------------------------------


def test_the_mirrored_bound_of_epsilon() -> None:
    """Calling nobody a non-member wrongly says as much as calling nobody a member wrongly."""
    assert audit.lower_bound(1, 100, 99, 100) == 0.0
    assert audit.lower_bound(0, 100, 100, 100) == 0.0
    one, mirror = audit.lower_bound(50, 100, 0, 100), audit.lower_bound(100, 100, 50, 100)
    assert mirror == pytest.approx(one) and one > 2.0


def test_of_equal_thresholds_the_highest_is_taken() -> None:
    """At 0.6 and at 0.8 half of the members and none of the others are caught, or all and half."""
    score, member = np.array([0.2, 0.6, 0.6, 0.8]), np.array([False, False, True, True])
    assert metrics.best_threshold(score, member) == 0.8
