"""What bfloat16 changes (products inside a network while it is trained), and what it leaves."""

import numpy as np
import pytest
import torch
from torch import nn

from raymia.networks.cnn import Cnn
from raymia.networks.mlp import Mlp
from raymia.point import columns
from raymia.point.schedule import Training
from raymia.records.data import load as load_data
from raymia.study import sweep
from raymia.training.backends.choice import backend
from raymia.training.defense import Batch, Lesson
from raymia.training.fit import fit
from raymia.training.model import Model, predict
from raymia.training.network import Network
from raymia.training.recipe import Recipe
from raymia.trial import run as trial

NETS = {
    "mlp": lambda: Mlp(width=8).build((1, 8, 8), 3),
    "cnn": lambda: Cnn(width=4).build((1, 8, 8), 3),
}


def rounded(kind: str, models: int) -> list[Network]:
    torch.manual_seed(0)
    nets = [NETS[kind]() for _ in range(models)]
    for net in nets:
        net.rounded = True
    return nets


@pytest.mark.parametrize("kind", NETS)
@pytest.mark.parametrize("models", [1, 2])
def test_every_backend_multiplies_in_bfloat16_and_keeps_float32(kind: str, models: int) -> None:
    nets, x = rounded(kind, models), torch.rand(models, 5, 1, 8, 8)
    expected = []
    for net, own in zip(nets, x, strict=True):
        with torch.autocast("cpu", torch.bfloat16):
            said = net.head(net.backbone(net.normalise(own)))
        assert said.dtype == torch.bfloat16
        expected.append(said.float())
        full = net.head(net.backbone(net.normalise(own)))
        assert not torch.equal(full, expected[-1])
    group = backend(nets)
    label = torch.zeros(models, 5, dtype=torch.long)
    logits = group.map(
        lambda outputs, *rest: outputs.logits, Batch(x, torch.zeros(models, 5, 3), label), None, {}
    )
    assert logits.dtype == torch.float32
    assert all(p.dtype == torch.float32 for p in group.params.values())
    assert torch.allclose(logits, torch.stack(expected), atol=1e-2)
    (grad,) = torch.autograd.grad(logits.sum(), [next(iter(group.params.values()))])
    assert grad.dtype == torch.float32


def trained(kind: str, precision: str) -> Model:
    rng = np.random.default_rng(0)
    x = torch.as_tensor(rng.integers(0, 256, (30, 1, 8, 8), dtype=np.uint8))
    lesson = Lesson(x, torch.arange(30) % 3, (np.arange(20),), (np.arange(20, 30),), 3)
    training = Training(epochs=3, batch_size=10, lr=0.05, precision=precision)  # type: ignore[arg-type]
    (model,) = fit(Recipe(), NETS[kind], lesson, training, (0,), [0])
    assert isinstance(model, Model)
    return model


@pytest.mark.parametrize("kind", NETS)
def test_a_trained_network_is_near_that_of_float32_and_speaks_in_float32(kind: str) -> None:
    x = torch.rand(7, 1, 8, 8)
    full, half = trained(kind, "float32"), trained(kind, "bf16")
    assert not half.network.rounded
    own = zip(half.network.state_dict().values(), full.network.state_dict().values(), strict=True)
    assert all(a.stride() == b.stride() for a, b in own)
    a, b = predict(full, x), predict(half, x)
    assert not np.array_equal(a, b) and np.allclose(a, b, atol=0.1)
    # what it says is not rounded: bfloat16 has 8 bits
    assert not torch.equal(torch.as_tensor(b), torch.as_tensor(b).bfloat16().float())


def test_dpsgd_keeps_its_gradients_in_float32() -> None:
    seen: list[torch.dtype] = []

    class Spy(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(x.dtype)
            return x

    def build() -> Network:
        net = NETS["mlp"]()
        net.head = nn.Sequential(nn.Linear(net.features, 3), Spy())
        return net

    from raymia.defenses.dpsgd import Dpsgd

    lesson = Lesson(
        torch.rand(20, 1, 8, 8), torch.arange(20) % 3, (np.arange(16),), (np.arange(16, 20),), 3
    )
    training = Training(epochs=1, batch_size=8, precision="bf16")
    fit(Recipe((Dpsgd(),)), build, lesson, training, (0,), [0])
    assert set(seen) == {torch.float32}


MEMORISING = """
name: memorising
dataset: {digits: {records: 400}}
network: {mlp: {width: 64}}
protocol: {coin: {models: 8, targets: 4, reserve: 0.0}}
defenses: [[]]
attacks: [baseline, loss, lira]
training: {epochs: 40, augment: none}
search: {trials: 1}
"""


def test_a_memorising_trial_says_the_same_within_its_intervals() -> None:
    rows = []
    for precision in ("float32", "bf16"):
        file = sweep.parse(MEMORISING, overrides=[f"training.precision={precision}"])
        data = load_data(file.dataset, 0)
        rows.append(trial.run(file.point(0, {}, 0, data), data).numbers)
    full, half = rows
    assert full != half
    for name in ("auc.loss", "auc.lira", "test_accuracy"):
        low, high = columns.ends(name)
        assert full[low] <= half[name] <= full[high], name  # type: ignore[operator]
        assert half[low] <= full[name] <= half[high], name  # type: ignore[operator]
    assert full["train_accuracy"] > 0.95 and half["train_accuracy"] > 0.95  # type: ignore[operator]
    assert full["auc.lira"] > 0.6  # type: ignore[operator]
