"""Networks of linear layers, and of what acts on single numbers or vectors: all K weights
multiply at once.

Where a layer is too small to fill a core, that is several times faster. There the book-keeping of
autograd costs as much as the products, so the derivatives of the usual layers are written out;
autograd is asked for those of single other ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from raymia.training.backends.backend import (
    Found,
    Loss,
    Stacked,
    each,
    filled,
    gradients,
    with_reference,
)
from raymia.training.backends.products import Then, activated, affine, of_rows, of_weight
from raymia.training.defense import Batch
from raymia.training.modules import Dropout, LinearNorm, Normalise, SphereClip
from raymia.training.network import Network, Outputs

# they see no difference between [B, ...] and [K, B, ...]
_POINTWISE = (nn.ReLU, nn.Tanh, nn.GELU, nn.Identity, SphereClip)
_LAYERS = (nn.Sequential, nn.Flatten, nn.Linear, LinearNorm, Dropout)
_KNOWN = (Network, Normalise, *_LAYERS, *_POINTWISE)
_THEN: dict[type[nn.Module], Then] = {nn.ReLU: "relu", nn.Tanh: "tanh"}


class _Layer(NamedTuple):
    name: str
    module: nn.Module


class Wide(Stacked):
    """A backend of K networks."""

    def __init__(self, nets: Sequence[Network]) -> None:
        super().__init__(nets)
        backbone = list(_flat("backbone", self.template.backbone))
        self._layers = [*backbone, *_flat("head", self.template.head)]
        self._cut = len(backbone)
        trained = [i for i, one in enumerate(self._layers) if isinstance(one.module, nn.Linear)]
        self._first = trained[0]  # nothing before it has a gradient
        # what acts on what a linear layer says, where nobody else reads that
        self._then = {
            i: _THEN[type(after.module)]
            for i, after in enumerate(self._layers[1:])
            if i in trained and i + 1 != self._cut and type(after.module) in _THEN
        }

    def map(
        self, loss: Loss, batch: Batch, reference: Batch | None, extra: dict[str, Tensor]
    ) -> Any:
        batches = with_reference(batch, reference)
        return each(
            loss, [self.template.outputs(b.x, self._outputs) for b in batches], batches, extra
        )

    def logits(self, x: Tensor) -> Tensor:
        return self.template.outputs(x, self._outputs).logits

    def step(
        self, loss: Loss | None, batch: Batch, reference: Batch | None, extra: dict[str, Tensor]
    ) -> Found:
        if self.template.rounded:
            return super().step(loss, batch, reference, extra)
        batches = with_reference(batch, reference)
        with torch.no_grad():
            every = [self._through(self._normalised(b.x), consumed=True) for b in batches]
            if loss is None:
                slope = of_cross_entropy(every[0][-1], batch.target)
                return Found(None, {}, self._back(every, [slope], [None]), {})
        said = [
            Outputs(*(t.detach().requires_grad_() for t in (kept[-1], kept[self._cut])))
            for kept in every
        ]
        losses, acted = each(loss, said, batches, extra)
        leaves = [*(o.logits for o in said), *(o.features for o in said)]
        found = gradients(losses, [*leaves, *extra.values()])
        logits, features = found[: len(said)], found[len(said) : len(leaves)]
        beside = dict(zip(extra, found[len(leaves) :], strict=True))
        with torch.no_grad():
            return Found(losses, acted, self._back(every, logits, features), beside)

    def _outputs(self, x: Tensor) -> Outputs:
        kept = self._through(self._normalised(x))
        return Outputs(kept[-1], kept[self._cut])

    def _normalised(self, x: Tensor) -> Tensor:
        """By the constants of each model: [K, ...] for x [K, B, ...]."""
        if not isinstance(self.template.normalise, Normalise):
            return x
        mean, std = (self.buffers[f"normalise.{name}"].unsqueeze(1) for name in ("mean", "std"))
        out: Tensor = (x - mean) / std
        return out

    def _through(self, x: Tensor, consumed: bool = False) -> list[Tensor]:
        """What goes into each layer [K, B, ...], and at the end what comes out of the last.

        `consumed`: what a linear layer said is overwritten by what acts on it, which `_back` asks
        for alone; without autograd.
        """
        kept = [x]
        for i, (name, module) in enumerate(self._layers):
            if isinstance(module, nn.Linear):
                rows, weight = _rows(x), self._weight(name, module)
                bias = self.params.get(f"{name}.bias")
                if consumed:
                    out = activated(rows, weight, bias, self._then.get(i, "none"))
                else:
                    out = affine(rows, weight, bias)
                x = out if x.ndim == 3 else out.reshape(*x.shape[:-1], -1)
            elif consumed and i - 1 in self._then:
                pass  # it has acted
            elif isinstance(module, Dropout):
                x = x * self.buffers[f"{name}.mask"] if module.training else x
            else:
                x = x.flatten(2) if isinstance(module, nn.Flatten) else module(x)
            kept.append(x)
        return kept

    def _weight(self, name: str, module: nn.Linear) -> Tensor:
        """As the layer uses it."""
        weight = self.params[f"{name}.weight"]
        return module.normed(weight) if isinstance(module, LinearNorm) else weight

    def _back(
        self,
        every: Sequence[Sequence[Tensor]],
        logits: Sequence[Tensor | None],
        features: Sequence[Tensor | None],
    ) -> list[Tensor]:
        """Gradients of the parameters from those of what the networks said of each batch."""
        sums: dict[str, Tensor] = {}
        for kept, last, inner in zip(every, logits, features, strict=True):
            if last is None and inner is None:
                continue
            for name, grad in self._back_one(kept, last, inner):
                sums[name] = sums[name].add_(grad) if name in sums else grad
        return filled([sums.get(name) for name in self.params], list(self.params.values()))

    def _back_one(
        self, kept: Sequence[Tensor], logits: Tensor | None, features: Tensor | None
    ) -> Iterator[tuple[str, Tensor]]:
        grad = torch.zeros_like(kept[-1]) if logits is None else logits
        mine = False  # whether nobody else sees this memory
        for i in range(len(self._layers) - 1, self._first - 1, -1):
            if i == self._cut - 1 and features is not None:
                grad = grad + features
            (name, module), x, out = self._layers[i], kept[i], kept[i + 1]
            if isinstance(module, nn.Linear):
                rows, sides = _rows(x), _rows(grad)
                moved = of_weight(sides, rows)
                if isinstance(module, LinearNorm):
                    moved = _pulled(module.normed, self.params[f"{name}.weight"], moved)
                yield f"{name}.weight", moved
                if module.bias is not None:
                    yield f"{name}.bias", sides.sum(1)
                if i > self._first:
                    weight = self._weight(name, module)
                    inner = of_rows(sides, weight)
                    grad, mine = inner if x.ndim == 3 else inner.reshape(x.shape), True
            elif isinstance(module, nn.ReLU):
                own = grad if mine else torch.empty_like(grad)
                grad = torch.ops.aten.threshold_backward.grad_input(grad, out, 0, grad_input=own)
            elif isinstance(module, nn.Tanh):
                grad = torch.ops.aten.tanh_backward(grad, out)
            elif isinstance(module, nn.Flatten):
                grad = grad.reshape(x.shape)
            elif isinstance(module, Dropout):
                grad = grad * self.buffers[f"{name}.mask"] if module.training else grad
            elif not isinstance(module, nn.Identity):
                grad = _pulled(module, x, grad)


def of_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """The gradient [K, B, C] of the sum of the K mean cross-entropies of logits [K, B, C] for
    targets [K, B, C] that sum to 1. Of few classes, which `affine` says in columns, in columns:
    torch's softmax of rows of ten takes ten times as long. Its exp of what is far below 0 is fast,
    unlike `exp`.
    """
    if logits.is_contiguous():
        return logits.softmax(2).sub_(target).div_(target.shape[1])
    said, wanted = logits.transpose(1, 2), target.transpose(1, 2)
    return said.softmax(1).sub_(wanted).div_(target.shape[1]).transpose(1, 2)


def can_be_wide(net: Network) -> bool:
    """Whether every module is one that `_through` knows, and stands in one place alone."""
    modules = list(net.modules())
    known = all(
        type(m) in _KNOWN
        and not (isinstance(m, nn.Flatten) and (m.start_dim, m.end_dim) != (1, -1))
        for m in modules
    )
    return known and len(modules) == len(list(net.named_modules(remove_duplicate=False)))


def _flat(name: str, module: nn.Module) -> Iterator[_Layer]:
    """The layers in the order in which they act."""
    if not isinstance(module, nn.Sequential):
        yield _Layer(name, module)
        return
    for child, part in module.named_children():
        yield from _flat(f"{name}.{child}", part)


def _pulled(function: Callable[[Tensor], Tensor], x: Tensor, grad: Tensor) -> Tensor:
    """The gradient of x from that of function(x), by autograd."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        return torch.autograd.grad(function(x), x, grad)[0]


def _rows(x: Tensor) -> Tensor:
    return x if x.ndim == 3 else x.reshape(len(x), -1, x.shape[-1])
