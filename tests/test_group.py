"""Laws of training: the optimisers are torch's, a model of an ensemble is the same model alone,
seams do what they say.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from raymia.networks.resnet18 import Resnet18
from raymia.point.schedule import Training
from raymia.training import augment as images
from raymia.training.backends.backend import Differentiated
from raymia.training.backends.choice import backend
from raymia.training.backends.wide import Wide, can_be_wide
from raymia.training.defense import Batch, Clock, Defense, Lesson, Pass, Reference
from raymia.training.fit import fit
from raymia.training.group import Diverged
from raymia.training.model import Model
from raymia.training.modules import Dropout, LinearNorm, Normalise, SphereClip
from raymia.training.network import Network, Outputs, classifier
from raymia.training.optimizer import Optimizer
from raymia.training.recipe import Recipe


@pytest.mark.parametrize("strided", ["", "tensors", "gradients too"])
@pytest.mark.parametrize(
    ("kind", "momentum"), [("sgd", 0.9), ("sgd", 0.0), ("adam", 0.9), ("amsgrad", 0.9)]
)
def test_optimizer_is_torchs(kind: Any, momentum: float, strided: str) -> None:
    training = Training(optimizer=kind, momentum=momentum, weight_decay=0.01)
    start = torch.randn(3, 4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    ours = start.clone()
    if strided:  # in memory another way round
        ours = ours.transpose(0, 2).contiguous().transpose(0, 2)
    optimizer = Optimizer([ours], training)
    theirs = start.clone().requires_grad_()
    cls = {
        "sgd": lambda p: torch.optim.SGD(p, 0.1, momentum, weight_decay=0.01),
        "adam": lambda p: torch.optim.Adam(p, 0.1, weight_decay=0.01),
        "amsgrad": lambda p: torch.optim.Adam(p, 0.1, weight_decay=0.01, amsgrad=True),
    }
    reference = cls[kind]([theirs])
    for step in range(5):
        theirs.grad = torch.sin(theirs.detach() * (step + 1))
        reference.step()
        grad = torch.sin(ours * (step + 1))
        optimizer.step([grad if "too" in strided else grad.contiguous()], 0.1)
    assert torch.allclose(ours, theirs.detach(), atol=1e-12)


@pytest.mark.parametrize("kind", ["sgd", "adam", "amsgrad"])
def test_a_masked_model_does_not_move_nor_remember(kind: str) -> None:
    training = Training(optimizer=kind, weight_decay=0.1)
    stack, alone = torch.ones(2, 3), torch.ones(1, 3)
    both, single = Optimizer([stack], training), Optimizer([alone], training)
    for grad in (1.0, -2.0, 0.0, 0.5):
        both.step([torch.full((2, 3), 7.0)], 0.1, torch.tensor([True, False]))
        both.step([torch.full((2, 3), grad)], 0.1)
        single.step([torch.full((1, 3), grad)], 0.1)
    # to rounding: a stack of which no step left a model out goes through other kernels
    assert torch.allclose(stack[1], alone[0], rtol=1e-6, atol=0)
    assert not torch.allclose(stack[0], alone[0], rtol=1e-3)


def lesson(
    n: int = 40, models: int = 3, shape: tuple[int, ...] = (6,), dtype: torch.dtype = torch.float64
) -> Lesson:
    g = torch.Generator().manual_seed(0)
    x = torch.rand((n, *shape), generator=g, dtype=dtype)
    rng = np.random.default_rng(0)
    members = tuple(np.sort(rng.permutation(n)[: n // 2]) for _ in range(models))
    return Lesson(x, torch.arange(n) % 3, members, (np.arange(n - 12, n),) * models, 3)


def small() -> Network:
    return classifier(nn.Sequential(nn.Linear(6, 8), nn.ReLU(), Dropout(0.3)), 8, 3)


TRAINING = Training(epochs=3, batch_size=8, lr=0.1, precision="float64")


def weights(
    recipe: Defense, models: list[int], build=small, shape: tuple[int, ...] = (6,)
) -> list[torch.Tensor]:  # type: ignore[no-untyped-def]
    everyone = lesson(shape=shape)
    part = Lesson(
        everyone.x,
        everyone.y,
        *(tuple(s[m] for m in models) for s in (everyone.members, everyone.reference)),
        3,
    )
    trained = fit(recipe, build, part, TRAINING, (0, 0), models)
    return [
        torch.cat([v.flatten().double() for v in m.network.state_dict().values()]) for m in trained
    ]  # type: ignore[attr-defined]


def test_a_model_of_an_ensemble_is_the_same_model_alone() -> None:
    together = weights(Recipe(), [0, 1, 2])
    for m in range(3):
        assert torch.allclose(together[m], weights(Recipe(), [m])[0], atol=1e-9, rtol=0)
    assert not torch.allclose(together[0], together[1])


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "tanh": lambda: nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 8, bias=False)),
    "gelu and a nest": lambda: nn.Sequential(
        nn.Sequential(nn.Linear(6, 8), nn.GELU()), nn.Identity()
    ),
    "a sphere and a norm": lambda: nn.Sequential(
        nn.Linear(6, 7), SphereClip(0.5, 0.2), LinearNorm(7, 8, all_on=True)
    ),
    "a norm in training only": lambda: nn.Sequential(
        nn.Linear(6, 7), LinearNorm(7, 8, all_on=False)
    ),
    "dropout": lambda: nn.Sequential(nn.Linear(6, 8), Dropout(0.5), nn.ReLU(), Dropout(0.2)),
}


@pytest.mark.parametrize("layers", LAYERS)
def test_weights_multiplied_at_once_are_those_of_single_models(layers: str) -> None:
    def build() -> Network:
        return classifier(LAYERS[layers](), 8, 3)

    assert isinstance(backend([build(), build()]), Wide)
    together = weights(Recipe(), [0, 1, 2], build)
    for m in range(3):
        assert torch.allclose(together[m], weights(Recipe(), [m], build)[0], atol=1e-9, rtol=0)


@pytest.mark.parametrize("first", [nn.Sequential, nn.ReLU, nn.Tanh])  # of the head; none, too
@pytest.mark.parametrize("layers", LAYERS)
def test_written_out_derivatives_are_those_of_autograd(layers: str, first: Any) -> None:
    """Of a loss of logits, features, a reference batch and what is trained beside."""
    heads = [nn.Sequential(first(), nn.Linear(8, 3)) for _ in range(2)]
    nets = [Network(LAYERS[layers](), head, 8, 3).double() for head in heads]
    wide = backend(nets)
    assert isinstance(wide, Wide)
    g = torch.Generator().manual_seed(0)
    for name, layer in wide.template.named_modules():
        if isinstance(layer, Dropout):
            wide.mask(name, torch.rand((2, 5, 8), generator=g).double().round() * 2)

    def batch() -> Batch:
        x = torch.rand((2, 5, 6), generator=g).double()
        label = torch.tensor([[0, 1, 2, 0, 1]] * 2)
        return Batch(x, torch.rand((2, 5, 3), generator=g).double(), label)

    def loss(outputs: Outputs, batch: Batch, reference: Any, extra: Any) -> tuple[Any, Any]:
        far = (outputs.features.square().mean(0) * extra["scale"]).sum()
        apart = (outputs.logits.mean(0) - reference.outputs.logits.mean(0)).abs().sum()
        inner = reference.outputs.features.sin().sum()
        return (outputs.logits * batch.target).sum() + far + apart + inner, {"far": far}

    extra = {"scale": torch.rand((2, 8), generator=g).double().requires_grad_()}
    asked = (loss, batch(), batch(), extra)
    ours, theirs = wide.step(*asked), Differentiated.step(wide, *asked)
    assert torch.equal(ours.losses, theirs.losses)
    assert torch.equal(ours.acted["far"], theirs.acted["far"])
    for a, b in zip(ours.grads, theirs.grads, strict=True):
        assert a.shape == b.shape and torch.allclose(a, b, rtol=1e-12, atol=1e-14)
    assert torch.allclose(ours.beside["scale"], theirs.beside["scale"], rtol=1e-12)
    hot = torch.eye(3, dtype=torch.float64)[asked[1].label]
    asked = (None, asked[1]._replace(target=hot), None, {})
    ours, theirs = wide.step(*asked), Differentiated.step(wide, *asked)
    for a, b in zip(ours.grads, theirs.grads, strict=True):
        assert torch.allclose(a, b, rtol=1e-12, atol=1e-14)


def test_rows_of_rows_are_multiplied_at_once_too() -> None:
    def build() -> Network:
        layers = nn.Sequential(
            nn.Linear(2, 3, bias=False), nn.Tanh(), nn.Linear(3, 4), nn.Flatten()
        )
        return classifier(layers, 12, 3)

    assert isinstance(backend([build(), build()]), Wide)
    together = weights(Recipe(), [0, 1], build, shape=(3, 2))
    assert torch.allclose(
        together[1], weights(Recipe(), [1], build, shape=(3, 2))[0], atol=1e-9, rtol=0
    )


def test_a_layer_of_another_kind_is_mapped() -> None:
    class Odd(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(x)

    def build() -> Network:
        return classifier(Odd(6, 8), 8, 3)

    assert not isinstance(backend([build(), build()]), Wide)
    for layer in (nn.Flatten(0), nn.Sequential(twice := nn.Tanh(), twice), nn.BatchNorm1d(6)):
        assert not can_be_wide(classifier(nn.Sequential(layer, nn.Linear(6, 8)), 8, 3))
    assert torch.allclose(
        weights(Recipe(), [0, 1], build)[1], weights(Recipe(), [1], build)[0], atol=1e-9, rtol=0
    )


def test_with_batch_normalisation_too() -> None:
    def build() -> Network:
        net = Resnet18(width=4).build((1, 8, 8), 3)
        return net

    together = weights(Recipe(), [0, 1], build, shape=(1, 8, 8))
    assert torch.allclose(
        together[1], weights(Recipe(), [1], build, shape=(1, 8, 8))[0], atol=1e-9, rtol=0
    )


def test_plain_training_is_torchs_loop() -> None:
    """One model, one loss, against the loop that everyone writes."""
    seen: list[Batch] = []

    class Spy(Defense):
        def batch(self, batch, rngs, clock):  # type: ignore[no-untyped-def]
            seen.append(batch)
            return batch

    start: list[Network] = []

    def build() -> Network:
        net = classifier(nn.Linear(6, 8), 8, 3)
        start.append(net)
        return net

    (model,) = fit(Recipe((Spy(),)), build, lesson(models=1), TRAINING, (0, 0), [0])
    assert isinstance(model, Model)
    torch.manual_seed(0)
    net = classifier(nn.Linear(6, 8), 8, 3).double()
    from raymia.streams import seed_of

    torch.manual_seed(seed_of(0, 0, "init", 0))
    net = classifier(nn.Linear(6, 8), 8, 3).double()
    optimizer = torch.optim.SGD(
        net.parameters(), TRAINING.lr, TRAINING.momentum, weight_decay=TRAINING.weight_decay
    )
    for step, batch in enumerate(seen):
        # 20 members in batches of 8: three steps an epoch
        optimizer.param_groups[0]["lr"] = TRAINING.lr_at(step // 3)
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(batch.x[0]).logits, batch.label[0]).backward()
        optimizer.step()
    assert len(seen) == 9
    for ours, theirs in zip(model.network.parameters(), net.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-12)


def test_every_epoch_sees_every_member_once() -> None:
    seen: list[torch.Tensor] = []

    class Spy(Defense):
        def batch(self, batch, rngs, clock):  # type: ignore[no-untyped-def]
            seen.append(batch.x[0, :, 0])
            return batch

    everyone = lesson(models=1)
    fit(Recipe((Spy(),)), small, everyone, TRAINING, (0, 0), [0])
    own = everyone.x[everyone.members[0], 0].sort().values
    for epoch in range(3):
        assert torch.equal(torch.cat(seen[3 * epoch : 3 * epoch + 3]).sort().values, own)


def test_a_last_batch_of_one_joins_the_one_before() -> None:
    sizes: list[int] = []

    class Spy(Defense):
        def batch(self, batch, rngs, clock):  # type: ignore[no-untyped-def]
            sizes.append(batch.x.shape[1])
            return batch

    fit(
        Recipe((Spy(),)),
        small,
        lesson(n=34, models=1),
        Training(epochs=1, batch_size=8),
        (0, 0),
        [0],
    )
    assert sizes == [8, 9]


class Gated(Defense):
    """A pass that pulls all logits to zero, for the models that the gate lets through."""

    def __init__(self, on: list[bool]) -> None:
        object.__setattr__(self, "on", on)

    def passes(self, clock: Clock) -> list[Pass]:
        def loss(o: Outputs, b: Batch, r: Reference, e: object, c: Clock) -> Any:
            # 0: the same counts of each class
            unlike = (r.batch.label.sort().values - b.label.sort().values).square().sum()
            return o.logits.square().sum() * torch.where(unlike > 0, torch.nan, 1.0), {}

        return [
            Pass(
                loss,
                order="by_class",
                reference="by_class",
                evaluation=True,
                gate=lambda gap: np.array(self.on),
            )
        ]  # type: ignore[attr-defined]


def test_a_gate_closes_a_pass_for_single_models() -> None:
    plain, gated = weights(Recipe(), [0, 1]), weights(Recipe((Gated([True, False]),)), [0, 1])
    assert torch.allclose(plain[1], gated[1], rtol=1e-9, atol=1e-12)
    assert not torch.allclose(plain[0], gated[0], rtol=1e-3)
    alone = weights(Recipe((Gated([True]),)), [0])
    assert torch.allclose(gated[0], alone[0], atol=1e-9, rtol=0)


def test_divergence_is_named() -> None:
    with pytest.raises(Diverged, match="a weight is not a number in epoch"):
        fit(
            Recipe(), small, lesson(), Training(epochs=30, batch_size=8, lr=1e30), (0, 0), [0, 1, 2]
        )


@dataclass(frozen=True)
class Endless(Defense):
    """Adds what no number is larger than."""

    def penalty(self, outputs: Any, reference: Any, batch: Any, extra: Any, clock: Any) -> Any:
        return 0 * outputs.logits.sum(-1) + torch.inf


def test_an_infinite_loss_has_diverged_in_the_epoch_where_it_is() -> None:
    with pytest.raises(Diverged, match="epoch 1 of 3"):
        fit(Recipe((Endless(),)), small, lesson(models=1), Training(epochs=3), (0, 0), [0])


def test_the_global_generator_is_left_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    weights(Recipe(), [0])
    assert torch.equal(before, torch.get_rng_state())


def test_normalise_is_per_channel() -> None:
    x = torch.zeros(2, 2, 1, 1)
    assert Normalise((1.0, 2.0), (2.0, 4.0), (2, 1, 1))(x).flatten(1).tolist() == [[-0.5, -0.5]] * 2


def test_sphere_clip_on_numbers() -> None:
    x = torch.tensor([[3.0, 4.0], [0.3, 0.4], [30.0, 40.0], [0.0, 0.0]])
    out = SphereClip(2.0, 4.0)(x)
    assert torch.allclose(
        out, torch.tensor([[3.0, 4.0], [1.2, 1.6], [3.6, 4.8], [0.0, 0.0]]), atol=1e-6
    )


def test_linear_norm_divides_by_the_whole_matrix() -> None:
    layer = LinearNorm(2, 2, all_on=False)
    layer.weight.data, layer.bias.data = (
        torch.tensor([[3.0, 0.0], [0.0, 4.0]]),
        torch.tensor([1.0, 0.0]),
    )
    x = torch.ones(1, 2)
    assert torch.allclose(layer(x), torch.tensor([[1.6, 0.8]]))
    assert torch.allclose(layer.eval()(x), torch.tensor([[4.0, 4.0]]))


def test_crop_moves_by_at_most_the_padding_and_flip_mirrors() -> None:
    x = torch.arange(2 * 3 * 16.0).view(2, 3, 1, 4, 4) + 1
    rngs = [np.random.default_rng(i) for i in range(2)]
    cropped = images.crop(x, rngs, 1)
    for k in range(2):
        for b in range(3):
            padded = torch.nn.functional.pad(x[k, b, 0], (1, 1, 1, 1))
            places = [padded[i : i + 4, j : j + 4] for i in range(3) for j in range(3)]
            assert any(torch.equal(cropped[k, b, 0], p) for p in places)
    mirrored = images.flip(x, [np.random.default_rng(i) for i in range(2)])
    same, other = (mirrored == x).all((2, 3, 4)), (mirrored == x.flip(-1)).all((2, 3, 4))
    assert (same ^ other).all()
    shared = images.crop(torch.ones(1, 5, 1, 4, 4), [np.random.default_rng(3)], 2, shared=True)
    assert (shared == shared[:, :1]).all()
