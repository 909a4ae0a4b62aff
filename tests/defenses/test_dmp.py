from dataclasses import replace
from math import log

import numpy as np
import pytest
import torch

from raymia.defenses.dmp import Dmp
from raymia.errors import SweepError
from raymia.training.gan import pictures
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
