"""What is trained, and what it says. Every network is normalise -> backbone -> head, and the
head's input are its features.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from raymia.errors import SweepError


class Outputs(NamedTuple):
    """What a network says: logits [B, C], and features [B, D], the input of its head."""

    logits: Tensor
    features: Tensor


class Network(nn.Module):
    """A classifier whose features are the input of its head, so that no defense needs a hook
    into a backbone.

    Shapes: x [B, *shape] -> Outputs(logits [B, C], features [B, D]).
    """

    def __init__(self, backbone: nn.Module, head: nn.Module, features: int, classes: int) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head
        self.features, self.classes = features, classes
        self.normalise: nn.Module = nn.Identity()
        self.rounded = False  # whether its layers are multiplied in bfloat16

    def forward(self, x: Tensor) -> Outputs:
        return self.outputs(x, self._outputs)

    def outputs(self, x: Tensor, call: Callable[[Tensor], Outputs]) -> Outputs:
        """What `call` makes of x in this network's precision, in the dtype of x."""
        if not self.rounded:
            return call(x)
        # each weight is met once a call: a cache would only hold on to its copies
        with torch.autocast(x.device.type, torch.bfloat16, cache_enabled=False):
            said = call(x)
        return Outputs(said.logits.to(x.dtype), said.features.to(x.dtype))

    def _outputs(self, x: Tensor) -> Outputs:
        features = self.backbone(self.normalise(x))
        return Outputs(self.head(features), features)

    def with_head(self, make: Callable[[nn.Module], nn.Module]) -> Network:
        """A copy with another head, made from the one that is there."""
        out = copy.copy(self)
        out._modules = dict(self._modules)
        out.head = make(self.head)
        return out

    def edit(self, change: Callable[[nn.Module], nn.Module]) -> Network:
        """A copy in which every module of backbone and head that `change` replaces is replaced
        (innermost first).
        """
        edited: Network = _edited(copy.deepcopy(self), change)
        return edited


def _edited(module: Any, change: Callable[[nn.Module], nn.Module]) -> Any:
    for name, child in module.named_children():
        setattr(module, name, change(_edited(child, change)))
    return module


def classifier(backbone: nn.Module, features: int, classes: int) -> Network:
    """A Network with the plain linear head."""
    return Network(backbone, nn.Linear(features, classes), features, classes)


def after_convolutions(network: Network, make: Callable[[], nn.Module]) -> Network:
    """A copy with a further module after every convolution. Raises SweepError where there is
    none.
    """
    if not any(isinstance(m, nn.Conv2d) for m in network.modules()):
        raise SweepError(
            "the network has no convolution to put a dropout after; take another network, or "
            "dropout: {where: head}"
        )
    return network.edit(lambda m: nn.Sequential(m, make()) if isinstance(m, nn.Conv2d) else m)
