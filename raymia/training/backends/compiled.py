"""The plain loop with the network compiled by torch: its small layers are fused into fewer passes
over memory.

Whoever wants it asks for it: it needs a C++ compiler, takes a minute at first (torch keeps what it
compiled, in TORCHINDUCTOR_CACHE_DIR), and rounds as the compiler likes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable

import torch
from torch import Tensor

from raymia.training.backends.loop import Loop
from raymia.training.network import Network, Outputs

_PLAIN = (bool, int, float, str, tuple, type(None))


_AT_MOST = 2  # of up to four graphs each: whole and last batches, in training and not
# build, compiler -> a network and what was compiled of it
_kept: dict[Hashable, tuple[Network, Callable[[Tensor], Outputs]]] = {}


class Compiled(Loop):
    """A backend of one network. `by`: torch.compile's backend.

    What is compiled stays for the next network of the same build, whose weights it takes: torch
    compiles eight graphs of one function, and leaves the ninth as it is.
    """

    def __init__(self, net: Network, by: str = "inductor") -> None:
        key = (_build(net), by)
        if key not in _kept:
            if len(_kept) == _AT_MOST:
                _kept.clear()
                torch._dynamo.reset()
            own = copy.deepcopy(net)
            _kept[key] = own, torch.compile(own._outputs, dynamic=False, backend=by)
        own, self._call = _kept[key]
        own.load_state_dict(net.state_dict())
        super().__init__(own)
        self._net = net

    def nets(self) -> list[Network]:
        self._net.load_state_dict(self.template.state_dict())
        return [self._net]

    def _outputs(self, x: Tensor) -> Outputs:
        said: Outputs = self.template.outputs(x, self._call)
        return said


def _build(net: Network) -> Hashable:
    """All that two networks must share to be one to the compiler."""
    modules = tuple(
        (name, type(m), *((k, v) for k, v in sorted(vars(m).items()) if isinstance(v, _PLAIN)))
        for name, m in net.named_modules()
    )
    tensors = tuple((k, t.shape, t.dtype, str(t.device)) for k, t in net.state_dict().items())
    return modules, tensors
