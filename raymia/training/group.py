"""K models that take every step together."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from raymia.errors import RaymiaError
from raymia.pace import PACE
from raymia.point.schedule import Training
from raymia.records.split import Ints
from raymia.streams import Stream, stream
from raymia.training import augment
from raymia.training.backends.backend import Loss, filled, gradients
from raymia.training.backends.choice import backend
from raymia.training.backends.loop import Loop
from raymia.training.batches import Batches, pixels
from raymia.training.checkpoint import Best, validation
from raymia.training.defense import Batch, Clock, Defense, Gap, Lesson, Pass, Reference, Step
from raymia.training.losses import CHUNK
from raymia.training.model import FEW, convolves
from raymia.training.modules import Dropout, Normalise
from raymia.training.network import Network, Outputs
from raymia.training.optimizer import Optimizer
from raymia.training.precision import multiplied
from raymia.training.recipe import Recipe

_OF_A_LOSS = ("batch", "criterion", "penalty", "acted")
_STREAMS = ("batches", "augment", "dropout", "reference", "noise")


class Diverged(RaymiaError):
    """A model's loss is no longer a number: the point is invalid, not failed."""


class Group:
    """Trains K models under one recipe; each model's random draws come from its own streams."""

    def __init__(
        self,
        recipe: Defense,
        nets: list[Network],
        lesson: Lesson,
        training: Training,
        key: tuple[object, ...],
        models: Sequence[int],
    ) -> None:
        self.recipe, self.schedule = recipe, training
        self.device, self.dtype = lesson.x.device, getattr(torch, training.dtype)
        self.streams = {name: [stream(*key, name, m) for m in models] for name in _STREAMS}
        self.batch_streams = [Stream((*key, "batch"), m) for m in models]
        self.batches = Batches(
            lesson, self.dtype, self.streams["batches"], self.streams["reference"]
        )
        self.beside = recipe.traits().beside
        # whether the loss is the cross-entropy of the labels and nothing else
        self.plain = lesson.target is None and not any(map(recipe.owns, _OF_A_LOSS))
        self.step, self.tally, self._counted = 0, Tally(len(models)), -1
        nets = [net.to(self.device, self.dtype) for net in nets]
        self._spread = _spread(nets) if recipe.owns("batch") and lesson.x.ndim != 4 else None
        for net in nets:
            net.rounded = training.precision == "bf16" and not recipe.owns("privatise")
        self.backend = backend(nets, "loop" if recipe.owns("privatise") else training.engine)
        self.template = self.backend.template
        self.optimizer = Optimizer(self.backend.tensors, training)
        self._add_extra(
            [
                recipe.extra(net, Stream((*key, "extra"), m))
                for net, m in zip(nets, models, strict=True)
            ]
        )
        self.dropouts = {n: m for n, m in self.template.named_modules() if isinstance(m, Dropout)}
        if self.dropouts:
            # one look, so that they know their shapes
            self.template.eval()(pixels(lesson.x[:1], self.dtype))

    def _add_extra(self, own: list[dict[str, Tensor]]) -> None:
        """What is trained beside the networks [K, ...], each part's by an optimizer of its own."""
        stacked = {name: torch.stack([one[name] for one in own]) for name in own[0]}
        self.extra = {
            name: t.to(self.device, self.dtype).requires_grad_() for name, t in stacked.items()
        }
        self.owned: dict[str, list[str]] = {}
        for name in self.extra:
            self.owned.setdefault(name[: name.rfind("/") + 1], []).append(name)
        how = self.recipe.extra_training() if self.extra else {}
        self.extra_optimizers = {
            owner: Optimizer([self.extra[name].data for name in names], how[owner])
            for owner, names in self.owned.items()
        }

    def train(self) -> list[Network]:
        """The trained networks, in evaluation mode. Raises Diverged."""
        with multiplied(self.schedule.precision):
            return self._train()

    def _train(self) -> list[Network]:
        epochs = self.schedule.run_epochs
        rows = self._validation()
        best = Best(len(rows))
        for epoch in range(epochs):
            total = torch.zeros(len(self.batch_streams), dtype=torch.float64, device=self.device)
            self.template.train()
            within = [p for p in self.recipe.passes(Clock(epoch, epochs, self.step)) if p.every]
            steps = list(self._epoch())
            for i, (idx, batch) in enumerate(zip(steps, self.batches.gathered(steps), strict=True)):
                clock = Clock(epoch, epochs, self.step)
                lr = self.schedule.lr_at(epoch, (i + 1) / len(steps))
                for further in (p for p in within if i % p.every == 0):
                    self._pass(further, clock, lr)
                    self.template.train()
                losses = self._step(idx, batch, clock, lr)
                if losses is not None:
                    total += losses.detach()
                self.step += 1
            clock, lr = Clock(epoch, epochs, self.step), self.schedule.lr_at(epoch)
            for further in (p for p in self.recipe.passes(clock) if not p.every):
                self._pass(further, clock, lr)
            weights = torch.stack([t.sum() for t in self.backend.tensors])
            for what, numbers in (("the training loss", total), ("a weight", weights)):
                if not torch.isfinite(numbers).all():
                    raise Diverged(f"{what} is not a number in epoch {epoch + 1} of {epochs}")
            if len(rows):
                self.template.eval()
                best.see(epoch + 1, self._accuracy(rows), self.backend.state())
            PACE.epoch(epoch + 1, epochs, len(self.batch_streams))
        if len(rows):
            best.put_back(self.backend.state())
            self.tally.add({"checkpoint.kept": best.kept(epochs)})
        return self._finish()

    def _validation(self) -> Ints:
        """The records of each model by which its best epoch is chosen, [K, V]; none [0] where the
        last one is kept.
        """
        if self.schedule.checkpoint == "last":
            return np.zeros(0, np.int64)
        return np.stack([validation(self.batches.lesson)] * len(self.batch_streams))

    def _finish(self) -> list[Network]:
        nets = self.backend.nets()
        for net in nets:
            net.rounded = False
        return [net.eval().requires_grad_(False) for net in nets]

    def acted(self) -> list[dict[str, float]]:
        """What the recipe did in the training of each model."""
        return self.tally.means()

    def _epoch(self) -> Iterator[Ints]:
        return self.batches.shuffled(self.schedule.batch_size)

    def _step(self, idx: Ints, batch: Batch, clock: Clock, lr: float) -> Tensor | None:
        """One step of the main pass on a batch of records; the losses [K], as in Found."""
        batch = self._augmented(batch)
        batch = self._changed(batch, clock)
        reference = self.batches.reference(idx, self.beside) if self.beside else None
        self._draw_masks(batch.x.shape[1], self._counts(clock))
        return self._update(batch, reference, clock, lr)

    def _augmented(self, batch: Batch) -> Batch:
        if self.schedule.augment == "none":
            return batch
        rngs, how = self.streams["augment"], self.schedule.augment
        return batch._replace(x=augment.crop_flip(batch.x, rngs, 4, how))

    def _counts(self, clock: Clock) -> bool:
        """Whether what costs something to count is counted: in the first step of an epoch."""
        first = clock.epoch != self._counted
        self._counted = clock.epoch
        return first

    def _changed(self, batch: Batch, clock: Clock) -> Batch:
        """The batch as the parts change it: of no images, in standardised features, so that
        noise of 0.1 means the same to an age and to an income.
        """
        if self._spread is None:
            return self._parts(batch, clock)
        mean, std = self._spread
        batch = self._parts(batch._replace(x=(batch.x - mean) / std), clock)
        return batch._replace(x=batch.x * std + mean)

    def _parts(self, batch: Batch, clock: Clock) -> Batch:
        if not isinstance(self.recipe, Recipe):
            return self.recipe.batch(batch, self.batch_streams, clock)
        counted = clock.epoch != self._counted
        batch, changes = self.recipe.batch_and_changes(batch, self.batch_streams, clock, counted)
        self.tally.add(changes)
        return batch

    def _update(
        self, batch: Batch, reference: Batch | None, clock: Clock, lr: float
    ) -> Tensor | None:
        """Moves the parameters by a batch; the losses [K], as in Found."""
        losses, acted, grads, beside = self.backend.step(
            None if self.plain else self._loss(clock), batch, reference, self.extra
        )
        self.tally.add(acted)
        self.optimizer.step(grads, lr)
        for owner, names in self.owned.items():
            own, optimizer = [beside[name] for name in names], self.extra_optimizers[owner]
            # as in torch, what the loss does not reach is not moved
            if any(g is not None for g in own):
                tensors = [self.extra[name] for name in names]
                optimizer.step(filled(own, tensors), optimizer.training.lr)
        return losses

    def _loss(self, clock: Clock) -> Loss:
        """The loss of one model that the recipe has of a batch, and what it did."""

        def loss(
            outputs: Outputs, batch: Batch, reference: Reference | None, extra: dict[str, Tensor]
        ) -> tuple[Tensor, Mapping[str, Tensor]]:
            each = [
                one.mean() for one in self.recipe.losses(outputs, reference, batch, extra, clock)
            ]
            step = Step(outputs, reference, batch, extra, clock)
            return sum(each[1:], each[0]), self.recipe.acted(step)

        return loss

    def _pass(self, further: Pass, clock: Clock, lr: float) -> None:
        on = further.gate(self._gap()) if further.gate else np.ones(len(self.batch_streams), bool)
        if further.gate:
            self.tally.add({f"{further.name}.gates": torch.as_tensor(on).double()})
        if not on.any():
            return
        mask = torch.as_tensor(on, device=self.device)
        self.template.train(not further.evaluation)
        order = self.batches.by_class if further.order == "by_class" else self.batches.shuffled

        def loss(
            outputs: Outputs, batch: Batch, reference: Reference | None, extra: dict[str, Tensor]
        ) -> tuple[Tensor, Mapping[str, Tensor]]:
            return further.loss(outputs, batch, reference, extra, clock)

        for idx in islice(order(self.schedule.batch_size), further.batches):
            batch = self.batches.gather(idx)
            reference = (
                self.batches.reference(idx, further.reference) if further.reference else None
            )
            if further.augmented:
                batch = self._augmented(batch)
                reference = None if reference is None else self._augmented(reference)
            self._draw_masks(batch.x.shape[1])
            if further.moves == "network":
                found = self.backend.step(loss, batch, reference, self.extra)
                self.tally.add(found.acted)
                self.optimizer.step(found.grads, lr, mask)
            else:
                losses, acted = self.backend.map(loss, batch, reference, self.extra)
                self.tally.add(acted)
                tensors = [self.extra[name] for name in self.owned[further.owner]]
                optimizer = self.extra_optimizers[further.owner]
                optimizer.step(
                    filled(gradients(losses, tensors), tensors), optimizer.training.lr, mask
                )

    def _draw_masks(self, size: int, counted: bool = False) -> None:
        if not self.template.training:
            return
        for name, layer in self.dropouts.items():
            shape = layer.mask_shape(size)
            # 16-bit draws: four times cheaper than floats, and p is met to 1 in 65,536
            floor = round(layer.p * (1 << 16))
            masks = np.stack(
                [g.integers(0, 1 << 16, shape, np.uint16) >= floor for g in self.streams["dropout"]]
            )
            if counted and layer.part:
                dropped = (~masks.reshape(len(masks), -1)).sum(1) / max(1, masks[0].size)
                self.tally.add({f"{layer.part}.dropped": torch.as_tensor(dropped)})
            self.backend.mask(
                name, torch.as_tensor(masks).to(self.device, self.dtype) / (1 - layer.p)
            )

    def _gap(self) -> Gap:
        """Accuracy on members and on reference, in evaluation mode."""
        self.template.eval()
        lesson = self.batches.lesson
        return Gap(
            self._accuracy(np.stack(lesson.members)), self._accuracy(np.stack(lesson.reference))
        )

    def _accuracy(self, rows: Ints) -> np.ndarray[Any, Any]:
        right: np.ndarray[Any, Any] = np.zeros(len(rows))
        size = FEW if convolves(self.template) else CHUNK
        with torch.no_grad():
            for i in range(0, rows.shape[1], size):
                batch = self.batches.gather(rows[:, i : i + size])
                right += self.backend.map(_right, batch, None, self.extra).cpu().numpy()
        return np.asarray(right / rows.shape[1])


def _spread(nets: Sequence[Network]) -> tuple[Tensor, Tensor] | None:
    """By what each network standardises its features, [K, 1, ...]; None where it leaves them."""
    scalers = [net.normalise for net in nets]
    if not all(isinstance(scaler, Normalise) for scaler in scalers):
        return None
    mean, std = (
        torch.stack([getattr(scaler, name) for scaler in scalers]).unsqueeze(1)
        for name in ("mean", "std")
    )
    return None if not mean.any() and bool((std == 1).all()) else (mean, std)


class Tally:
    """Means over the steps of what the parts of a recipe did, by name, for each of K models."""

    def __init__(self, models: int) -> None:
        self._models = models
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, acted: Mapping[str, Tensor]) -> None:
        """Of one step, [K] each."""
        for name, value in acted.items():
            now = value.detach().double()
            before = self._sums.get(name)
            self._sums[name] = now if before is None else before + now
            self._counts[name] = self._counts.get(name, 0) + 1

    def means(self) -> list[dict[str, float]]:
        means = {n: (s / self._counts[n]).cpu().tolist() for n, s in self._sums.items()}
        return [
            {name: float(values[k]) for name, values in means.items()} for k in range(self._models)
        ]


class PrivateGroup(Group):
    """One model, whose batches are drawn and whose gradients are made private by a part of the
    recipe.
    """

    def __init__(
        self,
        recipe: Defense,
        nets: list[Network],
        lesson: Lesson,
        training: Training,
        key: tuple[object, ...],
        models: Sequence[int],
    ) -> None:
        super().__init__(recipe, nets, lesson, training, key, models)
        (self.members,), parameters = lesson.members, list(self.template.parameters())
        self.private = recipe.privatise(
            self.template, parameters, len(self.members), training, self.streams["noise"][0]
        )

    def _epoch(self) -> Iterator[Ints]:
        """Poisson draws [1, any], as many as there would be batches."""
        for _ in range(math.ceil(len(self.members) / self.schedule.batch_size)):
            yield self.members[self.private.sample(len(self.members), self.streams["batches"][0])][
                None
            ]

    def _update(
        self, batch: Batch, reference: Batch | None, clock: Clock, lr: float
    ) -> Tensor | None:
        one, losses, loop = Batch(*(t[0] for t in batch)), list[Tensor](), self.backend
        assert isinstance(loop, Loop)

        def per_example() -> Tensor:
            outputs = loop.said(one.x)
            if self.plain:
                losses.append(F.cross_entropy(outputs.logits, one.label, reduction="none"))
                return losses[0]
            each = self.recipe.losses(outputs, None, one, {}, clock)
            acted = self.recipe.acted(Step(outputs, None, one, {}, clock))
            self.tally.add({name: value.unsqueeze(0) for name, value in acted.items()})
            losses.append(sum(each[1:], each[0]))
            return losses[0]

        grads = self.private.gradients(per_example, len(one.label))
        self.optimizer.step(self.backend.stacked(grads), lr)
        return losses[0].sum().view(1) if losses else torch.zeros(1, dtype=torch.float64)

    def _finish(self) -> list[Network]:
        acted = self.private.acted().items()
        self.tally.add({what: torch.tensor([share]) for what, share in acted})
        self.private.close()
        return super()._finish()


def _right(outputs: Outputs, batch: Batch, reference: Reference | None, extra: object) -> Tensor:
    return (outputs.logits.argmax(-1) == batch.label).sum()
