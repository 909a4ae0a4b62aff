"""Many small perceptrons for a question of two answers: the networks of attacks.

Their layers are so small that a step of `fit` is mostly book-keeping. Here all K networks stand in
one flat buffer, their derivatives are written out, and an optimizer moves them in one call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raymia.point.schedule import Training
from raymia.streams import seed_of, stream
from raymia.training.batches import cut
from raymia.training.defense import Batch, Clock, Defense, Lesson, Predictor
from raymia.training.fit import fit, seeded
from raymia.training.group import Diverged
from raymia.training.model import Build, Model
from raymia.training.modules import Dropout
from raymia.training.network import Network, Outputs
from raymia.training.optimizer import BETA2, Optimizer

Ints = np.ndarray[Any, np.dtype[np.int64]]
_KNOWN = (nn.Sequential, nn.Linear, nn.ReLU, Dropout)


def learn(
    recipe: Defense,
    build: Build,
    lesson: Lesson,
    training: Training,
    key: tuple[object, ...],
    models: Sequence[int],
    beta2: float = BETA2,
) -> list[Predictor]:
    """What `fit` does under a recipe of a criterion at most: perceptrons in one buffer, other
    networks by `fit` itself.

    `beta2`: how long a perceptron's Adam remembers squared gradients. Raises Diverged.
    """
    nets = [seeded(build, seed_of(*key, "init", m)) for m in models]
    if not is_perceptron(nets[0]):
        return fit(recipe, build, lesson, training, key, models)
    sizes = [len(own) for own in lesson.members]
    for size in set(sizes):
        rows = [k for k, own in enumerate(sizes) if own == size]
        group = _Group([nets[k] for k in rows], recipe, training, beta2)
        members = np.stack([lesson.members[k] for k in rows])
        group.train(lesson, members, key, [models[k] for k in rows])
    return [Model(net.eval().requires_grad_(False), torch.float32) for net in nets]


def is_perceptron(net: Network) -> bool:
    """Whether it is one with two outputs."""
    modules = [*net.backbone.modules(), *net.head.modules()]
    layers = [m for m in modules if not isinstance(m, nn.Sequential)]
    return (
        net.classes == 2
        and isinstance(net.normalise, nn.Identity)
        and all(type(m) in _KNOWN for m in modules)
        and isinstance(layers[0], nn.Linear)
        and all(m.bias is not None for m in layers if isinstance(m, nn.Linear))
    )


class _Group:
    """K networks of one shape. `flat` [1, P] holds the parameters of all of them, `grad` what is
    found of each: layer by layer, [K, in, out] and [K, 1, out].
    """

    def __init__(
        self, nets: Sequence[Network], recipe: Defense, training: Training, beta2: float
    ) -> None:
        self._nets, self._recipe, self._training = nets, recipe, training
        total = sum(p.numel() for net in nets for p in net.parameters())
        self._flat, self._grad = torch.zeros(1, total), torch.zeros(1, total)
        self._optimizer = Optimizer([self._flat], training, beta2)
        self._layers: list[_Affine] = []
        self._read(nets[0].backbone)
        self._read(nets[0].head)
        self._move(into=True)

    def train(
        self, lesson: Lesson, members: Ints, key: tuple[object, ...], models: Sequence[int]
    ) -> None:
        """On members [K, N] of a lesson, batch by batch. Raises Diverged."""
        orders = [stream(*key, "batches", m) for m in models]
        masks = [stream(*key, "dropout", m) for m in models]
        training = self._training
        for epoch in range(training.run_epochs):
            order = np.stack([r.permutation(own) for r, own in zip(orders, members, strict=True)])
            steps = [torch.as_tensor(rows) for rows in cut(order, training.batch_size)]
            clock = Clock(epoch, training.run_epochs, epoch * len(steps))
            for i, rows in enumerate(steps):
                for layer in self._layers:
                    layer.draw(masks, rows.shape[1])
                logits = _forward(self._layers, lesson.x[rows])
                _backward(self._layers, self._slope(logits, lesson.y[rows], clock))
                self._optimizer.step([self._grad], training.lr_at(epoch, (i + 1) / len(steps)))
            if not torch.isfinite(self._flat.sum()):
                raise Diverged(f"an attacker's network is not a number after epoch {epoch + 1}")
        self._move(into=False)

    def _slope(self, logits: Tensor, label: Tensor, clock: Clock) -> Tensor:
        """The gradient [K, B, 2] of the sum of the mean losses."""
        if self._recipe.owns("criterion"):
            logits.requires_grad_()
            batch = Batch(logits, F.one_hot(label, 2).to(logits.dtype), label)
            losses = self._recipe.criterion(Outputs(logits, logits), batch, clock)
            return torch.autograd.grad(losses.mean(1).sum(), logits)[0]
        wrong = torch.sigmoid(logits[..., 1] - logits[..., 0]).sub_(label).div_(label.shape[1])
        return torch.stack((-wrong, wrong), -1)

    def _read(self, module: nn.Module) -> None:
        """Each linear layer in the order in which they act, with its place in `flat`."""
        if isinstance(module, nn.Sequential):
            for part in module:
                self._read(part)
        elif isinstance(module, nn.Linear):
            at = sum(layer.numel for layer in self._layers)
            self._layers.append(_Affine(self._flat, self._grad, at, len(self._nets), module))
        else:  # ReLU or dropout, which acts on the layer before it
            before = self._layers[-1]
            before.positive |= isinstance(module, nn.ReLU)
            before.drop = module.p if isinstance(module, Dropout) else before.drop

    def _move(self, into: bool) -> None:
        """Parameters of the networks into the buffer, or back."""
        with torch.no_grad():
            for k, net in enumerate(self._nets):
                linear = [m for m in net.modules() if isinstance(m, nn.Linear)]
                for layer, own in zip(self._layers, linear, strict=True):
                    pairs = ((layer.weight[k], own.weight.T), (layer.bias[k, 0], own.bias))
                    for here, there in pairs:
                        here.copy_(there) if into else there.copy_(here)


class _Affine:
    """One layer of all networks, with the ReLU and the dropout behind it."""

    def __init__(self, flat: Tensor, grad: Tensor, at: int, models: int, module: nn.Linear) -> None:
        self._shape = (models, module.in_features, module.out_features)
        self.numel = models * (module.in_features + 1) * module.out_features
        self.weight, self.bias = self._views(flat, at)
        self._of_weight, self._of_bias = self._views(grad, at)
        self.positive, self.drop = False, 0.0
        self._mask: Tensor | None = None

    def _views(self, buffer: Tensor, at: int) -> tuple[Tensor, Tensor]:
        models, inside, outside = self._shape
        weight, bias = torch.split(
            buffer[0, at : at + self.numel], [models * inside * outside, models * outside]
        )
        return weight.view(self._shape), bias.view(models, 1, outside)

    def draw(self, rngs: Sequence[np.random.Generator], batch: int) -> None:
        """The next batch's mask; nothing without dropout."""
        if not self.drop:
            return
        shape, floor = (batch, self._shape[-1]), round(self.drop * (1 << 16))
        kept = np.stack([rng.integers(0, 1 << 16, shape, np.uint16) >= floor for rng in rngs])
        self._mask = torch.from_numpy(kept).float().div_(1 - self.drop)

    def forward(self, x: Tensor) -> Tensor:
        self._x = x
        out = torch.baddbmm(self.bias, x, self.weight)
        if self.positive:
            out = out.relu_()
        if self._mask is not None:
            out = out.mul_(self._mask)
        self._out = out
        return out

    def backward(self, grad: Tensor, further: bool) -> Tensor:
        if self._mask is not None:
            grad = grad.mul_(self._mask)
        if self.positive:  # where dropout left 0, the gradient is 0 already
            grad = torch.ops.aten.threshold_backward(grad, self._out, 0)
        torch.bmm(self._x.transpose(1, 2), grad, out=self._of_weight)
        torch.sum(grad, 1, keepdim=True, out=self._of_bias)
        return torch.bmm(grad, self.weight.transpose(1, 2)) if further else grad


def _forward(layers: Sequence[_Affine], x: Tensor) -> Tensor:
    for layer in layers:
        x = layer.forward(x)
    return x


def _backward(layers: Sequence[_Affine], grad: Tensor) -> None:
    """Into the gradients of all layers."""
    for i in range(len(layers) - 1, -1, -1):
        grad = layers[i].backward(grad, further=i > 0)
