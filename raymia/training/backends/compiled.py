"""The plain loop with the network compiled by torch: its small layers are fused into fewer passes
over memory.

Whoever wants it asks for it: it needs a C++ compiler, takes minutes at first (torch keeps what it
compiled, in TORCHINDUCTOR_CACHE_DIR), and rounds as the compiler likes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from raymia.training.backends.loop import Loop
from raymia.training.network import Network, Outputs


class Compiled(Loop):
    """A backend of one network. `by`: torch.compile's backend."""

    def __init__(self, net: Network, by: str = "inductor") -> None:
        super().__init__(net)
        self._call = torch.compile(net._outputs, dynamic=False, backend=by)

    def _outputs(self, x: Tensor) -> Outputs:
        said: Outputs = self.template.outputs(x, self._call)
        return said
