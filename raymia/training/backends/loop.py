"""One network, with its own modules: the plain loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from raymia.training.backends.backend import Differentiated, Loss, called, with_reference
from raymia.training.defense import Batch
from raymia.training.modules import Dropout
from raymia.training.network import Network, Outputs


class Loop(Differentiated):
    """A backend of one network."""

    def __init__(self, net: Network) -> None:
        # a processor's convolutions and pools are made for this order, and all of bfloat16's
        on_cpu = next(net.parameters()).device.type == "cpu"
        self._last = on_cpu or net.rounded
        if self._last:
            net.to(memory_format=torch.channels_last)
        self.template = net
        self.params: dict[str, Tensor] = dict(net.named_parameters())
        self.tensors = [p.data.unsqueeze(0) for p in self.params.values()]
        self._modules = dict(net.named_modules())

    def map(
        self, loss: Loss, batch: Batch, reference: Batch | None, extra: dict[str, Tensor]
    ) -> Any:
        one = [Batch(*(t[0] for t in b)) for b in with_reference(batch, reference)]
        own = {name: tensor[0] for name, tensor in extra.items()}
        found = called(loss, [self.said(b.x) for b in one], one, own)
        return tree_map(lambda scalar: scalar.unsqueeze(0), found)

    def logits(self, x: Tensor) -> Tensor:
        return self.said(x[0]).logits.unsqueeze(0)

    def said(self, x: Tensor) -> Outputs:
        """What the network says of x [B, ...]."""
        if self._last and x.ndim == 4:
            x = x.contiguous(memory_format=torch.channels_last)
        return self._outputs(x)

    def _outputs(self, x: Tensor) -> Outputs:
        said: Outputs = self.template(x)
        return said

    def stacked(self, grads: Sequence[Tensor]) -> list[Tensor]:
        return [g.unsqueeze(0) for g in grads]

    def mask(self, name: str, mask: Tensor) -> None:
        layer = self._modules[name]
        assert isinstance(layer, Dropout)
        layer.mask = mask[0]

    def state(self) -> dict[str, Tensor]:
        return {name: t.unsqueeze(0) for name, t in self.template.state_dict().items()}

    def nets(self) -> list[Network]:
        # as it comes back from a file
        return [self.template.to(memory_format=torch.contiguous_format)]
