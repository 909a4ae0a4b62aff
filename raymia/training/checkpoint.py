"""Which epoch's network is kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from raymia.errors import SweepError
from raymia.records.split import Ints
from raymia.training.defense import Lesson

_ONLY_LAST = "training.checkpoint: got 'best'; last is allowed: "


class Best:
    """K networks, each as it stood after its own best epoch; of equal ones the first.

    Shapes: accuracies [K], tensors of a state [K, ...].

    Source: the usual practice; code of Tang et al., USENIX Security 2022 (a later epoch must be
    better), and of Shejwalkar & Houmansadr, AAAI 2021 (it may be as good).

    Departures: SELENA's code goes by the test records, whose accuracy it then reports. Here it is
    the protocol's reserve, on which nothing is reported.
    """

    def __init__(self, models: int) -> None:
        self._accuracy, self._epoch = np.full(models, -1.0), np.zeros(models, np.int64)
        self._kept: dict[str, Tensor] = {}

    def see(self, epoch: int, accuracy: np.ndarray[Any, Any], state: Mapping[str, Tensor]) -> None:
        """What the networks are after an epoch (from 1), and how good."""
        better = accuracy > self._accuracy
        self._accuracy = np.where(better, accuracy, self._accuracy)
        self._epoch = np.where(better, epoch, self._epoch)
        for name, now in state.items():
            rows = torch.as_tensor(better, device=now.device)
            kept = self._kept.setdefault(name, now)
            self._kept[name] = torch.where(rows.view(-1, *(1,) * (now.ndim - 1)), now, kept)

    def put_back(self, state: Mapping[str, Tensor]) -> None:
        """Gives the networks what was kept, in place."""
        for name, now in state.items():
            now.copy_(self._kept[name])

    def kept(self, epochs: int) -> Tensor:
        """After which share of the epochs each stands, [K]."""
        return torch.as_tensor(self._epoch / epochs)


def validation(lesson: Lesson) -> Ints:
    """The records by which the best epoch is chosen: the protocol's reserve, the same for all
    models. Raises SweepError where there are none, or where a model learns from them.

    No target is judged there, so that no attack's number depends on a record that chose an epoch.
    What a model gave up for its own reference is not among them: `dmp` trains on that.
    """
    if not len(lesson.aside):
        raise SweepError(_ONLY_LAST + "the protocol sets no reference records aside")
    if any(np.isin(lesson.aside, own).any() for own in lesson.members):
        raise SweepError(_ONLY_LAST + "the models learn from the protocol's reserve")
    return lesson.aside
