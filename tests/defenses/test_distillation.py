from math import log

import pytest
import torch

from raymia.defenses.distillation import Distillation
from raymia.defenses.label_smoothing import LabelSmoothing
from raymia.defenses.mixup import Mixup
from raymia.defenses.relaxloss import Relaxloss
from raymia.errors import SweepError
from raymia.training.defense import Defense
from raymia.training.network import Outputs
from raymia.training.recipe import Recipe

TEACHER = torch.tensor([4.0, 0.0, 2.0]).double()


def test_the_targets_are_the_teachers_softened_outputs(lesson):  # type: ignore[no-untyped-def]
    asked: list[tuple[Defense, str]] = []

    def fit(recipe, lesson, name):  # type: ignore[no-untyped-def]
        asked.append((recipe, name))
        return [lambda x, k=k: (TEACHER * (k + 1)).expand(len(x), 3) for k in range(len(lesson))]

    taught = Distillation(t=2.0).teach(lesson(2), fit, [])
    assert asked == [(Defense(), "teacher")]  # one undefended teacher a model
    for k in range(2):
        assert torch.allclose(taught.target[k], (TEACHER * (k + 1) / 2).softmax(-1).expand(40, 3))


def test_kayas_student_is_at_temperature_one_and_sees_no_label(said, labelled, at):  # type: ignore[no-untyped-def]
    recipe = Recipe((Distillation(t=50.0),))
    batch = labelled([0], 2)._replace(target=torch.tensor([[0.25, 0.75]]).double())
    loss = recipe.criterion(said([[0.5, 0.5]]), batch, at(0))
    assert float(loss) == pytest.approx(log(2))


def test_the_squared_form(labelled, at):  # type: ignore[no-untyped-def]
    # logits 0: student (1/2, 1/2) at any temperature; KL = 3/4 ln 3/2 + 1/4 ln 1/2, mean over 2
    # classes, times 4
    squared = Distillation(t=2.0, form="squared", weight=0.5)
    batch = labelled([0], 2)._replace(target=torch.tensor([[0.75, 0.25]]).double())
    loss = squared.criterion(Outputs(torch.zeros(1, 2).double(), torch.zeros(1, 1)), batch, at(0))
    kl = 0.75 * log(1.5) + 0.25 * log(0.5)
    assert float(loss) == pytest.approx(0.5 * 4 * kl / 2 + 0.5 * log(2))


def test_at_weight_zero_the_squared_form_is_the_cross_entropy(said, labelled, at):  # type: ignore[no-untyped-def]
    # teachers that err
    batch = labelled([0, 1], 2)._replace(target=torch.tensor([[0.1, 0.9], [0.6, 0.4]]).double())
    losses = Distillation(t=5.0, form="squared", weight=0.0).criterion(
        said([[0.8, 0.2], [0.5, 0.5]]), batch, at(0)
    )
    assert losses.tolist() == pytest.approx([-log(0.8), log(2)])


@pytest.mark.parametrize("other", [Mixup(), LabelSmoothing()])
def test_the_squared_form_is_refused_beside_what_mixes_its_labels(other: Defense) -> None:
    Recipe((Distillation(), other))
    name = type(other).__name__.lower()
    for parts in ((Distillation(form="squared"), other), (other, Distillation(form="squared"))):
        with pytest.raises(
            SweepError,
            match=f"{name} changes a batch's targets, distillation reads its labels beside them",
        ):
            Recipe(parts)


def test_only_the_squared_form_owns_the_criterion() -> None:
    Recipe((Distillation(), Relaxloss()))
    with pytest.raises(SweepError, match="distillation and relaxloss both replace the criterion"):
        Recipe((Distillation(form="squared"), Relaxloss()))
