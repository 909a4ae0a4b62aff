import numpy as np
import pytest
import torch

from raymia.defenses.cutout import Cutout
from raymia.errors import SweepError
from raymia.training.defense import Batch, Facts


class Centres:
    """A stream that draws these pixels (row, column)."""

    def __init__(self, *at: tuple[int, int]) -> None:
        self.at = np.array(at)

    def integers(self, low: int, high: tuple[int, int], size: tuple[int, int]) -> np.ndarray:  # type: ignore[type-arg]
        assert (low, tuple(high), size) == (0, (3, 4), self.at.shape)
        return self.at


def white(models: int, size: int) -> Batch:
    """Pictures of three rows and four columns, two channels."""
    x = torch.ones(models, size, 2, 3, 4)
    return Batch(x, torch.zeros(models, size, 2), torch.zeros(models, size))


def black(out: Batch, k: int, b: int) -> set[tuple[int, int]]:
    """Which pixels (row, column) are 0, in both channels alike."""
    picture = out.x[k, b]
    assert torch.equal(picture[0], picture[1]) and set(picture.unique().tolist()) <= {0.0, 1.0}
    return {(int(r), int(c)) for r, c in (picture[0] == 0).nonzero()}


def test_a_square_around_a_pixel_and_what_lies_outside_is_lost(at):  # type: ignore[no-untyped-def]
    streams = [Centres((1, 2), (0, 0)), Centres((2, 3), (0, 3))]
    out = Cutout(length=2).batch(white(2, 2), streams, at(0))  # type: ignore[arg-type]
    assert black(out, 0, 0) == {
        (0, 1),
        (0, 2),
        (1, 1),
        (1, 2),
    }  # rows 1 - 1 to 1, columns 2 - 1 to 2
    assert black(out, 0, 1) == {(0, 0)}
    assert black(out, 1, 0) == {(1, 2), (1, 3), (2, 2), (2, 3)}
    assert black(out, 1, 1) == {(0, 2), (0, 3)}


def test_an_odd_length_is_the_even_one_below(at):  # type: ignore[no-untyped-def]
    outs = [
        Cutout(length=length).batch(white(1, 1), [Centres((1, 1))], at(0)).x  # type: ignore[list-item]
        for length in (2, 3, 4)
    ]
    assert torch.equal(outs[0], outs[1]) and not torch.equal(outs[1], outs[2])
    assert outs[2][0, 0, 0].tolist() == [[0, 0, 0, 1]] * 3  # rows -1 to 2, columns -1 to 2
    assert torch.equal(Cutout(length=1).batch(white(1, 1), [], at(0)).x, white(1, 1).x)


def test_the_centre_is_any_pixel(at):  # type: ignore[no-untyped-def]
    """A hole of two pixels a side: the last row and column are cut by one centre in a side, the
    others by two.
    """
    out = Cutout(length=2).batch(white(1, 60_000), [np.random.default_rng(0)], at(0))
    share = (out.x[0, :, 0] == 0).double().mean(0)
    rows, columns = torch.tensor([2, 2, 1]) / 3, torch.tensor([2, 2, 2, 1]) / 4
    assert torch.allclose(share, (rows[:, None] * columns).double(), atol=0.01)


def test_needs_images_and_reaches_to_their_side(at):  # type: ignore[no-untyped-def]
    flat = Batch(torch.zeros(1, 3, 2), torch.zeros(1, 3, 2), torch.zeros(1, 3))
    with pytest.raises(SweepError, match="needs images"):
        Cutout().batch(flat, [], at(0))
    assert Cutout.ranges(Facts(10, 28, None))["length"].high == 28  # type: ignore[arg-type]
