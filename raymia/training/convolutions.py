"""What convolutional networks are built of."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from raymia.training import modules, network
from raymia.training.network import Network


def normed(
    before: int, after: int, kernel: int = 3, stride: int = 1, bias: bool = False
) -> list[nn.Module]:
    """Convolution, padded to keep the size at stride 1, BatchNorm, ReLU."""
    conv = nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, bias=bias)
    return [conv, nn.BatchNorm2d(after), nn.ReLU()]


def plain(before: int, after: int) -> list[nn.Module]:
    """A 3x3 convolution with bias, and ReLU."""
    return [nn.Conv2d(before, after, 3, padding=1), nn.ReLU()]


def pool(layers: list[nn.Module]) -> None:
    """Puts 2x2 max pooling before the ReLU at the end: what comes out and every gradient are the
    same bits, for a quarter of the ReLU's work.
    """
    layers.insert(-1, nn.MaxPool2d(2))


def basic_block(before: int, after: int, stride: int) -> nn.Module:
    """ResNet's: two 3x3 convolutions; where the shape changes, a 1x1 convolution beside them."""
    body = nn.Sequential(*normed(before, after, 3, stride), *normed(after, after)[:-1])
    shortcut: nn.Module = nn.Identity()
    if stride > 1 or before != after:
        shortcut = nn.Sequential(*normed(before, after, 1, stride)[:-1])
    return modules.Residual(body, shortcut)


def thin_resnet(channels: int, depth: int, classes: int, width: int) -> Network:
    """The ResNet of 6n + 2 layers for CIFAR: stages of `width`, twice and four times as many."""
    layers: list[nn.Module] = normed(channels, width)
    before = width
    for stage in range(3):
        for i in range((depth - 2) // 6):
            stride = 2 if stage and not i else 1
            layers.append(basic_block(before, width << stage, stride))
            before = width << stage
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    net = network.classifier(nn.Sequential(*layers), before, classes)
    he(net)
    return net


def he(net: nn.Module) -> None:
    """He-normal convolutions by what goes out, their biases 0."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


class Branches(nn.Module):
    """The channels of all branches, one after the other."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


class Sum(nn.Module):
    """x + body(x)."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = x + self.body(x)
        return added


def with_norm(net: Network, norm: str) -> Network:
    """BatchNorm as built, or GroupNorm in its place."""
    return net.edit(modules.group_norm) if norm == "group" else net
