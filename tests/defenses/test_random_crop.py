import numpy as np
import pytest
import torch

from raymia.defenses.random_crop import RandomCrop
from raymia.errors import SweepError
from raymia.training.defense import Batch


class Offsets:
    """A stream that draws these rows and columns."""

    def __init__(self, rows: list[int], cols: list[int]) -> None:
        self.drawn = np.array([rows, cols])

    def integers(self, low: int, high: int, size: tuple[int, int]) -> np.ndarray:  # type: ignore[type-arg]
        assert (low, high, size) == (0, 3, self.drawn.shape)
        return self.drawn


def test_padded_with_zeros_and_cropped_per_record(at):  # type: ignore[no-untyped-def]
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).expand(1, 3, 1, 2, 2)
    batch = Batch(x, torch.zeros(1, 3, 2), torch.zeros(1, 3))
    out = RandomCrop(c=1).batch(batch, [Offsets([0, 1, 2], [0, 1, 1])], at(0)).x  # type: ignore[list-item]
    assert out[0, :, 0].tolist() == [[[0, 0], [0, 1]], [[1, 2], [3, 4]], [[3, 4], [0, 0]]]


def test_needs_images(at):  # type: ignore[no-untyped-def]
    with pytest.raises(SweepError, match="needs images"):
        RandomCrop().batch(
            Batch(torch.zeros(1, 3, 2), torch.zeros(1, 3, 2), torch.zeros(1, 3)), [], at(0)
        )
