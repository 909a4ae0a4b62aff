"""The published networks: their sizes, and what an independent build with the same weights says."""

from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from raymia.networks.mlp import Mlp
from raymia.point import catalog
from raymia.training import convolutions, modules
from raymia.training.network import Network

CIFAR = (3, 32, 32)
# name, arguments, input, classes, parameters, MMAC, features
PUBLISHED: list[tuple[str, dict[str, Any], tuple[int, ...], int, int, float, int]] = [
    ("resnet18", {}, CIFAR, 10, 11_173_962, 555, 512),
    ("resnet20", {}, CIFAR, 10, 272_474, 41, 64),
    ("resnet110", {}, CIFAR, 10, 1_730_714, 253, 64),
    ("vgg11", {}, CIFAR, 10, 9_756_426, 153, 512),
    ("vgg11", {"form": "linear"}, CIFAR, 10, 9_231_114, 153, 512),
    ("vgg16", {}, CIFAR, 10, 14_719_818, 313, 512),
    ("alexnet", {}, CIFAR, 10, 2_472_266, 15, 256),
    ("mobilenetv3_large", {}, CIFAR, 10, 4_214_842, 20, 1280),
    ("mobilenetv3_large", {"feature": "pooled"}, CIFAR, 10, 4_214_842, 20, 960),
    ("densenet_bc", {}, CIFAR, 10, 769_162, 288, 342),
    ("densenet_bc", {"depth": 121}, CIFAR, 10, 1_020_550, 376, 405),
    ("googlenet", {}, CIFAR, 100, 6_402_564, 532, 1024),
    ("kaya_vgg", {"layers": 4}, (1, 28, 28), 10, 13_153_546, 72, 1024),
    ("kaya_vgg", {"layers": 10}, CIFAR, 10, 9_761_546, 153, 1024),
    ("mnist_cnn", {}, (1, 28, 28), 10, 21_840, 0, 50),
    (
        "mlp", {"width": 1024, "depth": 4, "activation": "tanh"}, (600,), 100, 1_317_348, 1, 128,
    ),
]  # fmt: skip


def built(name: str, knobs: dict[str, Any], shape: tuple[int, ...], classes: int) -> Network:
    torch.manual_seed(0)
    net: Network = catalog.make("networks", name, knobs).build(shape, classes)
    return net


def multiplied(net: nn.Module, x: Tensor) -> float:
    """Millions of multiplications of the convolutions and linear layers."""
    total = 0

    def count(module: Any, given: Any, out: Tensor) -> None:
        nonlocal total
        each = module.weight[0].numel() if isinstance(module, nn.Conv2d) else module.in_features
        total += out[0].numel() * each

    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(count)
    net.eval()(x)
    return total / 1e6


@pytest.mark.parametrize(
    ("name", "knobs", "shape", "classes", "parameters", "mmac", "features"), PUBLISHED
)
def test_sizes(
    name: str,
    knobs: dict[str, Any],
    shape: tuple[int, ...],
    classes: int,
    parameters: int,
    mmac: float,
    features: int,
) -> None:
    net = built(name, knobs, shape, classes)
    assert sum(p.numel() for p in net.parameters()) == parameters
    assert round(multiplied(net, torch.zeros(1, *shape))) == pytest.approx(mmac, abs=1)
    assert net.features == features == net(torch.zeros(2, *shape)).features.shape[1]


@pytest.mark.parametrize(
    "name",
    [n for n in catalog.names("networks") if n not in ("cnn", "mlp", "mnist_cnn", "alexnet")],
)
def test_groups_in_place_of_batches(name: str) -> None:
    if "norm" not in catalog.knobs(catalog.find("networks", name)):
        pytest.skip("it has no normalisation, or no choice")
    net = built(name, {"norm": "group"}, CIFAR, 10)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in net.modules())
    assert any(isinstance(m, nn.GroupNorm) for m in net.modules())
    plain = sum(p.numel() for p in built(name, {}, CIFAR, 10).parameters())
    assert sum(p.numel() for p in net.parameters()) == plain


def moved(target: nn.Module, source: nn.Module) -> nn.Module:
    """The target with the source's tensors, in the order in which both hold them."""
    own, other = target.state_dict(), source.state_dict()
    assert [tuple(a.shape) for a in own.values()] == [tuple(b.shape) for b in other.values()]
    target.load_state_dict(dict(zip(own, other.values(), strict=True)))
    return target.eval()


def shaken(net: Network) -> Network:
    """With statistics of its BatchNorms that are not 0 and 1."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return net.eval()


IMAGES = torch.rand((3, *CIFAR), generator=torch.Generator().manual_seed(1))


def test_mobilenet_is_torchvisions_with_a_stem_without_stride() -> None:
    net = shaken(built("mobilenetv3_large", {}, CIFAR, 10))
    other: Any = torchvision.models.mobilenet_v3_large(num_classes=10)
    other.features[0][0].stride = (1, 1)
    torch.testing.assert_close(moved(other, net)(IMAGES), net(IMAGES).logits)
    pooled = built("mobilenetv3_large", {"feature": "pooled"}, CIFAR, 10)
    torch.testing.assert_close(moved(pooled, net)(IMAGES).logits, net(IMAGES).logits)


@pytest.mark.parametrize(("name", "form"), [("vgg11", {"form": "linear"}), ("vgg16", {})])
def test_vgg_is_torchvisions_convolutions(name: str, form: dict[str, Any]) -> None:
    net = shaken(built(name, form, CIFAR, 10))
    whole: Any = torchvision.models.vgg11_bn() if name == "vgg11" else torchvision.models.vgg16()
    other = nn.Sequential(whole.features, nn.Flatten(), nn.Linear(512, 10))
    torch.testing.assert_close(moved(other, net)(IMAGES), net(IMAGES).logits)


def test_the_feature_of_vgg_is_before_its_relu() -> None:
    net = shaken(built("vgg11", {}, CIFAR, 10))
    said = net(IMAGES)
    assert (said.features < 0).any()
    last = [m for m in net.head.modules() if isinstance(m, nn.Linear)][-1]
    torch.testing.assert_close(last(said.features.relu()), said.logits)
    drops = [m.p for m in net.modules() if isinstance(m, modules.Dropout)]
    assert drops == [0.5, 0.5]
    for module in net.modules():
        if isinstance(module, nn.Conv2d) and module.bias is not None:
            fan = module.out_channels * 9
            assert float(module.weight.detach().std()) == pytest.approx((2 / fan) ** 0.5, rel=0.1)
            assert not module.bias.any()


def test_densenet_is_torchvisions_with_a_small_stem() -> None:
    net = shaken(built("densenet_bc", {"depth": 22, "growth": 12}, CIFAR, 10))
    other: Any = torchvision.models.DenseNet(12, (3, 3, 3), 24, bn_size=4, num_classes=10)
    other.features.conv0 = nn.Conv2d(3, 24, 3, padding=1, bias=False)
    other.features.norm0 = other.features.relu0 = other.features.pool0 = nn.Identity()
    torch.testing.assert_close(moved(other, net)(IMAGES), net(IMAGES).logits)


def test_a_thin_resnet_layer_by_layer() -> None:
    """Two convolutions a block; a 1x1 convolution beside the first block of a wider stage."""
    net = shaken(built("resnet20", {}, CIFAR, 10))
    state = list(net.backbone.state_dict().values())
    at = 0

    def conv_norm(x: Tensor, stride: int = 1) -> Tensor:
        nonlocal at
        weight, gamma, beta, mean, var, _ = state[at : at + 6]
        at += 6
        x = F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)
        return F.batch_norm(x, mean, var, gamma, beta)

    x = conv_norm(IMAGES).relu()
    for stage in range(3):
        for block in range(3):
            stride = 2 if stage and not block else 1
            inside = conv_norm(conv_norm(x, stride).relu())
            x = (inside + (conv_norm(x, stride) if stride == 2 else x)).relu()
    assert at == len(state)
    torch.testing.assert_close(net.head(x.mean((2, 3))), net(IMAGES).logits)


def test_an_inception_module_branch_by_branch() -> None:
    net = shaken(built("googlenet", {}, CIFAR, 10))
    module = next(m for m in net.backbone if type(m).__name__ == "Branches")
    x = torch.rand((2, 192, 8, 8), generator=torch.Generator().manual_seed(2))
    branches = list(module.branches)
    said = module(x)
    assert [b(x).shape[1] for b in branches] == [64, 128, 32, 32]
    torch.testing.assert_close(said[:, :64], branches[0](x))
    sizes = [[c.kernel_size[0] for c in b.modules() if isinstance(c, nn.Conv2d)] for b in branches]
    assert sizes == [[1], [1, 3], [1, 3, 3], [1]]
    drops = [m for m in net.modules() if isinstance(m, modules.Dropout)]
    assert [(d.p, d.channels, d.part) for d in drops] == [(0.4, True, "")]


def test_tanh_on_the_logits() -> None:
    torch.manual_seed(0)
    plain = Mlp(width=16, depth=3, activation="tanh").build((12,), 5)
    torch.manual_seed(0)
    bounded = Mlp(width=16, depth=3, activation="tanh", tanh_logits=True).build((12,), 5)
    x = 9 * torch.randn(4, 12)
    torch.testing.assert_close(bounded(x).logits, plain(x).logits.tanh())
    torch.testing.assert_close(bounded(x).features, plain(x).features)


def test_pooling_before_a_relu_is_pooling_after_it() -> None:
    """With ties and with windows that are nowhere positive."""
    g = torch.Generator().manual_seed(0)
    x = (torch.randn((2, 3, 6, 6), generator=g) * 2).round()
    layers: list[nn.Module] = [nn.ReLU()]
    convolutions.pool(layers)
    after = [nn.ReLU(), nn.MaxPool2d(2)]
    found = []
    for order in (layers, after):
        own = x.clone().requires_grad_()
        out = nn.Sequential(*order)(own)
        (out * torch.arange(out.numel()).view_as(out)).sum().backward()
        found.append((out.detach(), own.grad))
    assert torch.equal(found[0][0], found[1][0]) and torch.equal(found[0][1], found[1][1])
