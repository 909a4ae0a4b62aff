"""The records of a group's steps: which ones, in what order, and what is beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import Tensor

from raymia.errors import RaymiaError
from raymia.records.split import Ints
from raymia.training.defense import Batch, Lesson, Rng

_AHEAD = 1 << 20  # bytes of records, gathered at once


def pixels(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Records as the batch seam and the network see them: bytes become [0, 1]."""
    return x.to(dtype) / 255 if x.dtype == torch.uint8 else x.to(dtype)


class Batches:
    """What K models of a lesson see, step by step. Shapes: record numbers [K, B], batches [K,
    B, ...].
    """

    def __init__(
        self, lesson: Lesson, dtype: torch.dtype, order: Sequence[Rng], reference: Sequence[Rng]
    ) -> None:
        """`order` and `reference`: the streams of the models that shuffle members and draw
        reference records.
        """
        self.lesson, self.dtype, self.device = lesson, dtype, lesson.x.device
        self._order, self._reference = order, reference

    def shuffled(self, size: int) -> Iterator[Ints]:
        """Record numbers of each step of an epoch."""
        pairs = zip(self._order, self.lesson.members, strict=True)
        return cut(np.stack([rng.permutation(members) for rng, members in pairs]), size)

    def by_class(self, size: int) -> Iterator[Ints]:
        """The same, in the order of the classes."""
        order = [
            members[np.argsort(self._labels[members], kind="stable")]
            for members in self.lesson.members
        ]
        return cut(np.stack(order), size)

    def gathered(self, steps: Sequence[Ints]) -> Iterator[Batch]:
        """The records of each step. Those of some small steps are gathered at once: it is calls
        that they take, not copies.
        """
        for same in self._alike(steps):
            every = (t.unbind(0) for t in self.gather(np.stack(same)))
            yield from map(Batch._make, zip(*every, strict=True))

    def _alike(self, steps: Sequence[Ints]) -> Iterator[list[Ints]]:
        """Steps of one shape that follow one another and are small. Each must begin where memory of
        its own would, at a multiple of 64 bytes: by that, too, a product may round.
        """
        for _, group in groupby(steps, key=np.shape):
            run = list(group)
            size = run[0].size * self.lesson.x[0].numel() * self.dtype.itemsize
            few = 1 if size % 64 else max(1, _AHEAD // max(1, size))
            yield from (run[i : i + few] for i in range(0, len(run), few))

    def gather(self, idx: Ints) -> Batch:
        """The records of these numbers [..., K, B]."""
        rows = torch.as_tensor(idx).to(self.device)
        label = taken(self.lesson.y, rows)
        if self.lesson.target is None:
            target = taken(self._one_hot, label)
        else:
            models = torch.arange(rows.shape[-2], device=self.device)[:, None]
            target = self.lesson.target[models, rows].to(self.dtype)
        return Batch(pixels(taken(self.lesson.x, rows), self.dtype), target, label)

    def reference(self, idx: Ints, how: str) -> Batch:
        """As many reference records, with replacement: "uniform", or "by_class", as many of
        each class as the batch has, or "one_class": half of them are members (one more where the
        batch is odd), which come first, and all are of the class of the batch's first record.

        Raises RaymiaError where a class has none.
        """
        out = np.empty_like(idx)
        for k, rng in enumerate(self._reference):
            u = rng.random((idx.shape[1],))
            if how == "uniform":
                own = self.lesson.reference[k]
                out[k] = own[(u * len(own)).astype(np.int64)]
            elif how == "one_class":
                out[k] = self._one_class(k, self._labels[idx[k, 0]], u)
            else:
                start, count, order = self._pools[k]
                wanted = self._labels[idx[k]]
                out[k] = order[start[wanted] + (u * count[wanted]).astype(np.int64)]
        return self.gather(out)

    def _one_class(self, k: int, label: int, u: np.ndarray[Any, Any]) -> Ints:
        """Members of model k of a class, then its reference records of it, as u in [0, 1) says."""
        if len(u) < 2:
            raise RaymiaError("members and reference of a class need batches of 2 records or more")
        start, count, order = self._pools[k]
        members, half = self.lesson.members[k], (len(u) + 1) // 2
        own = members[self._labels[members] == label]
        other = order[start[label] : start[label] + count[label]]
        sides = ((own, u[:half]), (other, u[half:]))
        return np.concatenate([pool[(draw * len(pool)).astype(np.int64)] for pool, draw in sides])

    @cached_property
    def _labels(self) -> Ints:
        labels: Ints = self.lesson.y.cpu().numpy()
        return labels

    @cached_property
    def _one_hot(self) -> Tensor:
        return torch.eye(self.lesson.classes, dtype=self.dtype, device=self.device)

    @cached_property
    def _pools(self) -> list[tuple[Ints, Ints, Ints]]:
        """By model: where each class starts in its sorted reference, how many there are, and
        the sorted record numbers.
        """
        labels, classes, pools = self._labels, self.lesson.classes, []
        for members, own in zip(self.lesson.members, self.lesson.reference, strict=True):
            order = own[np.argsort(labels[own], kind="stable")]
            count = np.bincount(labels[own], minlength=classes)
            missing = np.flatnonzero(
                (np.bincount(labels[members], minlength=classes) > 0) & (count == 0)
            )
            if len(missing):
                raise RaymiaError(
                    f"the defender's reference has no record of class {missing[0]}; raise the "
                    "protocol's reserve"
                )
            pools.append((np.cumsum(count) - count, count, order))
        return pools


def cut(order: Ints, size: int) -> Iterator[Ints]:
    """Steps of `size` records; the last one may be smaller."""
    yield from map(np.ascontiguousarray, np.split(order, edges(order.shape[1], size), axis=1))


def edges(records: int, size: int) -> list[int]:
    """Where all steps but the first begin."""
    found = list(range(size, records, size))
    if found and records - found[-1] == 1:
        found.pop()  # a last batch of one record has no variance for BatchNorm
    return found


def taken(values: Tensor, rows: Tensor) -> Tensor:
    """values[rows], sooner than indexing by a matrix."""
    return values.index_select(0, rows.flatten()).view(*rows.shape, *values.shape[1:])
