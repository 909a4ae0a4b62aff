"""scikit-learn's classifiers, trained where a network would be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from raymia.errors import SweepError
from raymia.records.split import Ints
from raymia.training.architecture import Estimator
from raymia.training.batches import pixels
from raymia.training.defense import Lesson
from raymia.training.losses import aligned, logarithm
from raymia.training.scaling import scaled

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Fitted:
    """A trained estimator as a predictor of records in the data's own units: x [B, ...] -> log
    max(p, floor) [B, C]. `acted` and `split_ai` as those of a Model.
    """

    estimator: Any
    before: nn.Module  # what stands in front of it: the constants of the features
    classes: int
    floor: float
    acted: Mapping[str, float] = field(default_factory=dict)
    split_ai: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        p = aligned(self.estimator, flat(self.before, x), self.classes)
        return torch.as_tensor(logarithm(np.maximum(p, self.floor))).to(x.device)


@dataclass(frozen=True)
class Estimates:
    """Fits estimators of one kind. `front`: what a fresh network has in front of it."""

    network: Estimator
    front: Any  # () -> nn.Module

    def fitted(self, lesson: Lesson, k: int, seed: int, acted: Mapping[str, float]) -> Fitted:
        """The k-th model of a lesson. What it is taught are whole labels, or else shares of them:
        a record counts as one of each class, with the share as its weight.

        Raises SweepError where its members hold one class only.
        """
        from threadpoolctl import threadpool_limits

        before = scaled(self.front(), lesson, k)
        rows = lesson.members[k]
        x, y = flat(before, lesson.x[torch.as_tensor(rows)]), lesson.y.cpu().numpy()[rows]
        weight = None
        if lesson.target is not None:
            x, y, weight = _shared(x, lesson.target[k, rows].cpu().numpy())
        if len(np.unique(y)) < 2:
            raise SweepError("a model's members hold one class only; take more records")
        with threadpool_limits(1):  # one thread: the same bits everywhere
            made = self.network.estimator(len(rows), seed % 2**32).fit(x, y, sample_weight=weight)
        split_ai = None if lesson.split_ai is None else lesson.split_ai[k]
        floor = self.network.floor(lesson.classes)
        return Fitted(made, before, lesson.classes, floor, acted, split_ai)


def _shared(x: Array, target: Array) -> tuple[Array, Ints, Array | None]:
    """Records [n, D] with distributions [n, C] as labelled ones with weights; None where all weigh
    the same.
    """
    record, label = np.nonzero(target)
    weight = target[record, label]
    return x[record], label, None if (weight == weight[0]).all() else weight


def flat(before: nn.Module, x: Tensor) -> Array:
    """Records [B, ...] as rows of features, as float32."""
    with torch.no_grad():
        return np.asarray(before(pixels(x, torch.float32)).flatten(1).cpu().numpy())
