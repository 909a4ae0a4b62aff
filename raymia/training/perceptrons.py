"""Many small perceptrons for a question of two answers: the networks of attacks.

Their layers are so small that a step of `fit` is mostly book-keeping. Here all K networks stand in
one flat buffer, their derivatives are written out, and an optimizer moves them in one call. What
follows the last activation is linear and ends in one number, the log-odds of the second answer:
of a batch it needs one product of a matrix and a vector.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raymia.point.schedule import Training
from raymia.streams import seed_of, stream
from raymia.training.batches import edges, taken
from raymia.training.defense import Batch, Clock, Defense, Lesson, Predictor
from raymia.training.fit import fit, seeded
from raymia.training.group import Diverged
from raymia.training.model import Build, Model
from raymia.training.modules import Dropout
from raymia.training.network import Network, Outputs
from raymia.training.optimizer import BETA2, Optimizer

Ints = np.ndarray[Any, np.dtype[np.int64]]
_KNOWN = (nn.Sequential, nn.Linear, nn.ReLU, Dropout)
_AHEAD = 16  # batches


def learn(
    recipe: Defense,
    build: Build,
    lesson: Lesson,
    training: Training,
    key: tuple[object, ...],
    models: Sequence[int],
    beta2: float = BETA2,
    together: Ints | None = None,
) -> list[Predictor]:
    """What `fit` does under a recipe of a criterion of the softmax at most: perceptrons in one
    buffer, other networks by `fit` itself.

    `beta2`: how long a perceptron's Adam remembers squared gradients. `together` [N]: rows of the
    lesson with the same number follow one another in every epoch of a perceptron. Raises Diverged.
    """
    nets = [seeded(build, seed_of(*key, "init", m)) for m in models]
    if not is_perceptron(nets[0]):
        return fit(recipe, build, lesson, training, key, models)
    sizes = [len(own) for own in lesson.members]
    for size in set(sizes):
        rows = [k for k, own in enumerate(sizes) if own == size]
        group = _Group([nets[k] for k in rows], recipe, training, beta2)
        members = np.stack([lesson.members[k] for k in rows])
        group.train(lesson, members, key, [models[k] for k in rows], together)
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
        bent = max((i + 1 for i, at in enumerate(self._layers) if at.bends), default=0)
        self._body, self._tail = self._layers[:bent], _Tail(self._layers[bent:])

    def train(
        self,
        lesson: Lesson,
        members: Ints,
        key: tuple[object, ...],
        models: Sequence[int],
        together: Ints | None = None,
    ) -> None:
        """On members [K, N] of a lesson, batch by batch. Raises Diverged."""
        streams = [stream(*key, "batches", m) for m in models]
        orders = [
            _Order(rng, own, None if together is None else together[own])
            for rng, own in zip(streams, members, strict=True)
        ]
        masks = [stream(*key, "dropout", m) for m in models]
        training, label = self._training, lesson.y.to(lesson.x.dtype)
        for epoch in range(training.run_epochs):
            drawn = np.stack([order.draw() for order in orders])
            every = drawn.shape[1]
            sizes = np.diff([0, *edges(every, training.batch_size), every]).tolist()
            clock, lr = Clock(epoch, training.run_epochs, epoch * len(sizes)), training.lr_at(epoch)
            for i, (x, y) in enumerate(_fed(drawn, sizes, lesson.x, label)):
                for layer in self._body:
                    layer.draw(masks, x.shape[1])
                self.backward(self._slope(self.forward(x), y, clock))
                if epoch < training.warmup:
                    lr = training.lr_at(epoch, (i + 1) / len(sizes))
                self._optimizer.step([self._grad], lr)
            if not torch.isfinite(self._flat.sum()):
                raise Diverged(f"an attacker's network is not a number after epoch {epoch + 1}")
        self._move(into=False)

    def forward(self, x: Tensor) -> Tensor:
        """Features [K, B, F] -> log-odds [K, B, 1] of the second answer."""
        for layer in self._body:
            x = layer.forward(x)
        return self._tail.forward(x)

    def backward(self, slope: Tensor) -> None:
        """From the slopes [K, B, 1] of the log-odds into the gradients of all layers."""
        grad = self._tail.backward(slope)
        for i in range(len(self._body) - 1, -1, -1):
            grad = self._body[i].backward(grad, further=i > 0)

    def _slope(self, odds: Tensor, label: Tensor, clock: Clock) -> Tensor:
        """The gradient [K, B, 1] of the sum of the mean losses; labels [K, B] are 0.0 or 1.0."""
        if self._recipe.owns("criterion"):
            half = (odds / 2).requires_grad_()
            logits, of = torch.cat((-half, half), -1), label.long()
            batch = Batch(logits, F.one_hot(of, 2).to(logits.dtype), of)
            losses = self._recipe.criterion(Outputs(logits, logits), batch, clock)
            return torch.autograd.grad(losses.mean(1).sum(), half)[0].div_(2)
        return odds.sigmoid_().sub_(label.unsqueeze(-1)).div_(label.shape[1])

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
        self.of_weight, self.of_bias = self._views(grad, at)
        self.positive, self.drop = False, 0.0
        self._mask: Tensor | None = None

    def _views(self, buffer: Tensor, at: int) -> tuple[Tensor, Tensor]:
        models, inside, outside = self._shape
        weight, bias = torch.split(
            buffer[0, at : at + self.numel], [models * inside * outside, models * outside]
        )
        return weight.view(self._shape), bias.view(models, 1, outside)

    @property
    def bends(self) -> bool:
        """Whether something not linear follows."""
        return self.positive or self.drop > 0

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
            grad = torch.ops.aten.threshold_backward.grad_input(grad, self._out, 0, grad_input=grad)
        torch.bmm(self._x.transpose(1, 2), grad, out=self.of_weight)
        torch.sum(grad, 1, keepdim=True, out=self.of_bias)
        return torch.bmm(grad, self.weight.transpose(1, 2)) if further else grad


class _Tail:
    """The linear layers behind the last activation: W_1 to W_n, b_1 to b_n, of which the second
    output less the first counts.

    With r_n = (-1, 1) and r_{i-1} = W_i r_i the log-odds are x r_0 + sum_i b_i r_i. Of a batch
    with slopes g, let l_0 = g x, t = sum g and l_i = l_{i-1} W_i + t b_i; then the gradient of W_i
    is the outer product of l_{i-1} and r_i, that of b_i is t r_i, and that of x that of g and r_0.
    """

    def __init__(self, layers: Sequence[_Affine]) -> None:
        self._layers = layers
        self._sign = (
            layers[-1].weight.new_tensor([[-1.0], [1.0]]).expand(len(layers[-1].weight), 2, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        self._x, right = x, [self._sign]
        for layer in reversed(self._layers):
            right.append(torch.bmm(layer.weight, right[-1]))
        self._right = right[::-1]
        shift = [
            torch.bmm(layer.bias, r) for layer, r in zip(self._layers, self._right[1:], strict=True)
        ]
        # one row by many columns: by one column the same product takes three times as long
        row, columns = self._right[0].transpose(1, 2), x.transpose(1, 2)
        return torch.baddbmm(sum(shift[1:], shift[0]), row, columns).transpose(1, 2)

    def backward(self, slope: Tensor) -> Tensor:
        """[K, B, 1] -> the gradient [K, B, F] of what came in."""
        left, total = torch.bmm(slope.transpose(1, 2), self._x), slope.sum(1, keepdim=True)
        for i, (layer, r) in enumerate(zip(self._layers, self._right[1:], strict=True)):
            if i:
                before = self._layers[i - 1]
                left = torch.baddbmm(total * before.bias, left, before.weight)
            torch.mul(left.transpose(1, 2), r.transpose(1, 2), out=layer.of_weight)
            torch.mul(total, r.transpose(1, 2), out=layer.of_bias)
        return slope * self._right[0].transpose(1, 2)


def _fed(
    drawn: Ints, sizes: list[int], x: Tensor, label: Tensor
) -> Iterator[tuple[Tensor, Tensor]]:
    """Features [K, B, F] and labels [K, B] of batches of these sizes, taken some at a time."""
    start = 0
    for i in range(0, len(sizes), _AHEAD):
        own = sizes[i : i + _AHEAD]
        rows = torch.as_tensor(drawn[:, start : start + sum(own)])
        both = (torch.split(taken(values, rows), own, 1) for values in (x, label))
        yield from zip(*both, strict=True)
        start += sum(own)


class _Order:
    """Rows [N] in a drawn order; those of one block [N] follow one another."""

    def __init__(self, rng: np.random.Generator, rows: Ints, block: Ints | None) -> None:
        self._rng, self._rows = rng, rows
        self._place = None if block is None else np.unique(block, return_inverse=True)[1]

    def draw(self) -> Ints:
        if self._place is None:
            return self._rng.permutation(self._rows)
        rank = self._rng.permutation(self._place.max() + 1)
        return self._rows[np.argsort(rank[self._place], kind="stable")]
