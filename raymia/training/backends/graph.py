"""A step of the usual loss on a GPU as one graph: what is launched kernel by kernel the first time
is replayed at once, which is what small networks on large GPUs wait for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from raymia.training.backends.backend import Backend, Found, Loss
from raymia.training.defense import Batch
from raymia.training.modules import Dropout

# what a function returned at its capture, and how it is filled anew
Captured = tuple[Found, Callable[[], None]]


class Graph:
    """Another backend, whose steps of the usual loss are captured once and replayed.

    The other steps (a loss of a defense, a last batch that is smaller, masks of dropout, which are
    drawn outside) are taken by the other backend as they are.
    """

    def __init__(self, inner: Backend, capture: Callable[[Callable[[], Found]], Captured]) -> None:
        self._inner, self._capture = inner, capture
        self._fixed = not any(isinstance(m, Dropout) for m in inner.template.modules())
        self._batch: Batch | None = None
        self._captured: Captured | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def step(
        self, loss: Loss | None, batch: Batch, reference: Batch | None, extra: dict[str, Tensor]
    ) -> Found:
        inner = self._inner
        if loss is not None or not self._fixed:
            return inner.step(loss, batch, reference, extra)
        if self._captured is None:
            mine = self._batch = Batch(*(t.clone() for t in batch))
            # a step moves the statistics of BatchNorm; its capture must not
            state = {name: t.clone() for name, t in inner.state().items()}
            self._captured = self._capture(lambda: inner.step(None, mine, None, {}))
            for name, now in inner.state().items():
                now.copy_(state[name])
        assert self._batch is not None
        if batch.x.shape != self._batch.x.shape:
            return inner.step(None, batch, None, {})
        for kept, new in zip(self._batch, batch, strict=True):
            kept.copy_(new)
        found, replay = self._captured
        replay()
        return found


def captured(step: Callable[[], Found]) -> Captured:
    """By CUDA: three steps beside, as torch's notes ask, then one that is recorded, not taken.

    Source: torch's notes on CUDA graphs.
    """
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = step()
    return found, graph.replay
