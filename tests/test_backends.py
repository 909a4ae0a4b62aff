"""Each way to take a step takes the same step as the plain loop."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from raymia.networks.cnn import Cnn
from raymia.networks.resnet20 import Resnet20
from raymia.point.schedule import Training
from raymia.training import group, precision
from raymia.training.backends import choice, compiled, products
from raymia.training.backends.backend import Backend, Found, Stacked
from raymia.training.backends.compiled import Compiled
from raymia.training.backends.graph import Captured, Graph
from raymia.training.backends.loop import Loop
from raymia.training.backends.wide import Wide, of_cross_entropy
from raymia.training.defense import Defense, Lesson
from raymia.training.fit import fit
from raymia.training.modules import Dropout, SphereClip
from raymia.training.network import Network, classifier
from raymia.training.recipe import Recipe

BUILDS: dict[str, Callable[[], Network]] = {
    "cnn": lambda: Cnn(width=4).build((1, 8, 8), 3),
    "resnet20": lambda: Resnet20(width=4).build((1, 8, 8), 3),
    "dropout": lambda: classifier(
        nn.Sequential(nn.Flatten(), nn.Linear(64, 8), Dropout(0.5), nn.ReLU()), 8, 3
    ),
}


class Pulled(Defense):
    """A loss of its own."""

    def penalty(self, outputs: Any, reference: Any, batch: Any, extra: Any, clock: Any) -> Any:
        return 0.1 * outputs.features.square().mean(-1)


def lesson(models: int) -> Lesson:
    g = torch.Generator().manual_seed(0)
    x = torch.rand((44, 1, 8, 8), generator=g, dtype=torch.float64)
    members = tuple(torch.randperm(44, generator=g)[:21].sort()[0].numpy() for _ in range(models))
    return Lesson(x, torch.arange(44) % 3, members, (members[0][:0],) * models, 3)


def weights(
    monkeypatch: pytest.MonkeyPatch,
    made: Callable[[list[Network]], Backend],
    build: str,
    recipe: Defense,
    models: int,
) -> list[torch.Tensor]:
    """After 9 steps in float64, with a last batch of another size in each epoch."""
    monkeypatch.setattr(group, "backend", lambda nets, engine: made(nets))
    training = Training(epochs=3, batch_size=8, lr=0.05, precision="float64")
    trained = fit(recipe, BUILDS[build], lesson(models), training, (0,), range(models))
    return [v.double() for m in trained for v in m.network.state_dict().values()]  # type: ignore[attr-defined]


def replayed(step: Callable[[], Found]) -> Captured:
    """CUDA's graph as a processor can play it: what was recorded is done again into the memory
    that the first time gave.
    """
    for _ in range(3):
        step()
    kept = step()

    def replay() -> None:
        again = step()
        if kept.losses is not None and again.losses is not None:
            kept.losses.detach().copy_(again.losses.detach())
        for old, new in zip(kept.grads, again.grads, strict=True):
            old.copy_(new)

    return kept, replay


WAYS: dict[str, tuple[int, Callable[[list[Network]], Backend]]] = {
    "compiled": (1, lambda nets: Compiled(nets[0], by="eager")),
    "graph of one": (1, lambda nets: Graph(Loop(nets[0]), replayed)),
    "graph of three": (3, lambda nets: Graph(choice.backend(nets), replayed)),
}


@pytest.mark.parametrize("recipe", [Recipe(), Recipe((Pulled(),))], ids=["plain", "defended"])
@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("way", WAYS)
def test_it_is_the_plain_loops(
    way: str, build: str, recipe: Defense, monkeypatch: pytest.MonkeyPatch
) -> None:
    models, made = WAYS[way]
    seen: list[Backend] = []

    def spied(nets: list[Network]) -> Backend:
        seen.append(made(nets))
        return seen[0]

    ours = weights(monkeypatch, spied, build, recipe, models)
    monkeypatch.undo()
    base = [w for k in range(models) for w in _alone(monkeypatch, build, recipe, models, k)]
    for a, b in zip(ours, base, strict=True):
        assert torch.allclose(a, b, rtol=0, atol=1e-9)
    if isinstance(seen[0], Graph):
        used = recipe.parts == () and build != "dropout"  # type: ignore[attr-defined]
        assert (seen[0]._captured is not None) == used


def _alone(
    monkeypatch: pytest.MonkeyPatch, build: str, recipe: Defense, models: int, k: int
) -> list[torch.Tensor]:
    everyone = lesson(models)
    mine = Lesson(everyone.x, everyone.y, (everyone.members[k],), (everyone.reference[k],), 3)
    training = Training(epochs=3, batch_size=8, lr=0.05, precision="float64", engine="loop")
    (model,) = fit(recipe, BUILDS[build], mine, training, (0,), [k])
    return [v.double() for v in model.network.state_dict().values()]  # type: ignore[attr-defined]


def test_what_is_compiled_is_kept_for_networks_of_the_same_build() -> None:
    first, second = (Compiled(BUILDS["cnn"](), by="eager") for _ in range(2))
    assert first._call is second._call
    (net,) = second.nets()
    x = torch.rand(3, 1, 8, 8)
    assert torch.allclose(net(x).logits, second.said(x).logits, atol=1e-6)
    spheres = [classifier(nn.Sequential(nn.Linear(4, 8), SphereClip(r, 1.0)), 8, 3) for r in (1, 2)]
    calls = [Compiled(net, by="eager")._call for net in spheres]
    assert calls[0] is not calls[1] and calls[0] is not first._call


def test_two_builds_that_alternate_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "_kept", {})

    def call(build: str) -> object:
        return Compiled(BUILDS[build](), by="eager")._call

    first, second = call("cnn"), call("dropout")
    assert call("cnn") is first and call("dropout") is second
    call("resnet20")
    assert call("cnn") is not first


def test_an_engine_is_its_backend() -> None:
    line, image = BUILDS["dropout"], BUILDS["cnn"]
    assert type(choice.backend([line()])) is type(choice.backend([line()], "loop")) is Loop
    assert type(choice.backend([line()], "stacked")) is Wide
    assert type(choice.backend([image()], "stacked")) is Loop
    assert isinstance(choice.backend([image(), image()], "stacked"), Stacked)
    assert type(choice.backend([image()], "compiled")) is Compiled
    assert type(choice.backend([image()], "graph")) is Graph


@pytest.mark.parametrize("then", ["none", "relu", "tanh"])
@pytest.mark.parametrize("bias", [True, False])
def test_a_large_product_is_the_small_ones(
    then: products.Then, bias: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By oneDNN and by MKL, in float32, against float64."""
    g = torch.Generator().manual_seed(0)
    rows, weight, b, sides = (
        torch.randn(shape, generator=g, dtype=torch.float64)
        for shape in ((1, 48, 30), (1, 40, 30), (1, 40), (1, 48, 40))
    )
    said = torch.einsum("kni,koi->kno", rows, weight) + (b.unsqueeze(1) if bias else 0)
    wanted = [
        {"none": said, "relu": said.clamp(min=0), "tanh": said.tanh()}[then],
        torch.einsum("kno,kni->koi", sides, rows),
        torch.einsum("kno,koi->kni", sides, weight),
    ]

    def found() -> list[torch.Tensor]:
        rows32, weight32, b32, sides32 = (t.float() for t in (rows, weight, b, sides))
        return [
            products.activated(rows32, weight32, b32 if bias else None, then),
            products.of_weight(sides32, rows32),
            products.of_rows(sides32, weight32),
        ]

    small = found()
    asked: list[tuple[int, ...]] = []
    real = products._linear
    monkeypatch.setattr(products, "_LARGE", 48 * 40 * 30)
    monkeypatch.setattr(products, "_linear", lambda *a: asked.append(a[0].shape) or real(*a))
    for a, b_, exact in zip(small, found(), wanted, strict=True):
        assert a.shape == b_.shape == exact.shape
        assert torch.allclose(a.double(), exact, atol=1e-5)
        assert torch.allclose(b_.double(), exact, atol=1e-5)
    before = [(48, 30), (40, 48), (48, 40)] if torch._C._has_mkldnn else []
    assert asked == before
    # float64, several networks: not oneDNN's
    products.activated(rows, weight, b, then)
    products.of_weight(torch.cat([sides, sides]).float(), torch.cat([rows, rows]).float())
    assert asked == before


class Asked(TorchDispatchMode):
    """What reaches torch's kernels: groups of convolutions, channels of batch norms."""

    def __init__(self) -> None:
        super().__init__()
        self.groups: set[int] = set()
        self.channels: set[int] = set()

    def __torch_dispatch__(
        self, kernel: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if kernel is torch.ops.aten.convolution.default:
            self.groups.add(args[8])
        if kernel is torch.ops.aten.native_batch_norm.default:
            self.channels.add(args[0].shape[1])
        return kernel(*args, **(kwargs or {}))


def test_the_convolutions_of_a_group_are_one_of_so_many_groups(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And its batch norms one of K C channels: vmap fuses them, which `graph` captures so."""
    with Asked() as alone:
        weights(monkeypatch, lambda nets: Loop(nets[0]), "resnet20", Recipe(), 1)
    with Asked() as three:
        weights(monkeypatch, choice.backend, "resnet20", Recipe(), 3)
    assert alone.groups == {1} and three.groups == {3}
    assert three.channels == {3 * channels for channels in alone.channels} != set()


def test_private_gradients_are_taken_of_the_plain_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def spied(nets: list[Network], engine: str) -> Backend:
        asked.append(engine)
        return choice.backend(nets, engine)

    monkeypatch.setattr(group, "backend", spied)
    from raymia.defenses.dpsgd import Dpsgd

    training = Training(epochs=1, batch_size=8, engine="compiled")
    fit(Recipe((Dpsgd(),)), BUILDS["cnn"], lesson(1), training, (0,), [0])
    assert asked == ["loop"]


def test_a_gpu_rounds_only_where_it_was_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch lets convolutions round to TF32 unasked."""
    backends = SimpleNamespace(
        cuda=SimpleNamespace(matmul=SimpleNamespace(allow_tf32=False)),
        cudnn=SimpleNamespace(allow_tf32=True),
    )
    monkeypatch.setattr(precision.torch, "backends", backends)

    def now() -> tuple[bool, bool]:
        return backends.cuda.matmul.allow_tf32, backends.cudnn.allow_tf32

    with precision.multiplied("float32"):
        assert now() == (False, False)
        with pytest.raises(ValueError), precision.multiplied("tf32"):
            assert now() == (True, True)
            raise ValueError
        assert now() == (False, False)
    assert now() == (False, True)
    precision.exact()
    assert now() == (False, False)


@pytest.mark.parametrize("columns", [False, True])
def test_the_slope_of_the_usual_loss_is_autograds(columns: bool) -> None:
    g = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn((2, 5, 4), generator=g, dtype=torch.float64)
    if columns:  # as few classes are said
        logits = logits.transpose(1, 2).contiguous().transpose(1, 2)
    label = torch.randint(4, (2, 5), generator=g)
    slope = of_cross_entropy(logits.clone(), nn.functional.one_hot(label, 4).double())
    logits.requires_grad_()
    each = [nn.functional.cross_entropy(z, y) for z, y in zip(logits, label, strict=True)]
    (wanted,) = torch.autograd.grad(sum(each), logits)
    assert torch.allclose(slope, wanted, rtol=1e-12, atol=1e-15)
