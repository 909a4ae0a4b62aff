"""The clipped sum of one backward pass, against each record's own gradient and against Opacus."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raymia.errors import RaymiaError
from raymia.training.clipping import Clipping
from raymia.training.modules import LinearNorm

RECORDS = 5


class Twice(nn.Module):
    """One layer called twice: its gradients add up before the norm is taken."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(torch.tanh(self.layer(x)))


class Tied(Twice):
    """Two layers of one weight, and each with a bias of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.other = nn.Linear(6, 6)
        self.other.weight = self.layer.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.other(torch.tanh(self.layer(x)))


class InPlace(nn.Module):
    """What comes out of a layer is changed in place by the next, and added to in place."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.ReLU(inplace=True))
        self.norm = nn.GroupNorm(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        out = self.norm(self.body(x))
        out += x
        return out


class Frozen(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(60, 4))
        self[0].weight.requires_grad_(False)
        self[2].bias.requires_grad_(False)


class Own(nn.Module):
    """Parameters beside those of its children."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.layer = nn.Parameter(torch.rand(6)), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x * self.scale)


class Outside(nn.Module):
    """A weight that is used without calling its layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.layer.weight.T


class Unused(Outside):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.first(x)


class Ignored(Unused):
    def forward(self, x: Tensor) -> Tensor:
        self.layer(x)
        return self.first(x)


def conv(*sizes: int, **how: Any) -> Callable[[], nn.Module]:
    return lambda: nn.Conv2d(*sizes, **how)


# name: the network, and the shape of a record
CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear(6, 4), (6,)),
    "linear of few places": (lambda: nn.Linear(6, 4), (3, 6)),
    "linear of many places": (lambda: nn.Linear(6, 4, bias=False), (3, 5, 6)),
    "one weight": (lambda: nn.Linear(1, 1), (1,)),
    "convolution of few places": (conv(8, 9, 3), (8, 4, 5)),
    "convolution of many places": (conv(2, 3, 3, padding=1), (2, 5, 7)),
    "convolution at one place": (conv(2, 3, (3, 2)), (2, 3, 2)),
    "strided": (conv(2, 3, (2, 3), stride=(2, 1), padding=(1, 2), dilation=(1, 2)), (2, 6, 9)),
    "strided, few places": (
        conv(8, 9, (2, 3), stride=(2, 3), padding=(0, 1), bias=False),
        (8, 5, 7),
    ),
    "grouped": (conv(4, 6, 3, groups=2), (4, 6, 7)),
    "grouped, few places": (conv(8, 16, 3, groups=2, padding=1), (8, 2, 3)),
    "depthwise": (conv(4, 4, 3, groups=4, padding=1), (4, 3, 4)),
    "padded same": (conv(2, 3, 3, padding="same"), (2, 4, 5)),
    "padded round": (conv(2, 3, 3, padding=1, padding_mode="circular"), (2, 4, 5)),
    "along one axis": (lambda: nn.Conv1d(2, 3, 3), (2, 7)),
    "group norm": (lambda: nn.GroupNorm(2, 4), (4, 3, 2)),
    "group norm at one place": (lambda: nn.GroupNorm(2, 4), (4,)),
    "layer norm": (lambda: nn.LayerNorm(6), (6,)),
    "normed head": (lambda: LinearNorm(6, 4, all_on=True), (6,)),
    "twice": (Twice, (6,)),
    "tied": (Tied, (6,)),
    "in place": (InPlace, (2, 4, 4)),
    "frozen": (Frozen, (2, 6, 7)),
    "own": (Own, (6,)),
    "unused": (Unused, (6,)),
    "ignored": (Ignored, (6,)),
}


def made(name: str) -> tuple[nn.Module, Tensor]:
    build, shape = CASES[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net, x = build().double(), torch.randn(RECORDS, *shape, dtype=torch.float64)
        return net, x * torch.linspace(0.1, 2, RECORDS).view(-1, *(1 for _ in shape))


def losses(net: nn.Module, x: Tensor) -> Tensor:
    """One a record, in which no gradient is that of another."""
    out = net(x).flatten(1)
    return (out.tanh() * torch.linspace(1, 2, out.shape[1], dtype=out.dtype)).sum(1).exp().log1p()


def one_by_one(net: nn.Module, x: Tensor) -> Tensor:
    """The gradients [B, numbers] by all trained parameters, each from its record alone."""
    mine = [p for p in net.parameters() if p.requires_grad]
    rows = []
    for i in range(len(x)):
        found = torch.autograd.grad(losses(net, x[i : i + 1])[0], mine, allow_unused=True)
        each = (p.new_zeros(p.shape) if g is None else g for p, g in zip(mine, found, strict=True))
        rows.append(torch.cat([g.flatten() for g in each]))
    return torch.stack(rows)


@pytest.mark.parametrize(
    ("name", "last"),
    [(name, False) for name in CASES] + [(n, True) for n in CASES if len(CASES[n][1]) == 3],
)
def test_the_clipped_sum_is_that_of_single_gradients(name: str, last: bool) -> None:
    """Whatever order the memory is in: Opacus 1.6 has other norms where channels come last."""
    net, x = made(name)
    if last:
        net = net.to(memory_format=torch.channels_last)
        x = x.contiguous(memory_format=torch.channels_last)
    own = one_by_one(net, x)
    norms = own.norm(dim=1)
    bound = float(norms.median())
    assert norms.min() < bound < norms.max()  # some are clipped, and some are not
    clip = Clipping(net, bound)
    for _ in range(2):  # nothing of a step is left for the next
        sums, seen = clip(lambda: losses(net, x))
        found = torch.cat([sums[p].flatten() for p in net.parameters() if p.requires_grad])
        expected = (own * (bound / norms).clamp(max=1)[:, None]).sum(0)
        torch.testing.assert_close(seen, norms, rtol=1e-9, atol=0)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-9 * bound)
    clip.close()
    assert not any(module._forward_hooks for module in net.modules())


def test_both_forms_of_a_norm_are_tried() -> None:
    """Of places p, and weights of i inputs and o outputs: p^2 products for i o, both ways."""
    from raymia.training.clipping import _ghost

    def ghost(name: str) -> bool:
        net, x = made(name)
        assert isinstance(net, nn.Conv2d)
        return _ghost(net(x)[0, 0].numel(), net.weight[: len(net.weight) // net.groups])

    few = [name for name in CASES if "few places" in name and "linear" not in name]
    assert all(map(ghost, few)) and not any(
        map(ghost, ("convolution of many places", "strided", "grouped", "depthwise"))
    )


def test_it_is_what_opacus_finds() -> None:
    """Opacus adds 1e-6 to the norms that it divides by."""
    from opacus.grad_sample import GradSampleModuleFastGradientClipping

    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.GroupNorm(4, 8), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(8, 8, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3)]
    net, x = nn.Sequential(*layers).double(), torch.randn(6, 3, 14, 14, dtype=torch.float64)
    y = torch.arange(6) % 3

    def each() -> Tensor:
        return F.cross_entropy(net(x), y, reduction="none")

    bound = 1.0
    clip = Clipping(net, bound)
    sums, norms = clip(each)
    clip.close()
    assert norms.max() > bound
    hooks: Any = GradSampleModuleFastGradientClipping(
        net, max_grad_norm=bound, use_ghost_clipping=True, loss_reduction="sum"
    )
    x.requires_grad_()  # its hooks stand at the modules, whose inputs are to need a gradient
    per_record = F.cross_entropy(hooks(x), y, reduction="none")
    per_record.sum().backward(retain_graph=True)
    torch.testing.assert_close(hooks.get_norm_sample(), norms)
    hooks.disable_hooks()
    net.zero_grad()
    (hooks.get_clipping_coef() * per_record).sum().backward()
    for p in net.parameters():
        torch.testing.assert_close(p.grad, sums[p], rtol=1e-4, atol=1e-6)


def test_a_record_without_a_gradient_adds_nothing() -> None:
    net, x = made("linear")
    clip = Clipping(net, 1.0)
    sums, norms = clip(lambda: losses(net, x) * torch.tensor([0.0, 1, 1, 1, 1]))
    assert norms[0] == 0 and all(s.isfinite().all() for s in sums.values())


class Memory(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self[0](x)[0]
        return out


class Flat(nn.Sequential):
    """Its layer does not see records, but all their places."""

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self[0](x.flatten(0, 1)).view(len(x), -1)
        return out


@pytest.mark.parametrize(
    ("net", "shape", "said"),
    [
        (Outside(), (6,), "dpsgd: layer.weight is used outside of its layer's call"),
        (Memory(nn.LSTM(6, 3, batch_first=True)), (2, 6), "dpsgd: LSTM .* of one tensor"),
        (Flat(nn.Linear(6, 3)), (2, 6), "dpsgd: Linear has 10 rows of 5 records"),
    ],
)
def test_what_cannot_be_told_apart_by_records_is_refused(
    net: nn.Module, shape: tuple[int, ...], said: str
) -> None:
    clip = Clipping(net, 1.0)
    with pytest.raises(RaymiaError, match=said):
        clip(lambda: losses(net, torch.rand(RECORDS, *shape)))
