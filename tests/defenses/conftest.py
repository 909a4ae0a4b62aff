"""Small numbers that can be worked by hand: logits, batches, and the seams' other arguments."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from raymia.training.defense import Batch, Clock, Lesson
from raymia.training.network import Outputs

Make = Callable[..., Batch]


@pytest.fixture
def said() -> Callable[..., Outputs]:
    """Outputs of one model: probabilities [B, C] as logits, and features."""

    def make(p: list[list[float]], features: list[list[float]] | None = None) -> Outputs:
        return Outputs(
            torch.tensor(p, dtype=torch.float64).log(),
            torch.tensor(features or [[0.0]] * len(p), dtype=torch.float64),
        )

    return make


@pytest.fixture
def labelled() -> Make:
    """A batch of one model: labels [B] of `classes`, hard targets."""

    def make(label: list[int], classes: int, x: torch.Tensor | None = None) -> Batch:
        y = torch.tensor(label)
        target = torch.nn.functional.one_hot(y, classes).double()
        return Batch(torch.zeros(len(label), 1).double() if x is None else x, target, y)

    return make


@pytest.fixture
def at() -> Callable[[int], Clock]:
    """The clock in an epoch, counted from 0, of ten."""
    return lambda epoch: Clock(epoch, 10, 0)


@pytest.fixture
def lesson() -> Callable[..., Lesson]:
    """40 records of 3 classes, 8x8 pixels; each model has 20 members and 8 reference records."""

    def make(models: int = 1) -> Lesson:
        x = torch.rand(
            (40, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.float64
        )
        members = tuple(
            np.sort(np.random.default_rng(m).permutation(32)[:20]) for m in range(models)
        )
        return Lesson(x, torch.arange(40) % 3, members, (np.arange(32, 40),) * models, 3)

    return make
