"""K networks of one shape side by side: parameters [K, ...], and one model's loss mapped over them.

One network alone keeps its own modules. Networks of linear layers, and of what acts on single numbers or vectors, multiply with
all K weights at once: where a layer is too small to fill a core, that is several times faster. Any other is mapped by vmap.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from raymia.defense import Batch, Reference
from raymia.modules import Dropout, LinearNorm, Network, Normalise, SphereClip
from raymia.network import Outputs

_POINTWISE = (
    nn.ReLU,
    nn.Tanh,
    nn.GELU,
    nn.Identity,
    Normalise,
    SphereClip,
)  # they see no difference between [B, ...] and [K, B, ...]
_WIDE = (Network, nn.Sequential, nn.Flatten, nn.Linear, LinearNorm, Dropout, *_POINTWISE)

Loss = Callable[[Outputs, Batch, Reference | None, Any], Tensor]


class Stack:
    """`params` are what gradients are taken of, `tensors` the same as [K, ...] for an optimizer that moves them in place."""

    def __init__(self, nets: Sequence[Network]) -> None:
        self._nets = list(nets)
        self.alone = len(nets) == 1
        self.template = nets[0] if self.alone else copy.deepcopy(nets[0])
        self.wide = not self.alone and _can_be_wide(self.template)
        self.params: dict[str, Tensor]
        self.buffers: dict[str, Tensor] = {}
        if self.alone:
            self.params = dict(self.template.named_parameters())
            self.tensors = [p.data.unsqueeze(0) for p in self.params.values()]
            return
        params, self.buffers = stack_module_state(self._nets)
        # [K, out, in] as [K, in, out]: the gradient of a product with a transposed weight is strided, and slow to add
        self.params = {n: (_turned(p) if self.wide else p).detach().requires_grad_() for n, p in params.items()}
        self.tensors = [p.data for p in self.params.values()]

    def nets(self) -> list[Network]:
        """The networks with the values that the stack has now."""
        if not self.alone:
            values = {n: _turned(p) if self.wide else p for n, p in self.params.items()} | self.buffers
            for k, net in enumerate(self._nets):
                net.load_state_dict({n: values[n][k].detach() for n in net.state_dict()})
        return self._nets

    def stacked(self, grads: Sequence[Tensor]) -> list[Tensor]:
        """Gradients of `params` in the shapes of `tensors`."""
        return [g.unsqueeze(0) for g in grads] if self.alone else list(grads)

    def map(self, loss: Loss, batch: Batch, reference: Batch | None, extra: dict[str, Tensor]) -> Tensor:
        """Losses [K] of batches [K, B, ...]; `reference` goes through the same network, `extra` are [K, ...]."""
        batches = [batch] if reference is None else [batch, reference]
        if self.alone:
            one = [Batch(*(t[0] for t in b)) for b in batches]
            extra = {n: e[0] for n, e in extra.items()}
            return _called(loss, [self.template(b.x) for b in one], one, extra).unsqueeze(0)
        if self.wide:
            said = [self._outputs(b.x) for b in batches]
            return vmap(partial(_called, loss))(said, batches, extra)

        def mapped(params: Any, buffers: Any, batches: list[Batch], extra: Any) -> Tensor:
            said = [functional_call(self.template, (params, buffers), (b.x,)) for b in batches]
            return _called(loss, said, batches, extra)

        return vmap(mapped)(self.params, self.buffers, batches, extra)

    def _outputs(self, x: Tensor) -> Outputs:
        net = self.template
        features = self._through(net.backbone, "backbone", net.normalise(x))
        return Outputs(self._through(net.head, "head", features), features)

    def _through(self, module: nn.Module, name: str, x: Tensor) -> Tensor:
        """x [K, B, ...] through the K modules of one name."""
        if isinstance(module, nn.Sequential):
            for child, part in module._modules.items():
                x = self._through(part, f"{name}.{child}", x)
            return x
        if isinstance(module, nn.Linear):
            weight, bias = self.params[f"{name}.weight"], self.params.get(f"{name}.bias")
            if isinstance(module, LinearNorm):
                weight = module.normed(weight)
            rows = x.reshape(len(x), -1, x.shape[-1])
            out = rows @ weight if bias is None else torch.baddbmm(bias.unsqueeze(1), rows, weight)
            return out.reshape(*x.shape[:-1], -1)
        if isinstance(module, Dropout):
            return x * self.buffers[f"{name}.mask"] if module.training else x
        return x.flatten(2) if isinstance(module, nn.Flatten) else module(x)


def _can_be_wide(net: Network) -> bool:
    """Whether every module is one that `_through` knows, and stands in one place alone."""
    modules = list(net.modules())
    known = all(type(m) in _WIDE and not (isinstance(m, nn.Flatten) and (m.start_dim, m.end_dim) != (1, -1)) for m in modules)
    return known and len(modules) == len(list(net.named_modules(remove_duplicate=False)))


def _called(loss: Loss, said: Sequence[Outputs], batches: Sequence[Batch], extra: Any) -> Tensor:
    reference = Reference(said[1], batches[1]) if len(said) > 1 else None
    return loss(said[0], batches[0], reference, extra)


def _turned(p: Tensor) -> Tensor:
    return p.transpose(1, 2).contiguous() if p.ndim == 3 else p
