"""The learning rate of every step."""

from typing import Any

import pytest
import torch
from torch import nn

from raymia.errors import SweepError
from raymia.laws.defenses import arm, train
from raymia.point.schedule import Training
from raymia.records.data import load
from raymia.signals import world
from raymia.streams import seed_of
from raymia.study import sweep
from raymia.training.defense import Batch, Clock, Defense, Lesson, Pass
from raymia.training.fit import fit
from raymia.training.model import Model
from raymia.training.network import Network, classifier
from raymia.training.optimizer import Optimizer
from raymia.training.recipe import Recipe


@pytest.fixture
def rates(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The rate of every step that an optimizer takes."""
    out: list[float] = []
    plain = Optimizer.step

    def step(self: Optimizer, grads: Any, lr: float, mask: Any = None) -> None:
        out.append(lr)
        plain(self, grads, lr, mask)

    monkeypatch.setattr(Optimizer, "step", step)
    return out


def schedule(**other: Any) -> Training:
    """20 members in batches of 8: three steps an epoch."""
    return Training(**{"epochs": 4, "batch_size": 8, "precision": "float64", **other})


def test_it_grows_with_every_step_up_to_the_last_of_its_epochs(rates: list[float]) -> None:
    train(Recipe(), (0, 1), schedule(lr=0.6, warmup=2, milestones=((3, 0.1),)))
    assert rates == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.6, 0.6, 0.6, 0.06, 0.06, 0.06])


def test_a_milestone_inside_it_counts_from_there_on(rates: list[float]) -> None:
    train(Recipe(), (0,), schedule(lr=0.6, warmup=2, milestones=((1, 0.5),)))
    assert rates[:7] == pytest.approx([0.1, 0.2, 0.3, 0.2, 0.25, 0.3, 0.3])


def test_private_steps_are_warmed_up_too(rates: list[float]) -> None:
    train(arm(("dpsgd", {"accountant": "rdp"})), (0,), schedule(lr=0.3, warmup=1, milestones=()))
    assert rates == pytest.approx([0.1, 0.2, *[0.3] * 10])


class After(Defense):
    """A further pass that pulls all logits to zero."""

    def passes(self, clock: Clock) -> list[Pass]:
        return [Pass(lambda outputs, batch, *_: (outputs.logits.square().sum(), {}))]


def test_a_pass_after_an_epoch_has_the_rate_at_its_end(rates: list[float]) -> None:
    train(Recipe((After(),)), (0,), schedule(epochs=2, lr=0.6, warmup=2, milestones=()))
    assert rates == pytest.approx([0.1, 0.2, 0.3, 0.3, 0.3, 0.3, 0.4, 0.5, 0.6, 0.6, 0.6, 0.6])


def test_none_is_none() -> None:
    own = Training(milestones=((0.5, 0.1),), epochs=10, lr=0.3)
    assert [own.lr_at(e, share) for e in (0, 4) for share in (0.01, 1.0)] == [0.3] * 4
    assert own.lr_at(5) == 0.3 * 0.1


def test_it_is_torchs_loop_with_the_scheduler_of_selenas_code() -> None:
    """Before each of the M steps of the first epoch `lr = base * m / M`, m from 1."""
    seen: list[Batch] = []

    class Spy(Defense):
        def batch(self, batch, rngs, clock):  # type: ignore[no-untyped-def]
            seen.append(batch)
            return batch

    def build() -> Network:
        return classifier(nn.Linear(6, 8), 8, 3)

    x = torch.rand((40, 6), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    members = torch.arange(0, 40, 2).numpy()
    given = Lesson(x, torch.arange(40) % 3, (members,), (members + 1,), 3)
    own = schedule(epochs=2, lr=0.5, warmup=1, milestones=())
    (model,) = fit(Recipe((Spy(),)), build, given, own, (0, 0), [0])
    assert isinstance(model, Model) and len(seen) == 6
    torch.manual_seed(seed_of(0, 0, "init", 0))
    net = build().double()
    optimizer = torch.optim.SGD(net.parameters(), 0.5, 0.9, weight_decay=5e-4)
    for m, batch in enumerate(seen, 1):
        optimizer.param_groups[0]["lr"] = 0.5 * min(m / 3, 1.0)
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(batch.x[0]).logits, batch.label[0]).backward()
        optimizer.step()
    for ours, theirs in zip(model.network.parameters(), net.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-12)


TEXT = """
name: own
dataset: {digits: {records: 120}}
network: {mlp: {width: 16}}
protocol: {coin: {models: 4, targets: 2}}
defenses: [[], [training: {warmup: 3}]]
attacks: [loss]
training: {epochs: 6, warmup: 1}
"""


def test_a_sweep_and_an_arm_say_how_long() -> None:
    file = sweep.parse(TEXT)
    assert sweep.parse(sweep.dump(file.resolved())) == file
    data = load(file.dataset, 0)
    points = [file.point(i, {}, 0, data) for i in range(2)]
    own = [world.of(p, len(data)).recipe.training(p.training).warmup for p in points]
    assert own == [1, 3]
    for bad, why in (("warmup: 1", "warmup: -1"), ("{warmup: 3}", "{warmup: -3}")):
        with pytest.raises(SweepError, match="warmup: got -"):
            sweep.parse(TEXT.replace(bad, why))
