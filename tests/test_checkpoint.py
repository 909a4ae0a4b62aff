"""Which epoch's network is kept, and by whose accuracy."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from raymia.errors import SweepError
from raymia.networks.resnet18 import Resnet18
from raymia.point.schedule import Training
from raymia.records.data import load
from raymia.records.split import REFERENCE
from raymia.signals import ask, world
from raymia.study import preflight, sweep
from raymia.training.backends.choice import backend
from raymia.training.checkpoint import Best, validation
from raymia.training.defense import Batch, Clock, Defense, Lesson, cross_entropy
from raymia.training.fit import fit
from raymia.training.model import Model, predict
from raymia.training.modules import Dropout
from raymia.training.network import Network, Outputs, classifier
from raymia.training.recipe import Recipe
from raymia.trial import run as trial

EPOCHS = 7
TRAINING = Training(epochs=EPOCHS, batch_size=8, lr=0.05, milestones=(), precision="float64")


class Astray(Defense):
    """From the fifth epoch on it teaches of every record the class after its own."""

    def criterion(self, outputs: Outputs, batch: Batch, clock: Clock) -> torch.Tensor:
        return cross_entropy(outputs.logits, batch.target.roll(int(clock.epoch >= 4), -1))


ASTRAY = Recipe((Astray(),))


def lesson(models: int, shape: tuple[int, ...]) -> Lesson:
    """Records of three classes that lie apart, 30 of which are set aside."""
    draw = torch.Generator().manual_seed(0)
    y = torch.arange(120) % 3
    at = torch.randn((3, *shape), generator=draw, dtype=torch.float64)
    x = at[y] + 1.2 * torch.randn((120, *shape), generator=draw, dtype=torch.float64)
    members = tuple(np.sort(np.random.default_rng(m).permutation(90)[:40]) for m in range(models))
    aside = np.arange(90, 120)
    return Lesson(x, y, members, (aside,) * models, 3, aside=aside)


def flat() -> Network:
    return classifier(nn.Sequential(nn.Linear(6, 8), nn.ReLU(), Dropout(0.3)), 8, 3)


def tanh() -> Network:
    return classifier(nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh()), 8, 3)


def resnet() -> Network:
    return Resnet18(width=2).build((1, 8, 8), 3)


def states(
    build: Callable[[], Network], given: Lesson, training: Training
) -> tuple[list[dict[str, torch.Tensor]], list[float]]:
    """Weights and buffers of each model, and its accuracy on what is set aside."""
    made = fit(ASTRAY, build, given, training, (0, 0), list(range(len(given))))
    label = given.y[given.aside].numpy()
    right = [float((predict(m, given.x[given.aside]).argmax(1) == label).mean()) for m in made]
    return [m.network.state_dict() for m in made if isinstance(m, Model)], right


@pytest.mark.parametrize("models", [1, 3])
@pytest.mark.parametrize(
    ("build", "shape"), [(flat, (6,)), (tanh, (6,)), (resnet, (1, 8, 8))], ids=["flat", "norm", "r"]
)
def test_the_best_epoch_is_where_training_would_have_stopped(
    build: Callable[[], Network], shape: tuple[int, ...], models: int
) -> None:
    given = lesson(models, shape)
    stopped = [states(build, given, replace(TRAINING, stop=e + 1)) for e in range(EPOCHS)]
    right = np.array([accuracy for _, accuracy in stopped])  # [epochs, models]
    best, (kept, _) = right.argmax(0), states(build, given, replace(TRAINING, checkpoint="best"))
    assert (right.max(0) > right[-1]).all(), "the last epoch is worse for every model"
    for k in range(models):
        then = stopped[best[k]][0][k]
        assert kept[k].keys() == then.keys()
        assert all(torch.equal(kept[k][name], then[name]) for name in then)
        last = stopped[-1][0][k]
        assert any(not torch.equal(kept[k][name], last[name]) for name in last)


def test_the_models_above_have_best_epochs_of_their_own() -> None:
    given = lesson(3, (6,))
    right = [states(flat, given, replace(TRAINING, stop=e + 1))[1] for e in range(EPOCHS)]
    assert len(set(np.argmax(right, 0))) > 1


def test_by_construction_each_keeps_its_own_and_of_equals_the_first() -> None:
    weight = torch.tensor([[0.0], [0.0], [0.0]])
    best, state = Best(3), {"weight": weight, "count": torch.tensor([0, 0, 0])}
    for epoch, accuracy in enumerate([[0.0, 0.5, 0.2], [0.3, 0.5, 0.1], [0.2, 0.9, 0.2]], 1):
        weight += torch.tensor([[1.0], [10.0], [100.0]])
        state["count"] += 1
        best.see(epoch, np.array(accuracy), state)
    weight += 7.0
    best.put_back(state)
    assert weight.tolist() == [[2.0], [30.0], [100.0]] and state["count"].tolist() == [2, 3, 1]
    assert best.kept(4).tolist() == [0.5, 0.75, 0.25]


@pytest.mark.parametrize("models", [1, 2])
@pytest.mark.parametrize("build", [flat, resnet])
def test_a_state_is_all_that_a_network_is(build: Callable[[], Network], models: int) -> None:
    """To overwrite it is to overwrite the networks."""
    kept = backend([build() for _ in range(models)])
    state = kept.state()
    for tensor in state.values():
        tensor.fill_(3)
    for net in kept.nets():
        assert net.state_dict().keys() == state.keys()
        assert all((t == 3).all() for t in net.state_dict().values())


TEXT = """
name: best
dataset: {{digits: {{records: 200}}}}
network: {{mlp: {{width: 16}}}}
protocol: {{coin: {{models: 4, targets: 2, reserve: {reserve}}}}}
defenses: [[{defense}]]
attacks: [loss]
training: {{epochs: 4, lanes: 4{more}}}
"""
BEST = ", checkpoint: best"


def made(defense: str = "", more: str = BEST, reserve: float = 0.3) -> sweep.Sweep:
    return sweep.parse(TEXT.format(defense=defense, more=more, reserve=reserve))


@pytest.mark.parametrize("defense", ["dmp", "advreg: {share: 0.3}", "mmd"])
def test_it_is_chosen_by_the_reserve_and_never_by_what_a_model_gave_up(defense: str) -> None:
    file = made(defense)
    data = load(file.dataset, 0)
    point = file.point(0, file.default(0), 0, data)
    bench = ask.Bench(world.of(point, len(data)), data, range(2))
    seen: list[Lesson] = []

    def teach(part: Defense, sub: Lesson, name: str) -> list[Callable[..., torch.Tensor]]:
        seen.append(sub)
        return [lambda x: torch.zeros((len(x), 10))] * len(sub)

    rngs = [np.random.default_rng(m) for m in range(2)]
    seen.append(bench.recipe.teach(bench.lesson(), teach, rngs))  # type: ignore[arg-type]
    split, rows = bench.split, [validation(one) for one in seen]
    assert len(rows) == (2 if defense == "dmp" else 1)
    for one in rows:
        assert (one == np.flatnonzero(split.role == REFERENCE)).all() and len(one) == 30
        assert not split.judged[:, one].any() and not split.member[:, one].any()
        assert not split.held[:, one].any()


def test_teachers_are_chosen_too() -> None:
    """The same schedule trains them, and what they teach is another epoch's."""
    kinds = []
    for more in ("", BEST):
        file = made("selena: {sub_models: 3, left_out: 1}", f", milestones: [[3, 100.0]]{more}")
        data = load(file.dataset, 0)
        point = file.point(0, {}, 0, data)
        bench = ask.Bench(world.of(point, len(data)), data, range(1))
        taught: list[torch.Tensor] = []
        rngs = [np.random.default_rng(0)]

        def teach(part: Defense, sub: Lesson, name: str) -> list[object]:
            made = fit(part, bench.build, sub, point.training, (0, 0, name), [0])  # noqa: B023
            taught.append(made[0](bench.x).detach())  # noqa: B023
            return list(made)

        bench.recipe.teach(bench.lesson(), teach, rngs)  # type: ignore[arg-type]
        kinds.append(torch.stack(taught))
    assert not torch.equal(*kinds)


def test_a_row_says_which_epoch_was_kept() -> None:
    rows = []
    for more in (BEST, ""):
        file = made(more=f", milestones: [[3, 100.0]]{more}")
        data = load(file.dataset, 0)
        rows.append(trial.run(file.point(0, {}, 0, data), data))
    kept = rows[0].numbers["acted.checkpoint.kept"]
    assert kept is not None and kept in {e / 8 for e in range(2, 7)}  # the mean of two targets
    assert "acted.checkpoint.kept" not in rows[1].numbers
    better, worse = (row.numbers["test_accuracy"] for row in rows)
    assert better is not None and worse is not None and better > worse


def test_without_a_reserve_it_is_refused() -> None:
    with pytest.raises(SweepError, match="training.checkpoint: got 'best'; last is allowed"):
        made(reserve=0)
    with pytest.raises(SweepError, match="training needs records to choose the best epoch by"):
        made("training: {checkpoint: best}", more="", reserve=0)
    with pytest.raises(SweepError, match="training needs records"):  # these are the student's
        made("dmp, training: {checkpoint: best}", more="", reserve=0)
    with pytest.raises(SweepError, match="one of last, best"):
        made("training: {checkpoint: first}", more="")
    few = made(reserve=0.004)  # one record, for the attacker or for none
    with pytest.raises(SweepError, match="training.checkpoint: got 'best'"):
        preflight.check(few, load(few.dataset, 0))
    assert made("training: {checkpoint: best}", more="").training == {"epochs": 4}


def test_who_learns_from_the_reserve_is_refused() -> None:
    given, best = lesson(2, (6,)), replace(TRAINING, checkpoint="best")
    with pytest.raises(SweepError, match="sets no reference records aside"):
        fit(Recipe(), flat, replace(given, aside=np.zeros(0, np.int64)), best, (0, 0), [0, 1])
    spent = replace(given, members=(given.members[0], given.aside))
    with pytest.raises(SweepError, match="learn from the protocol's reserve"):
        fit(Recipe(), flat, spent, best, (0, 0), [0, 1])
