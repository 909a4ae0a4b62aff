"""A schedule of an arm's own."""

from typing import Any

import pytest
import torch

from raymia.defenses.training import Training, steps
from raymia.errors import SweepError
from raymia.point.schedule import Training as Schedule
from raymia.records.data import load
from raymia.search.suggest import Suggestions
from raymia.signals import world
from raymia.study import sweep
from raymia.training.optimizer import Optimizer
from raymia.trial import run as trial

USUAL = Schedule(epochs=100, batch_size=256, lr=0.01, milestones=((0.5, 0.1),))
TEXT = """
name: own
dataset: {digits: {records: 120}}
network: {mlp: {width: 16}}
protocol: {coin: {models: 4, targets: 2}}
defenses:
  - []
  - [training: {epochs: 7, lr: 0.02}]
  - [dpsgd: {sigma: 2.0}, training: {epochs: {low: 3, high: 9}, batch_size: [16, 32]}]
attacks: [loss]
training: {epochs: 3, lanes: 4}
search: {trials: 6, sampler: random}
"""


def test_what_is_given_stands_in_place_of_the_sweeps() -> None:
    found = Training(epochs=120, lr=0.1, optimizer="amsgrad", milestones="70 0.1, 100 0.01")
    made = found.training(USUAL)
    assert (made.epochs, made.lr, made.optimizer) == (120, 0.1, "amsgrad")
    assert made.milestones == ((70, 0.1), (100, 0.01)) and made.batch_size == 256
    assert [round(made.lr_at(e), 6) for e in (0, 69, 70, 99, 100)] == [0.1, 0.1, 0.01, 0.01, 0.001]
    assert Training().training(USUAL) == USUAL
    assert Training(milestones="").training(USUAL).milestones == ()


def test_the_schedule_of_srcm_on_cifar100() -> None:
    """0.01 in the first epoch, 0.1 to 70, 0.01 to 100, 0.001 to 120."""
    made = Training(epochs=120, milestones="1 10, 70 1, 100 0.1").training(USUAL)
    assert [round(made.lr_at(e), 6) for e in (0, 1, 69, 70, 99, 100, 119)] == [
        *(0.01, 0.1, 0.1, 0.01, 0.01, 0.001, 0.001),
    ]


@pytest.mark.parametrize(
    "bad", ["50", "50 0.1 2", "x 1", "80 0.1, 50 0.1", "50 0", "0 1", "0.5 0.1, 80 0.1", "1.5 0.1"]
)
def test_steps_that_are_none_are_refused(bad: str) -> None:
    with pytest.raises(ValueError, match="ascending epochs"):
        steps(bad)
    with pytest.raises(SweepError, match="milestones"):
        sweep.parse(TEXT.replace("lr: 0.02", f'milestones: "{bad}"'))


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("epochs: 0", "1 to 100000"),
        ("optimizer: adagrad", "sgd, adam, amsgrad"),
        ("augment: flip", "none, crop_flip"),
        ("momentum: 2.0", "0 to 1"),
        ("epoch: 3", "epochs"),
    ],
)
def test_what_no_schedule_can_be_is_refused(bad: str, why: str) -> None:
    with pytest.raises(SweepError, match=why):
        sweep.parse(TEXT.replace("epochs: 7, lr: 0.02", bad))


def test_arms_train_by_their_own_and_it_is_searched() -> None:
    file = sweep.parse(TEXT)
    data = load(file.dataset, 0)
    points = [file.point(arm, file.default(arm), 0, data) for arm in range(3)]
    worlds = [world.of(point, len(data)) for point in points]
    made = [one.recipe.training(one.point.training) for one in worlds]
    assert [one.epochs for one in made] == [3, 7, 3] and made[1].lr == 0.02
    assert set(file.space(2)) == {"training.epochs", "training.batch_size"}
    rows = [trial.run(point, data) for point in points[:2]]
    given = {name: value for name, value in rows[1].knobs.items() if value is not None}
    assert given == {"training.epochs": 7, "training.lr": 0.02}
    assert rows[1].numbers["train_accuracy"] != rows[0].numbers["train_accuracy"]
    assert rows[1].defense == "training" and rows[1].numbers["acted.training.schedule"] == 1.0
    made_of = Suggestions(file)
    drawn: list[Any] = [made_of.suggest(i, {}) for i in range(5)]
    own = [one.knobs for one in drawn if one.arm == 2]
    assert own and all(3 <= one["training.epochs"] <= 9 for one in own)


def test_what_is_claimed_is_of_the_epochs_that_are_trained() -> None:
    file = sweep.parse(TEXT)
    data = load(file.dataset, 0)
    epsilons = []
    for epochs in (3, 9):
        knobs = {"training.epochs": epochs, "training.batch_size": 16}
        one = world.of(file.point(2, knobs, 0, data), len(data))
        training = one.recipe.training(one.point.training)
        epsilons.append(one.recipe.facts(60, training)["epsilon"] or 0.0)
    assert 0 < epsilons[0] < epsilons[1]


@pytest.mark.parametrize("name", ["adam", "amsgrad"])
def test_adam_and_amsgrad_are_torchs(name: Any) -> None:
    torch.manual_seed(0)
    start = torch.randn(1, 5, 3, dtype=torch.float64)
    mine, theirs = start.clone(), torch.nn.Parameter(start[0].clone())
    training = Schedule(optimizer=name, lr=0.01, weight_decay=0.1, milestones=())
    own = Optimizer([mine], training)
    other = torch.optim.Adam([theirs], lr=0.01, weight_decay=0.1, amsgrad=name == "amsgrad")
    for i in range(30):  # large gradients first, so that the largest second moment is not the last
        grad = torch.randn(5, 3, dtype=torch.float64) * (10 if i < 3 else 0.1)
        own.step([grad[None]], 0.01)
        theirs.grad = grad.clone()
        other.step()
    torch.testing.assert_close(mine[0], theirs.detach())
