"""K networks of one shape that take every step together, in one of several ways."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.func import stack_module_state, vmap
from torch.nn import functional as F

from raymia.training.defense import Batch, Reference
from raymia.training.network import Network, Outputs

# scalars of one model: a loss, or a tree of them
Loss = Callable[[Outputs, Batch, Reference | None, Any], Any]


class Found(NamedTuple):
    """Of a step: losses [K], what else was told of them, the gradients in the shapes of `tensors`,
    and those of what is trained beside, by name; None where the loss does not reach it.

    No losses: that of the labels, where it takes more than its gradient, which is no number where
    it is none.
    """

    losses: Tensor | None
    acted: Any
    grads: list[Tensor]
    beside: dict[str, Tensor | None]


class Backend(Protocol):
    """How the networks are kept and called.

    `template`: one network that says what all of them are made of, and whether they train.
    `params`: what gradients are taken of. `tensors`: the same as [K, ...], for an optimizer
    that moves them in place.
    """

    template: Network
    params: dict[str, Tensor]
    tensors: list[Tensor]

    def map(
        self, loss: Loss, batch: Batch, reference: Batch | None, extra: dict[str, Tensor]
    ) -> Any:
        """Losses [K] of batches [K, B, ...]; `reference` goes through the same network, `extra`
        are [K, ...].
        """

    def step(
        self, loss: Loss | None, batch: Batch, reference: Batch | None, extra: dict[str, Tensor]
    ) -> Found:
        """Losses of batches and their gradients; `loss` says the losses, and a tree of what else
        is to be told of them. None: the cross-entropy of the labels, and nothing else.
        """

    def stacked(self, grads: Sequence[Tensor]) -> list[Tensor]:
        """Gradients of `params` in the shapes of `tensors`."""

    def mask(self, name: str, mask: Tensor) -> None:
        """The mask [K, ...] of the dropout layer of a name, for the next step."""

    def state(self) -> dict[str, Tensor]:
        """All that the networks are, parameters and buffers [K, ...], in the memory in which they
        are kept.
        """

    def nets(self) -> list[Network]:
        """The networks with the values that they have now."""


class Differentiated(ABC):
    """What the ways have in common that leave derivatives to autograd."""

    params: dict[str, Tensor]

    @abstractmethod
    def map(
        self, loss: Loss, batch: Batch, reference: Batch | None, extra: dict[str, Tensor]
    ) -> Any:
        """As in Backend."""

    @abstractmethod
    def logits(self, x: Tensor) -> Tensor:
        """What the networks say [K, B, C] of x [K, B, ...]."""

    def stacked(self, grads: Sequence[Tensor]) -> list[Tensor]:
        return list(grads)

    def step(
        self, loss: Loss | None, batch: Batch, reference: Batch | None, extra: dict[str, Tensor]
    ) -> Found:
        if loss is None:
            losses, acted = self._plain(batch), {}
        else:
            losses, acted = self.map(loss, batch, reference, extra)
        params = list(self.params.values())
        found = gradients(losses, [*params, *extra.values()])
        beside = dict(zip(extra, found[len(params) :], strict=True))
        return Found(losses, acted, self.stacked(filled(found[: len(params)], params)), beside)

    def _plain(self, batch: Batch) -> Tensor:
        """The cross-entropies [K] of all models at once."""
        logits, label = self.logits(batch.x), batch.label
        each = F.cross_entropy(logits.flatten(0, 1), label.flatten(), reduction="none")
        return each.view(label.shape).mean(1)


class Stacked(Differentiated):
    """What the ways have in common that keep all parameters as [K, ...]."""

    def __init__(self, nets: Sequence[Network]) -> None:
        self._nets = list(nets)
        self.template = copy.deepcopy(nets[0])
        params, self.buffers = stack_module_state(self._nets)
        self.params = {name: p.detach().requires_grad_() for name, p in params.items()}
        self.tensors = [p.data for p in self.params.values()]

    def mask(self, name: str, mask: Tensor) -> None:
        self.buffers[f"{name}.mask"] = mask

    def state(self) -> dict[str, Tensor]:
        every = {name: p.data for name, p in self.params.items()} | self.buffers
        return {name: every[name] for name in self.template.state_dict()}

    def nets(self) -> list[Network]:
        values = self.params | self.buffers
        for k, net in enumerate(self._nets):
            net.load_state_dict({name: values[name][k].detach() for name in net.state_dict()})
        return self._nets


def called(loss: Loss, said: Sequence[Outputs], batches: Sequence[Batch], extra: Any) -> Any:
    """The loss of what one network said of a batch, and of a reference batch if there is one."""
    reference = Reference(said[1], batches[1]) if len(said) > 1 else None
    return loss(said[0], batches[0], reference, extra)


def each(
    loss: Loss, said: Sequence[Outputs], batches: Sequence[Batch], extra: dict[str, Tensor]
) -> Any:
    """The losses [K] of what all networks said."""
    return vmap(partial(called, loss))(said, batches, extra)


def with_reference(batch: Batch, reference: Batch | None) -> list[Batch]:
    return [batch] if reference is None else [batch, reference]


def gradients(losses: Tensor, tensors: Sequence[Tensor]) -> list[Tensor | None]:
    """None where the losses do not depend on a tensor."""
    if not losses.requires_grad:
        return [None] * len(tensors)
    return list(torch.autograd.grad(losses.sum(), tensors, allow_unused=True))


def filled(grads: Sequence[Tensor | None], tensors: Sequence[Tensor]) -> list[Tensor]:
    return [torch.zeros_like(t) if g is None else g for g, t in zip(grads, tensors, strict=True)]
