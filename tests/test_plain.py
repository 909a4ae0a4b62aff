"""The short way of a loss that is the cross-entropy of the labels, against the long one."""

import numpy as np
import pytest
import torch

from raymia.networks.cnn import Cnn
from raymia.networks.mlp import Mlp
from raymia.point.schedule import Training
from raymia.training.defense import Defense, Lesson
from raymia.training.group import Group
from raymia.training.network import Network
from raymia.training.recipe import Recipe


class Long(Defense):
    """No defense, but one that says so by its own words."""

    def criterion(self, outputs, batch, clock):  # type: ignore[no-untyped-def]
        return -(batch.target * outputs.logits.log_softmax(-1)).sum(-1)


def trained(kind: str, recipe: Defense, models: int, plain: bool) -> list[torch.Tensor]:
    rng = np.random.default_rng(0)
    x = torch.as_tensor(rng.random((30, 1, 8, 8)))
    members = tuple(np.sort(rng.permutation(30)[:20]) for _ in range(models))
    none = (np.zeros(0, np.int64),) * models
    lesson = Lesson(x, torch.arange(30) % 3, members, none, 3)
    torch.manual_seed(0)
    make = {"mlp": Mlp(width=8), "cnn": Cnn(width=4)}[kind].build
    nets: list[Network] = [make((1, 8, 8), 3) for _ in range(models)]
    training = Training(epochs=3, batch_size=8, lr=0.1, precision="float64")
    group = Group(recipe, nets, lesson, training, (0,), range(models))
    assert group.plain is plain
    return [torch.cat([p.flatten() for p in net.parameters()]) for net in group.train()]


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
@pytest.mark.parametrize("models", [1, 3])
def test_it_is_the_long_way_to_the_last_digits(kind: str, models: int) -> None:
    short = trained(kind, Recipe(), models, True)
    for a, b in zip(short, trained(kind, Recipe((Long(),)), models, False), strict=True):
        assert torch.allclose(a, b, rtol=0, atol=1e-12)
    assert len({float(a.sum()) for a in short}) == models


def test_what_learns_from_other_targets_takes_the_long_way() -> None:
    lesson = Lesson(
        torch.rand(9, 4), torch.arange(9) % 3, (np.arange(6),), (np.arange(6, 9),), 3,
        target=torch.full((1, 9, 3), 1 / 3),
    )  # fmt: skip
    net = Mlp(width=8).build((4,), 3)
    assert not Group(Recipe(), [net], lesson, Training(epochs=1), (0,), [0]).plain
