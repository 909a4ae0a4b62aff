"""Networks of any kind: one network's loss mapped over stacked parameters by vmap."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.func import functional_call, vmap

from raymia.training.backends.backend import Loss, Stacked, called, with_reference
from raymia.training.defense import Batch
from raymia.training.network import Outputs


class Mapped(Stacked):
    """A backend of K networks."""

    def map(
        self, loss: Loss, batch: Batch, reference: Batch | None, extra: dict[str, Tensor]
    ) -> Any:
        def mapped(params: Any, buffers: Any, batches: list[Batch], extra: Any) -> Any:
            said = [functional_call(self.template, (params, buffers), (b.x,)) for b in batches]
            return called(loss, said, batches, extra)

        return vmap(mapped)(self.params, self.buffers, with_reference(batch, reference), extra)

    def logits(self, x: Tensor) -> Tensor:
        def said(params: Any, buffers: Any, own: Tensor) -> Tensor:
            out: Outputs = functional_call(self.template, (params, buffers), (own,))
            return out.logits

        found: Tensor = vmap(said)(self.params, self.buffers, x)
        return found
