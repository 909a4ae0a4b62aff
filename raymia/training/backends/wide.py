"""Networks of linear layers, and of what acts on single numbers or vectors: all K weights
multiply at once.

Where a layer is too small to fill a core, that is several times faster.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from raymia.training.backends.backend import Loss, Stacked, each, with_reference
from raymia.training.defense import Batch
from raymia.training.modules import Dropout, LinearNorm, Normalise, SphereClip
from raymia.training.network import Network, Outputs

# they see no difference between [B, ...] and [K, B, ...]
_POINTWISE = (nn.ReLU, nn.Tanh, nn.GELU, nn.Identity, SphereClip)
_LAYERS = (nn.Sequential, nn.Flatten, nn.Linear, LinearNorm, Dropout)
_KNOWN = (Network, Normalise, *_LAYERS, *_POINTWISE)


class Wide(Stacked):
    """A backend of K networks."""

    def kept(self, param: Tensor) -> Tensor:
        # [K, out, in] as [K, in, out]: the gradient of a product with a transposed weight is
        # strided, and slow to add
        return param.transpose(1, 2).contiguous() if param.ndim == 3 else param

    def map(
        self, loss: Loss, batch: Batch, reference: Batch | None, extra: dict[str, Tensor]
    ) -> Any:
        batches = with_reference(batch, reference)
        return each(
            loss, [self.template.outputs(b.x, self._outputs) for b in batches], batches, extra
        )

    def logits(self, x: Tensor) -> Tensor:
        return self.template.outputs(x, self._outputs).logits

    def _outputs(self, x: Tensor) -> Outputs:
        net = self.template
        features = self._through(net.backbone, "backbone", self._normalised(x))
        return Outputs(self._through(net.head, "head", features), features)

    def _normalised(self, x: Tensor) -> Tensor:
        """By the constants of each model: [K, ...] for x [K, B, ...]."""
        if not isinstance(self.template.normalise, Normalise):
            return x
        mean, std = (self.buffers[f"normalise.{name}"].unsqueeze(1) for name in ("mean", "std"))
        out: Tensor = (x - mean) / std
        return out

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


def can_be_wide(net: Network) -> bool:
    """Whether every module is one that `_through` knows, and stands in one place alone."""
    modules = list(net.modules())
    known = all(
        type(m) in _KNOWN
        and not (isinstance(m, nn.Flatten) and (m.start_dim, m.end_dim) != (1, -1))
        for m in modules
    )
    return known and len(modules) == len(list(net.named_modules(remove_duplicate=False)))
