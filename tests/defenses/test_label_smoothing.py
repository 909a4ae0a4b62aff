from math import log

import pytest
import torch

from raymia.defenses.label_smoothing import LabelSmoothing
from raymia.training.defense import Defense


def test_the_loss_is_the_weighted_sum(said, labelled, at):  # type: ignore[no-untyped-def]
    batch = LabelSmoothing(epsilon=0.2).batch(labelled([0], 4), [], at(0))
    assert torch.allclose(batch.target, torch.tensor([[0.85, 0.05, 0.05, 0.05]]).double())
    loss = Defense().criterion(said([[0.4, 0.3, 0.2, 0.1]]), batch, at(0))
    assert float(loss) == pytest.approx(
        -0.8 * log(0.4) - 0.2 * (log(0.4) + log(0.3) + log(0.2) + log(0.1)) / 4
    )
