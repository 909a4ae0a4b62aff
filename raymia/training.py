"""Trains K models in lockstep under one recipe, on tensors that stay on the device.

`lanes: 1` is the plain loop (a group of one model, its own modules). A wider group stacks the parameters of K models and maps
one model's loss over them; each model's random draws come from its own streams, so a model of an ensemble equals the same model
trained alone (to rounding).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from safetensors.torch import load as load_state
from safetensors.torch import save as save_state
from torch import Tensor

from raymia import images
from raymia.defense import Batch, Clock, Defense, Fit, Gap, Lesson, Pass, Predictor, Reference
from raymia.errors import RaymiaError
from raymia.modules import Dropout, Network, Normalise
from raymia.network import Architecture, Outputs
from raymia.optimizer import Optimizer
from raymia.schedule import Training
from raymia.split import Ints
from raymia.stack import Stack
from raymia.streams import Stream, seed_of, stream

Build = Callable[[], Network]
Floats = tuple[float, ...]
# recipe, lesson, training, name, how
Keep = Callable[[Defense, Lesson, Training, str, Callable[[], list[Predictor]]], list[Predictor]]
CHUNK = 1024  # records a query; fixed, so that the same model gives the same bits


class Diverged(RaymiaError):
    """A model's loss is no longer a number: the point is invalid, not failed."""


def fit(
    recipe: Defense,
    build: Build,
    lesson: Lesson,
    training: Training,
    key: tuple[object, ...],
    models: Sequence[int],
    keep: Keep | None = None,
) -> list[Predictor]:
    """Trains one model per entry of `models` and returns them in evaluation mode, in that order.

    `key` and the model's number name every random stream. `keep` may hold the teachers that a recipe asks for. Raises Diverged.
    """

    def fit_under(schedule: Training) -> Fit:
        def sub_fit(part: Defense, sub: Lesson, name: str) -> list[Predictor]:
            def train() -> list[Predictor]:
                return fit(part, build, sub, schedule, (*key, name), models)

            return keep(part, sub, schedule, name, train) if keep else train()

        return sub_fit

    rngs, own = [stream(*key, "teach", m) for m in models], recipe.training(training)
    if recipe.owns("assemble"):  # there is no other network that the recipe's schedule could be for
        return recipe.assemble(lesson, fit_under(own), rngs)
    lesson = recipe.teach(lesson, fit_under(training), rngs)
    out: dict[int, Predictor] = {}
    for rows in _groups(recipe, lesson):
        nets = [_seeded(lambda: recipe.network(build()), seed_of(*key, "init", models[k])) for k in rows]
        group = _Group(recipe, nets, _part(lesson, rows), own, key, [models[k] for k in rows])
        out |= {k: Model(net, group.dtype) for k, net in zip(rows, group.train(), strict=True)}
    return [out[k] for k in range(len(models))]


@dataclass(frozen=True, eq=False)
class Model:
    """A trained network as a predictor of records in the data's own units: x [B, ...] -> logits [B, C]."""

    network: Network
    dtype: torch.dtype

    def __call__(self, x: Tensor) -> Tensor:
        return self.network(pixels(x, self.dtype)).logits  # type: ignore[no-any-return]


def builder(architecture: Architecture, shape: tuple[int, ...], classes: int, mean: Floats, std: Floats) -> Build:
    """Builds fresh networks before any defense, with the data set's own normalisation in front."""

    def build() -> Network:
        network = architecture.build(shape, classes)
        network.normalise = Normalise(mean, std, len(shape))
        return network

    return build


def saved(model: Predictor) -> bytes:
    """The weights of a trained network as safetensors."""
    assert isinstance(model, Model)
    content: bytes = save_state({name: tensor.contiguous() for name, tensor in model.network.state_dict().items()})
    return content


def restored(content: bytes, recipe: Defense, build: Build, precision: str, device: str | torch.device = "cpu") -> Model:
    """The model whose weights were `saved`, trained under the recipe."""
    dtype = getattr(torch, precision)
    network = recipe.network(build()).to(device, dtype)
    network.load_state_dict(load_state(content))
    network.eval().requires_grad_(False)
    return Model(network, dtype)


def _groups(recipe: Defense, lesson: Lesson) -> list[list[int]]:
    """Rows that can share a step: as many members each; one by one where gradients are private."""
    if recipe.owns("privatise"):
        return [[k] for k in range(len(lesson))]
    pairs = [(len(m), len(r)) for m, r in zip(lesson.members, lesson.reference, strict=True)]
    return [[k for k, p in enumerate(pairs) if p == size] for size in sorted(set(pairs))]


def _part(lesson: Lesson, rows: Sequence[int]) -> Lesson:
    target = None if lesson.target is None else lesson.target[list(rows)]
    members, reference = (tuple(side[k] for k in rows) for side in (lesson.members, lesson.reference))
    return Lesson(lesson.x, lesson.y, members, reference, lesson.classes, target)


def _seeded(build: Build, seed: int) -> Network:
    """A network whose initial weights depend on the seed alone; torch's global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def predict(model: Predictor, x: Tensor) -> np.ndarray[Any, Any]:
    """Logits float32 [S, C] of one model on records x [S, ...]."""
    with torch.no_grad():
        parts = [model(x[i : i + CHUNK]) for i in range(0, len(x), CHUNK)]
    return torch.cat(parts).float().cpu().numpy()


def pixels(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Records as the batch seam and the network see them: bytes become [0, 1]."""
    return x.to(dtype) / 255 if x.dtype == torch.uint8 else x.to(dtype)


class _Group:
    """K models that take every step together."""

    def __init__(
        self,
        recipe: Defense,
        nets: list[Network],
        lesson: Lesson,
        training: Training,
        key: tuple[object, ...],
        models: Sequence[int],
    ) -> None:
        self.recipe, self.lesson, self.schedule = recipe, lesson, training
        self.device = lesson.x.device
        self.dtype = getattr(torch, training.precision)
        self.nets = [net.to(self.device, self.dtype) for net in nets]
        self.streams = {
            name: [stream(*key, name, m) for m in models] for name in ("batches", "augment", "dropout", "reference", "noise")
        }
        self.batch_streams = [Stream((*key, "batch"), m) for m in models]
        self.beside = recipe.traits().beside
        self.step = 0
        self.stack = Stack(self.nets)
        self.template = self.stack.template
        self.optimizer = Optimizer(self.stack.tensors, self.schedule)
        self._own_parameters(key, models)
        self.private = None
        if recipe.owns("privatise"):
            net, rng = self.nets[0], self.streams["noise"][0]
            self.private = recipe.privatise(net, list(net.parameters()), len(lesson.members[0]), training, rng)

    def _own_parameters(self, key: tuple[object, ...], models: Sequence[int]) -> None:
        """What is trained beside the network [K, ...], by optimizers of its own, and the dropout layers that want masks."""
        own = [self.recipe.extra(net, Stream((*key, "extra"), m)) for net, m in zip(self.nets, models, strict=True)]
        self.extra = {n: torch.stack([e[n] for e in own]).to(self.device, self.dtype).requires_grad_() for n in own[0]}
        owners = {name: name[: name.rfind("/") + 1] for name in self.extra}
        self.beside_optimizers: dict[str, tuple[list[Tensor], Optimizer]] = {}
        for owner in dict.fromkeys(owners.values()):
            tensors = [tensor for name, tensor in self.extra.items() if owners[name] == owner]
            optimizer = Optimizer([t.data for t in tensors], self.recipe.extra_training()[owner])
            self.beside_optimizers[owner] = tensors, optimizer
        self.dropouts = {n: m for n, m in self.template.named_modules() if isinstance(m, Dropout)}
        if self.dropouts:
            self.template.eval()(pixels(self.lesson.x[:1], self.dtype))  # one look, so that they know their shapes

    # ---- one run -------------------------------------------------------------------------------------------------

    def train(self) -> list[Network]:
        epochs = self.schedule.run_epochs
        for epoch in range(epochs):
            lr = self.schedule.lr_at(epoch)
            total = torch.zeros((), dtype=torch.float64, device=self.device)
            self.template.train()
            for idx in self._batches():
                clock = Clock(epoch, epochs, self.step)
                total = total + self._step(idx, clock, lr)
                self.step += 1
            for further in self.recipe.passes(Clock(epoch, epochs, self.step)):
                self._pass(further, Clock(epoch, epochs, self.step), lr)
            if not torch.isfinite(total):
                raise Diverged(f"the training loss is not a number in epoch {epoch + 1} of {epochs}")
        return self._finish()

    def _step(self, idx: Ints, clock: Clock, lr: float) -> Tensor:
        batch = self._gather(idx)
        if self.schedule.augment != "none":
            batch = batch._replace(x=images.crop_flip(batch.x, self.streams["augment"], 4, self.schedule.augment))
        batch = self.recipe.batch(batch, self.batch_streams, clock)
        reference = self._reference(idx, self.beside) if self.beside else None
        self._draw_masks(batch.x.shape[1])
        if self.private:
            net, one = self.template, Batch(*(t[0] for t in batch))
            losses: list[Tensor] = []

            def per_example() -> Tensor:
                each = self.recipe.losses(net(one.x), None, one, {}, clock)
                losses.append(sum(each[1:], each[0]))
                return losses[0]

            grads = self.private.gradients(per_example, len(one.label))
            self.optimizer.step([g.unsqueeze(0) for g in grads], lr)
            return torch.cat(losses).detach().double().sum() if losses else torch.zeros((), dtype=torch.float64)

        def loss(outputs: Outputs, batch: Batch, reference: Reference | None, extra: dict[str, Tensor]) -> Tensor:
            each = [one.mean() for one in self.recipe.losses(outputs, reference, batch, extra, clock)]
            return sum(each[1:], each[0])

        losses_k = self.stack.map(loss, batch, reference, self.extra)
        params = list(self.stack.params.values())
        found = self._found(losses_k, [*params, *self.extra.values()])
        self.optimizer.step(self.stack.stacked(self._filled(found[: len(params)], params)), lr)
        extra_grads = dict(zip(self.extra, found[len(params) :], strict=True))
        for owner, (tensors, optimizer) in self.beside_optimizers.items():
            reached = [g for name, g in extra_grads.items() if name[: name.rfind("/") + 1] == owner]
            if any(g is not None for g in reached):  # as in torch, what the loss does not reach is not moved
                optimizer.step(self._filled(reached, tensors), optimizer.training.lr)
        return losses_k.detach().double().sum()

    def _pass(self, further: Pass, clock: Clock, lr: float) -> None:
        on = further.gate(self._gap()) if further.gate else np.ones(len(self.nets), bool)
        if not on.any():
            return
        mask = torch.as_tensor(on, device=self.device)
        self.template.train(not further.evaluation)
        for idx in self._batches(by_class=further.order == "by_class"):
            batch = self._gather(idx)
            reference = self._reference(idx, further.reference) if further.reference else None
            self._draw_masks(batch.x.shape[1])

            def loss(o: Outputs, b: Batch, r: Reference | None, extra: dict[str, Tensor]) -> Tensor:
                return further.loss(o, b, r, extra, clock)

            losses = self.stack.map(loss, batch, reference, self.extra)
            if further.moves == "network":
                grads = self._gradients(losses, list(self.stack.params.values()))
                self.optimizer.step(self.stack.stacked(grads), lr, mask)
            else:
                tensors, optimizer = self.beside_optimizers[further.owner]
                optimizer.step(self._gradients(losses, tensors), optimizer.training.lr, mask)

    def _finish(self) -> list[Network]:
        if self.private:
            self.private.close()
        return [net.eval().requires_grad_(False) for net in self.stack.nets()]

    # ---- one step ------------------------------------------------------------------------------------------------

    @staticmethod
    def _found(losses: Tensor, tensors: list[Tensor]) -> list[Tensor | None]:
        """Gradients; None where the loss does not depend on a tensor."""
        if not losses.requires_grad:
            return [None] * len(tensors)
        return list(torch.autograd.grad(losses.sum(), tensors, allow_unused=True))

    @staticmethod
    def _filled(grads: Sequence[Tensor | None], tensors: list[Tensor]) -> list[Tensor]:
        return [torch.zeros_like(t) if g is None else g for g, t in zip(grads, tensors, strict=True)]

    def _gradients(self, losses: Tensor, tensors: list[Tensor]) -> list[Tensor]:
        return self._filled(self._found(losses, tensors), tensors)

    def _draw_masks(self, size: int) -> None:
        if not self.template.training:
            return
        for name, layer in self.dropouts.items():
            shape = layer.mask_shape(size)
            # 16-bit draws: four times cheaper than floats, and p is met to 1 in 65,536
            floor = round(layer.p * (1 << 16))
            masks = np.stack([g.integers(0, 1 << 16, shape, np.uint16) >= floor for g in self.streams["dropout"]])
            mask = torch.as_tensor(masks).to(self.device, self.dtype) / (1 - layer.p)
            if self.stack.alone:
                layer.mask = mask[0]
            else:
                self.stack.buffers[f"{name}.mask"] = mask

    # ---- records -------------------------------------------------------------------------------------------------

    def _batches(self, by_class: bool = False) -> Iterator[Ints]:
        """Record numbers [K, B] of each step of an epoch; Poisson draws [1, any] where gradients are private."""
        rngs, size = self.streams["batches"], self.schedule.batch_size
        if self.private:
            members = self.lesson.members[0]
            for _ in range(math.ceil(len(members) / size)):
                yield members[self.private.sample(len(members), rngs[0])][None]
            return
        if by_class:
            labels = self.lesson.y.cpu().numpy()
            order = np.stack([m[np.argsort(labels[m], kind="stable")] for m in self.lesson.members])
        else:
            order = np.stack([g.permutation(m) for g, m in zip(rngs, self.lesson.members, strict=True)])
        edges = list(range(0, order.shape[1], size))[1:]
        if edges and order.shape[1] - edges[-1] == 1:
            edges.pop()  # a last batch of one record has no variance for BatchNorm
        yield from np.split(order, edges, axis=1)

    def _gather(self, idx: Ints) -> Batch:
        rows = torch.as_tensor(idx).to(self.device)
        label = self.lesson.y[rows]
        if self.lesson.target is None:
            target = self.one_hot[label]
        else:
            target = self.lesson.target[torch.arange(len(idx), device=self.device)[:, None], rows].to(self.dtype)
        return Batch(pixels(self.lesson.x[rows], self.dtype), target, label)

    def _reference(self, idx: Ints, how: str) -> Batch:
        """Reference records beside a batch, with replacement; by class: as many of each class as the batch has."""
        labels = self.lesson.y.cpu().numpy()
        out = np.empty_like(idx)
        for k, rng in enumerate(self.streams["reference"]):
            u = rng.random((idx.shape[1],))
            if how == "uniform":
                own = self.lesson.reference[k]
                out[k] = own[(u * len(own)).astype(np.int64)]
            else:
                start, count, order = self.pools[k]
                wanted = labels[idx[k]]
                out[k] = order[start[wanted] + (u * count[wanted]).astype(np.int64)]
        return self._gather(out)

    @cached_property
    def one_hot(self) -> Tensor:
        return torch.eye(self.lesson.classes, dtype=self.dtype, device=self.device)

    @cached_property
    def pools(self) -> list[tuple[Ints, Ints, Ints]]:
        return _pools(self.lesson)

    def _gap(self) -> Gap:
        """Accuracy on members and on reference, in evaluation mode."""
        self.template.eval()
        return Gap(*(self._accuracy(np.stack(rows)) for rows in (self.lesson.members, self.lesson.reference)))

    def _accuracy(self, rows: Ints) -> np.ndarray[Any, Any]:
        right: np.ndarray[Any, Any] = np.zeros(len(rows))
        with torch.no_grad():
            for i in range(0, rows.shape[1], CHUNK):
                batch = self._gather(rows[:, i : i + CHUNK])
                right += self.stack.map(_right, batch, None, self.extra).cpu().numpy()
        return np.asarray(right / rows.shape[1])


def _right(outputs: Outputs, batch: Batch, reference: Reference | None, extra: object) -> Tensor:
    return (outputs.logits.argmax(-1) == batch.label).sum()


def _pools(lesson: Lesson) -> list[tuple[Ints, Ints, Ints]]:
    """Per model: where each class starts in its sorted reference, how many there are, and the sorted record numbers."""
    labels = lesson.y.cpu().numpy()
    pools = []
    for model, own in enumerate(lesson.reference):
        order = own[np.argsort(labels[own], kind="stable")]
        count = np.bincount(labels[own], minlength=lesson.classes)
        needed = np.bincount(labels[lesson.members[model]], minlength=lesson.classes) > 0
        if (needed & (count == 0)).any():
            missing = np.flatnonzero(needed & (count == 0))
            raise RaymiaError(f"the defender's reference has no record of class {missing[0]}; raise the protocol's reserve")
        pools.append((np.cumsum(count) - count, count, order))
    return pools
