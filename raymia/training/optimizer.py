"""SGD and Adam on stacks of parameters [K, ...], with a mask that leaves single models out of a
step.

torch's own kernels do the arithmetic until a step leaves a model out: they share one step count
and cannot skip one model of a stack.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from raymia.point.schedule import Training

BETA1, BETA2, EPS = 0.9, 0.999, 1e-8


class Optimizer:
    """SGD with momentum, Adam or AMSGrad; weight decay is added to the gradient, as in torch.

    Shapes: tensors and gradients [K, ...]; mask bool [K].
    """

    def __init__(self, tensors: Sequence[Tensor], training: Training, beta2: float = BETA2) -> None:
        self.tensors, self.training, self.beta2 = list(tensors), training, beta2
        self.first = [torch.zeros_like(t) for t in self.tensors]
        adam = training.optimizer in ("adam", "amsgrad")
        self.second = [torch.zeros_like(t) for t in self.tensors] if adam else []
        largest = training.optimizer == "amsgrad"
        self.largest = [torch.zeros_like(t) for t in self.tensors] if largest else []
        self.states = [s for s in (self.first, self.second, self.largest) if s]
        # the fused kernels walk along the memory, and copy gradients that do not look contiguous
        self._orders = [_order(t) for t in self.tensors]
        self._along = [
            [_permuted(t, order) for t, order in zip(each, self._orders, strict=False)]
            for each in (self.tensors, self.first, self.second, self.largest)
        ]
        self._even = True  # whether all models have taken every step
        self.steps = torch.zeros((), device=self.tensors[0].device if self.tensors else None)
        self.count: Tensor | int = 0  # steps taken: of each model, once one was left out

    @torch.no_grad()
    def step(self, grads: Sequence[Tensor], lr: float, mask: Tensor | None = None) -> None:
        """Moves the tensors in place; models where `mask` is False keep their tensors and their
        state.
        """
        if mask is not None and bool(mask.all()):
            mask = None
        self.count = self.count + (1 if mask is None else mask)
        self._even = self._even and mask is None
        if self._even:
            self._fused(grads, lr)
            return
        for i, (tensor, grad) in enumerate(zip(self.tensors, grads, strict=True)):
            if self.training.weight_decay:
                grad = grad.add(tensor, alpha=self.training.weight_decay)
            old = [s[i].clone() for s in self.states] if mask is not None else []
            move = self._adam(i, grad) if self.second else self._sgd(i, grad)
            if mask is None:
                tensor.sub_(move, alpha=lr)
                continue
            on = mask.view(-1, *(1,) * (tensor.ndim - 1))
            tensor.sub_(move * on, alpha=lr)
            for state, before in zip(self.states, old, strict=True):
                state[i].copy_(torch.where(on, state[i], before))

    def _fused(self, grads: Sequence[Tensor], lr: float) -> None:
        """A step of all models, which took every step before: torch's kernels, which read and
        write each number once.
        """
        t, decay = self.training, self.training.weight_decay
        tensors, first, second, largest = self._along
        along = [
            _laid(g, like, order)
            for g, like, order in zip(grads, self.tensors, self._orders, strict=True)
        ]
        if second:
            self.steps += 1
            torch._fused_adam_(
                tensors,
                along,
                first,
                second,
                largest,
                [self.steps] * len(along),
                lr=lr,
                beta1=BETA1,
                beta2=self.beta2,
                weight_decay=decay,
                eps=EPS,
                amsgrad=bool(largest),
                maximize=False,
            )
        else:
            torch._fused_sgd_(
                tensors,
                along,
                first if t.momentum else [],
                weight_decay=decay,
                momentum=t.momentum,
                lr=lr,
                dampening=0.0,
                nesterov=False,
                maximize=False,
                is_first_step=False,
            )

    def _sgd(self, i: int, grad: Tensor) -> Tensor:
        return self.first[i].mul_(self.training.momentum).add_(grad)

    def _adam(self, i: int, grad: Tensor) -> Tensor:
        m = self.first[i].mul_(BETA1).add_(grad, alpha=1 - BETA1)
        v = self.second[i].mul_(self.beta2).addcmul_(grad, grad, value=1 - self.beta2)
        if self.largest:  # Reddi et al., On the Convergence of Adam and Beyond, ICLR 2018
            v = self.largest[i].copy_(torch.maximum(self.largest[i], v))
        assert isinstance(self.count, Tensor)
        t = self.count.clamp(min=1).to(grad.dtype).view(-1, *(1,) * (grad.ndim - 1))
        return (m / (1 - BETA1**t)) / ((v / (1 - self.beta2**t)).sqrt() + EPS)


def _order(tensor: Tensor) -> list[int] | None:
    """Its axes from the widest stride to the narrowest; None where they stand so."""
    if tensor.is_contiguous():
        return None
    return sorted(range(tensor.ndim), key=tensor.stride, reverse=True)


def _laid(grad: Tensor, like: Tensor, order: list[int] | None) -> Tensor:
    """The gradient in memory as the tensor is, and contiguous to look at."""
    own = grad if grad.stride() == like.stride() else torch.empty_like(like).copy_(grad)
    return _permuted(own, order)


def _permuted(tensor: Tensor, order: list[int] | None) -> Tensor:
    return tensor if order is None else tensor.permute(order)
