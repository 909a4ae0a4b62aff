"""K networks of one shape that take every step together, in one of several ways."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from torch import Tensor
from torch.func import stack_module_state, vmap

from raymia.training.defense import Batch, Reference
from raymia.training.network import Network, Outputs

# scalars of one model: a loss, or a tree of them
Loss = Callable[[Outputs, Batch, Reference | None, Any], Any]


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

    def logits(self, x: Tensor) -> Tensor:
        """What the networks say [K, B, C] of x [K, B, ...]."""

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


class Stacked:
    """What the ways have in common that keep all parameters as [K, ...]."""

    def __init__(self, nets: Sequence[Network]) -> None:
        self._nets = list(nets)
        self.template = copy.deepcopy(nets[0])
        params, self.buffers = stack_module_state(self._nets)
        self.params = {name: self.kept(p).detach().requires_grad_() for name, p in params.items()}
        self.tensors = [p.data for p in self.params.values()]

    def kept(self, param: Tensor) -> Tensor:
        """A parameter [K, ...] in the form in which it is kept, and back."""
        return param

    def stacked(self, grads: Sequence[Tensor]) -> list[Tensor]:
        return list(grads)

    def mask(self, name: str, mask: Tensor) -> None:
        self.buffers[f"{name}.mask"] = mask

    def state(self) -> dict[str, Tensor]:
        every = {name: p.data for name, p in self.params.items()} | self.buffers
        return {name: every[name] for name in self.template.state_dict()}

    def nets(self) -> list[Network]:
        values = {name: self.kept(p) for name, p in self.params.items()} | self.buffers
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
