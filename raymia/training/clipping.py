"""The sum of each record's gradient, clipped to a norm, from one backward pass.

A layer's gradient of one record is made of what went into the layer and the gradient of what came
out of it. Both are kept from one pass back to the outputs of the layers; the norm of each record's
whole gradient follows from them, and then the weighted sum of the gradients, with no second pass.

Source: Bu, Wang, Zha & Karypis, Differentially Private Optimization on Large Model at Small Cost,
ICML 2023 (book-keeping), with the choice between two forms of a convolution's norm of Bu, Mao & Xu,
NeurIPS 2022 (mixed ghost clipping).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.func import functional_call, vjp, vmap
from torch.nn import functional as F
from torch.nn.grad import conv2d_weight

from raymia.errors import RaymiaError

CHUNK = 16  # records whose patches are held at once: they stay in a core's cache


class Use(NamedTuple):
    """One call of a layer that has parameters of its own."""

    layer: nn.Module
    own: Mapping[str, Tensor]  # of its parameters, those that are trained
    given: tuple[Tensor, ...]
    out: GradientEdge  # not the output, which the next layer may change in place


class Part(NamedTuple):
    """The gradients of one parameter: their squared norms [B], and their sum under weights [B]."""

    squares: Tensor
    weighted: Callable[[Tensor], Tensor]


class Clipping:
    """Sums the gradients of a batch's records, each scaled down to `bound` where its norm, over
    all parameters, is above it. Watches the network until it is closed.

    Raises RaymiaError where a gradient cannot be told apart by records.
    """

    def __init__(self, network: nn.Module, bound: float) -> None:
        self._bound = bound
        self._names: dict[Tensor, str] = {
            p: name for name, p in network.named_parameters() if p.requires_grad
        }
        self._uses: list[Use] | None = None
        self._own = {module: _own(module) for module in network.modules() if _own(module)}
        self._hooks = [
            module.register_forward_hook(self._look, with_kwargs=True) for module in self._own
        ]

    def close(self) -> None:
        for hook in self._hooks:
            hook.remove()

    def _look(self, layer: nn.Module, given: Any, named: Any, out: Any) -> None:
        if self._uses is None:
            return
        if named or not all(isinstance(each, Tensor) for each in (*given, out)):
            kind = type(layer).__name__
            raise RaymiaError(f"dpsgd: {kind} is no function of tensors alone, of one tensor")
        kept = tuple(t.detach() for t in given)
        self._uses.append(Use(layer, self._own[layer], kept, get_gradient_edge(out)))

    def __call__(self, losses: Callable[[], Tensor]) -> tuple[dict[Tensor, Tensor], Tensor]:
        """The sum of each parameter, and the norms [B] before clipping. `losses`: those of the
        records [B], computed when called.
        """
        self._uses = []
        try:
            each = losses()
            uses = self._uses
        finally:
            self._uses = None
        seen = {p for use in uses for p in use.own.values()}
        unseen = [p for p in self._names if p not in seen]
        wanted = [use.out for use in uses] + [get_gradient_edge(p) for p in unseen]
        found = torch.autograd.grad(each.sum(), wanted, allow_unused=True)
        for p, grad in zip(unseen, found[len(uses) :], strict=True):
            if grad is not None:
                raise RaymiaError(f"dpsgd: {self._names[p]} is used outside of its layer's call")
        with torch.no_grad():
            parts = _parts(uses, found, len(each))
            squares = torch.stack([part.squares for part in parts.values()]).sum(0)
            norms = squares.clamp(min=0).sqrt()
            weights = (self._bound / norms).clamp(max=1)
            sums = {
                p: parts[p].weighted(weights) if p in parts else torch.zeros_like(p)
                for p in self._names
            }
            return sums, norms


def _own(layer: nn.Module) -> dict[str, Tensor]:
    return {n: p for n, p in layer.named_parameters(recurse=False) if p.requires_grad}


def _parts(uses: Sequence[Use], grads: Sequence[Tensor | None], records: int) -> dict[Tensor, Part]:
    times = Counter(p for use in uses for p in use.own.values())
    parts: dict[Tensor, Part] = {}
    whole: dict[Tensor, Tensor] = {}  # of a parameter that is used twice, they add up first
    for use, grad in zip(uses, grads, strict=False):
        if grad is None:  # no loss depends on it
            continue
        if len(grad) != records:
            kind = type(use.layer).__name__
            raise RaymiaError(f"dpsgd: {kind} has {len(grad)} rows of {records} records")
        rule = _rule(use.layer) if all(times[p] == 1 for p in use.own.values()) else None
        if rule:
            found = rule(use.layer, use.given[0], grad)
            parts |= {p: part for p, part in found.items() if p.requires_grad}
        else:
            for p, one in _by_record(use, grad).items():
                whole[p] = whole[p] + one if p in whole else one
    return parts | {p: _summed(one) for p, one in whole.items()}


def _summed(each: Tensor) -> Part:
    """Of gradients that are there, [B, ...]."""
    flat = each.flatten(1)
    return Part(flat.square().sum(1), lambda w: (w @ flat).view(each.shape[1:]))


def _by_record(use: Use, grad: Tensor) -> dict[Tensor, Tensor]:
    """Of a layer of any kind: the gradients [B, ...] of its own parameters."""
    own = {name: p.detach() for name, p in use.own.items()}

    def one(g: Tensor, *given: Tensor) -> Any:
        batch = tuple(t[None] for t in given)
        pull = vjp(lambda params: functional_call(use.layer, params, batch), own)[1]
        return pull(g[None])[0]

    found = vmap(one)(grad, *use.given)
    return {p: found[name] for name, p in use.own.items()}


def _linear(layer: nn.Linear, given: Tensor, grad: Tensor) -> dict[Tensor, Part]:
    a, g = (t.reshape(len(t), -1, t.shape[-1]) for t in (given, grad))  # [B, places, channels]
    parts: dict[Tensor, Part] = {} if layer.bias is None else {layer.bias: _summed(g.sum(1))}
    if _ghost(a.shape[1], layer.weight):
        parts[layer.weight] = Part(
            _crossed(a, g),
            lambda w: (g * w[:, None, None]).flatten(0, 1).T @ a.flatten(0, 1),
        )
    else:
        parts[layer.weight] = _summed(g.mT @ a)
    return parts


def _convolution(layer: Any, given: Tensor, grad: Tensor) -> dict[Tensor, Part]:
    weight, groups = layer.weight, layer.groups
    outs, ins, *window = weight.shape
    parts = {} if layer.bias is None else {layer.bias: _summed(grad.sum((2, 3)))}
    pairs = zip(torch.split(given, CHUNK), torch.split(grad, CHUNK), strict=True)
    few = (_places(layer, a, g) for a, g in pairs)
    if _ghost(grad[0, 0].numel(), weight[: outs // groups]):
        how = (layer.stride, layer.padding, layer.dilation, groups)

        def weighted(w: Tensor) -> Tensor:
            by_weight: Any = conv2d_weight  # it has no types
            found: Tensor = by_weight(given, weight.shape, grad * w[:, None, None, None], *how)
            return found

        squares = torch.cat([_crossed(a, g).sum(1) for a, g in few])
        parts[weight] = Part(squares, weighted)
    else:
        each = _summed(torch.cat([g.mT @ a for a, g in few]))
        parts[weight] = Part(
            each.squares,
            lambda w: each.weighted(w).view(outs, *window, ins).permute(0, 3, 1, 2),
        )
    return parts


def _places(layer: Any, given: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
    """What each place of the output is made of, [B, groups, places, window * channels], and its
    gradient [B, groups, places, channels].
    """
    (high, wide), (down, right), (apart, across) = layer.padding, layer.stride, layer.dilation
    x = F.pad(given.permute(0, 2, 3, 1), (0, 0, wide, wide, high, high))
    b, h, w, c = x.stride()
    groups, ins = layer.groups, x.shape[3] // layer.groups
    a = x.as_strided(
        (len(x), groups, *grad.shape[2:], *layer.kernel_size, ins),
        (b, ins * c, down * h, right * w, apart * h, across * w, c),
    )
    g = grad.reshape(len(grad), groups, -1, *grad.shape[2:]).flatten(3).mT
    return a.flatten(4).flatten(2, 3), g


def _ghost(places: int, weight: Tensor) -> bool:
    """Whether the products between places are fewer than the weights."""
    return 2 * places**2 < weight.numel()


def _crossed(a: Tensor, g: Tensor) -> Tensor:
    """|sum_p g_p a_p^T|^2 over the places p [..., places, channels], from products of places."""
    if a.shape[-2] == 1:
        return a.square().sum((-2, -1)) * g.square().sum((-2, -1))
    return ((a @ a.mT) * (g @ g.mT)).sum((-2, -1))


def _group_norm(layer: nn.GroupNorm, given: Tensor, grad: Tensor) -> dict[Tensor, Part]:
    scaled = F.group_norm(given, layer.num_groups, eps=layer.eps) * grad
    both = ((layer.weight, scaled), (layer.bias, grad))
    return {p: _summed(each.flatten(2).sum(2) if each.ndim > 2 else each) for p, each in both}


Rule = Callable[[Any, Tensor, Tensor], dict[Tensor, Part]]
RULES: dict[type[nn.Module], Rule] = {
    nn.Linear: _linear,
    nn.Conv2d: _convolution,
    nn.GroupNorm: _group_norm,
}


def _rule(layer: nn.Module) -> Rule | None:
    if isinstance(layer, nn.Conv2d) and (
        isinstance(layer.padding, str) or layer.padding_mode != "zeros"
    ):
        return None
    return RULES.get(type(layer))
