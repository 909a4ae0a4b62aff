"""Norms of each record's own gradient by all weights, without making the gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F

from raymia.training.network import Network

VMAP_CHUNK = 16  # records whose whole gradients are held at once


def gradient(network: Network, x: Tensor, y: Tensor, p: int) -> Tensor:
    """The l1 (p = 1) or l2 norm [B] of the gradient of each record's cross-entropy by all
    parameters, in evaluation mode.

    A linear layer's gradient is the outer product of what goes in and the gradient of what
    comes out, so its norm is that of two vectors (Goodfellow, arXiv:1510.01799); the l2 norm of
    a convolution follows from the products between positions where those are fewer than its
    weights (ghost norms: Li et al., ICLR 2022; Bu, Mao & Xu, NeurIPS 2022). Layers with other
    parameters have all gradients made, record by record.
    """
    layers = [m for m in network.modules() if any(True for _ in m.parameters(recurse=False))]
    plain = all(type(m) in (nn.Linear, nn.Conv2d) for m in layers) and not _shared(layers)
    total = _by_layers(network, layers, x, y, p) if plain else None
    if total is None:
        total = _one_by_one(network, x, y, p)
    return total if p == 1 else total.sqrt()


def _by_layers(
    network: Network, layers: list[nn.Module], x: Tensor, y: Tensor, p: int
) -> Tensor | None:
    """The sum [B] of |gradient|^p from what goes into each layer and the gradient of what comes
    out.

    None where a layer is used twice: its gradients add up before the norm is taken.
    """
    went_in: dict[nn.Module, Tensor] = {}
    came_out: dict[nn.Module, Tensor] = {}
    used: list[nn.Module] = []

    def look(module: nn.Module, args: Any, output: Tensor) -> None:
        used.append(module)
        went_in[module], came_out[module] = args[0].detach(), output

    hooks = [layer.register_forward_hook(look) for layer in layers]
    try:
        with torch.enable_grad():
            seen = network.normalise(x).detach().requires_grad_()  # of words no gradient is taken
            loss = F.cross_entropy(network.head(network.backbone(seen)), y, reduction="sum")
    finally:
        for hook in hooks:
            hook.remove()
    if len(used) != len(layers) or len(came_out) != len(layers):
        return None
    grads = torch.autograd.grad(loss, [came_out[layer] for layer in layers])
    return torch.stack(
        [_layer(layer, went_in[layer], g, p) for layer, g in zip(layers, grads, strict=True)]
    ).sum(0)


def _shared(layers: list[nn.Module]) -> bool:
    own = [id(p) for layer in layers for p in layer.parameters(recurse=False)]
    return len(own) != len(set(own))


def _layer(layer: nn.Module, a: Tensor, g: Tensor, p: int) -> Tensor:
    """The sum [B] of |gradient|^p over one layer's parameters, from its input and the gradient
    of its output.
    """
    if isinstance(layer, nn.Conv2d):
        how: Any = (layer.kernel_size, layer.dilation, layer.padding, layer.stride)
        a = F.unfold(a, *how)
        a, g = a.transpose(1, 2), g.flatten(2).transpose(1, 2)  # [B, positions, inputs and outputs]
    elif a.ndim == 2:
        a, g = a[:, None], g[:, None]
    else:
        a, g = a.flatten(1, -2), g.flatten(1, -2)
    groups = getattr(layer, "groups", 1)
    a, g = a.double(), g.double()
    norm = (
        g.sum(1).abs().pow(p).sum(-1)
        if getattr(layer, "bias", None) is not None
        else g.new_zeros(len(g))
    )
    for part, out in zip(a.chunk(groups, -1), g.chunk(groups, -1), strict=True):
        if part.shape[1] == 1:
            norm = norm + part[:, 0].abs().pow(p).sum(-1) * out[:, 0].abs().pow(p).sum(-1)
        elif p == 2 and part.shape[1] ** 2 <= part.shape[2] * out.shape[2]:
            norm = norm + ((part @ part.transpose(1, 2)) * (out @ out.transpose(1, 2))).sum((1, 2))
        else:
            norm = norm + torch.cat(
                [(o.transpose(1, 2) @ i).abs().pow(p).sum((1, 2)) for i, o in _few(part, out)]
            )
    return norm


def _few(a: Tensor, g: Tensor) -> Any:
    edges = range(0, len(a), VMAP_CHUNK)
    return ((a[i : i + VMAP_CHUNK], g[i : i + VMAP_CHUNK]) for i in edges)


def _one_by_one(network: Network, x: Tensor, y: Tensor, p: int) -> Tensor:
    """The same sum, with each record's gradient made."""
    # one record at a time, channels that lie last lose a fifth
    params = {n: w.detach().contiguous() for n, w in network.named_parameters()}
    buffers = dict(network.named_buffers())

    def loss(params: Any, one: Tensor, label: Tensor) -> Tensor:
        z = functional_call(network, (params, buffers), (one[None],)).logits
        return F.cross_entropy(z, label[None])

    norms = []
    for part, label in _few(x, y):
        grads = vmap(grad(loss), in_dims=(None, 0, 0))(params, part, label)
        norms.append(
            torch.stack([g.flatten(1).double().abs().pow(p).sum(1) for g in grads.values()]).sum(0)
        )
    return torch.cat(norms)
