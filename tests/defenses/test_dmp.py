from dataclasses import replace
from math import log

import numpy as np
import pytest
import torch

from raymia.defenses.dmp import Dmp
from raymia.errors import SweepError
from raymia.laws.defenses import arm, train
from raymia.point.catalog import make
from raymia.point.schedule import Training
from raymia.training.gan import pictures
from raymia.training.group import Group
from raymia.training.network import Outputs

TEACHER = torch.tensor([4.0, 0.0, 2.0]).double()


def constant(recipe, lesson, name):  # type: ignore[no-untyped-def]
    return [lambda x, k=k: (TEACHER * (k + 1)).expand(len(x), 3) for k in range(len(lesson))]


@pytest.mark.parametrize(("average", "divisor"), [("records", 1), ("elements", 2)])
def test_the_loss_is_the_divergence(average, divisor, labelled, at):  # type: ignore[no-untyped-def]
    batch = labelled([0], 2)._replace(target=torch.tensor([[0.75, 0.25]]).double())
    student = Outputs(torch.zeros(1, 2).double(), torch.zeros(1, 1))
    loss = Dmp(tau=3.0, average=average).criterion(student, batch, at(0))
    assert float(loss.mean()) == pytest.approx((0.75 * log(1.5) + 0.25 * log(0.5)) / divisor)
    agree = Outputs(3 * torch.tensor([[0.75, 0.25]]).double().log(), torch.zeros(1, 1))
    assert float(Dmp(tau=3.0).criterion(agree, batch, at(0)).mean()) == pytest.approx(0)


def test_the_student_of_a_split_sees_the_reference_alone(lesson):  # type: ignore[no-untyped-def]
    before = lesson(2)
    taught = Dmp(tau=2.0).teach(before, constant, [])
    assert all(np.array_equal(m, r) for m, r in zip(taught.members, before.reference, strict=True))
    for k, rows in enumerate(before.reference):
        assert torch.allclose(
            taught.target[k, rows].double(), (TEACHER * (k + 1) / 2).softmax(-1).expand(8, 3)
        )


def test_synthetic_records_are_each_models_own(lesson):  # type: ignore[no-untyped-def]
    before, rngs = lesson(2), [np.random.default_rng(m) for m in range(2)]
    small = Dmp(source="synthetic", pictures=5, gan_epochs=1, gan_width=2)
    taught = small.teach(before, constant, rngs)
    assert taught.x.shape == (50, 1, 8, 8) and torch.equal(taught.x[:40], before.x)
    assert [m.tolist() for m in taught.members] == [list(range(40, 45)), list(range(45, 50))]
    assert 0 <= taught.x[40:].min() and taught.x[40:].max() <= 1 and (taught.y[40:] == 0).all()
    alone = small.teach(
        replace(before, members=before.members[1:], reference=before.reference[1:]),
        constant,
        [np.random.default_rng(1)],
    )
    assert torch.equal(taught.x[45:], alone.x[40:])


def test_only_the_split_takes_records_from_the_members() -> None:
    assert (Dmp(split=0.3).traits().share, Dmp(source="synthetic").traits().share) == (0.3, 0.0)
    assert (Dmp().traits().wants, Dmp(source="synthetic").traits().wants) == (
        frozenset(),
        {"images"},
    )


def test_a_gan_learns_where_its_records_are_bright() -> None:
    """Records with a bright left half, and their mirror images."""
    left = 0.1 + 0.1 * torch.rand((32, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    left[..., :4] += 0.7
    for real, sign in ((left, 1), (left.flip(-1), -1)):
        drawn = pictures(real, 16, 30, 8, seed=0, batch=8)
        assert sign * float(drawn[..., :4].mean() - drawn[..., 4:].mean()) > 0.2


def test_a_gan_needs_images() -> None:
    with pytest.raises(SweepError, match="at least 8x8"):
        pictures(torch.zeros(4, 3), 1, 1, 1, 0)


SURE = ((40.0, 0.4), (-40.0, 0.6))  # the log-odds of class 0 are slope * (brightness - foot)


def sure_of(recipe, lesson, name):  # type: ignore[no-untyped-def]
    """Teacher 0 is the surer the brighter a record is, teacher 1 the darker."""

    def say(slope, foot):  # type: ignore[no-untyped-def]
        return lambda x: torch.nn.functional.pad(
            slope * (x.mean((1, 2, 3))[:, None] - foot), (0, 2)
        )

    return [say(*line) for line in SURE][: len(lesson)]


def entropy(z: np.ndarray, tau: float) -> float:  # type: ignore[type-arg]
    p = np.exp(z / tau) / np.exp(z / tau).sum()
    return float(-(p * np.log(p)).sum())


def test_the_student_sees_what_its_own_teacher_is_surest_of(lesson):  # type: ignore[no-untyped-def]
    before = lesson(2)
    taught = Dmp(tau=2.0, lowest_entropy=0.4).teach(before, sure_of, [])  # 3 of 8
    for k, (slope, foot) in enumerate(SURE):
        z = slope * (before.x[before.reference[k]].mean((1, 2, 3)).numpy() - foot)
        each = [entropy(np.array([one, 0.0, 0.0]), 2.0) for one in z]
        surest = before.reference[k][np.sort(np.argsort(each)[:3])]
        assert taught.members[k].tolist() == surest.tolist()
        expected = torch.tensor([[one, 0.0, 0.0] for one in z]).div(2.0).softmax(-1)
        found = taught.target[k, surest].double()
        assert torch.allclose(found, expected[np.sort(np.argsort(each)[:3])].double(), atol=1e-6)
    assert set(taught.members[0]) != set(taught.members[1])
    assert all(map(np.array_equal, taught.reference, before.reference))
    fewest = Dmp(lowest_entropy=0.01).teach(before, sure_of, [])
    assert [len(m) for m in fewest.members] == [1, 1]


def test_of_pictures_too_it_sees_what_its_teacher_is_surest_of(lesson):  # type: ignore[no-untyped-def]
    whole, part = (
        Dmp(source="synthetic", pictures=6, gan_epochs=1, gan_width=2, lowest_entropy=share).teach(
            lesson(2), sure_of, [np.random.default_rng(m) for m in range(2)]
        )
        for share in (1.0, 0.5)
    )
    assert torch.equal(whole.x, part.x) and torch.equal(whole.target, part.target)
    for k in range(2):
        said = whole.target[k, whole.members[k]].double().numpy()
        each = -(said * np.log(said)).sum(-1)
        surest = whole.members[k][np.sort(np.argsort(each)[:3])]
        assert part.members[k].tolist() == surest.tolist() and len(whole.members[k]) == 6


def test_the_students_schedule_is_not_the_teachers(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Training] = []
    plain = Group.train
    monkeypatch.setattr(Group, "train", lambda self: seen.append(self.schedule) or plain(self))
    usual = Training(epochs=3, batch_size=8, optimizer="adam", lr=5e-4, precision="float64")
    own = {"student_epochs": 2, "student_optimizer": "sgd", "student_lr": 0.1}
    own |= {"student_momentum": 0.99, "student_batch_size": 4, "student_weight_decay": 1e-5}
    train(arm(("dmp", own)), (0,), usual)
    changed = {name.removeprefix("student_"): value for name, value in own.items()}
    assert seen == [usual, replace(usual, **changed)]
    seen.clear()
    train(arm(("dmp", {}), ("training", {"lr": 0.1, "milestones": "1 0.1"})), (0,), usual)
    assert seen == [usual, replace(usual, lr=0.1, milestones=((1.0, 0.1),))]
    seen.clear()
    made = arm(("dmp", {}))
    train(made, (0,), usual)
    assert seen == [usual, usual] and not made.owns("training")


@pytest.mark.parametrize(
    ("knobs", "why"),
    [
        ({"student_lr": -0.1}, "student_lr: got -0.1; at least 0"),
        ({"student_epochs": 0}, "student_epochs: got 0; at least 1"),
        ({"student_momentum": 1.5}, "at most 1"),
        ({"lowest_entropy": 0.0}, "lowest_entropy: got 0.0; more than 0 and at most 1"),
        ({"lowest_entropy": 1.1}, "more than 0 and at most 1"),
    ],
)
def test_what_can_be_no_student_is_refused(knobs: dict[str, float], why: str) -> None:
    with pytest.raises(SweepError, match=why):
        make("defenses", "dmp", knobs)
