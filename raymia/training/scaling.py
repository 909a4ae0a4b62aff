"""By which constants features are standardised before a network sees them.

A mean over all records would carry non-members into every model; one over records that no model
trains on and no attack is judged on tells nothing, one over a model's own members is part of
its recipe, and of its shadows'.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from raymia.records.split import Ints
from raymia.training.defense import Lesson
from raymia.training.modules import Normalise
from raymia.training.network import Network


def scale(network: Network, lesson: Lesson, model: int) -> Network:
    """The network with the constants of the k-th model of a lesson, which travel with it."""
    network.normalise = scaled(network.normalise, lesson, model)
    return network


def scaled(normalise: nn.Module, lesson: Lesson, model: int) -> nn.Module:
    """What stands in front of a model, with those constants."""
    found: tuple[Tensor, Tensor] | None = None
    if isinstance(lesson.scale, tuple):
        mean, std = (torch.tensor(side, dtype=torch.float64) for side in lesson.scale)
        found = mean, std
    elif lesson.scale != "none":
        rows = lesson.aside if lesson.scale == "reference" else lesson.members[model]
        found = _moments(lesson.x, rows, lesson.x.ndim == 4)
    if found is not None:
        assert isinstance(normalise, Normalise)
        normalise.set(*found)
    return normalise


def _moments(x: Tensor, rows: Ints, image: bool) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each feature, of each channel of images; 1 where a feature is
    constant.
    """
    own = x[torch.as_tensor(rows).to(x.device)].double()
    own = own / 255 if x.dtype == torch.uint8 else own
    over = (0, 2, 3) if image else (0,)
    mean, std = own.mean(over), own.std(over, correction=0)
    still = std <= 1e-7 * mean.abs()
    return mean, torch.where(still | (std == 0), torch.ones_like(std), std)
