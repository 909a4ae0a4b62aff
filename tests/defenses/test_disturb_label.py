import numpy as np
import torch

from raymia.defenses.disturb_label import DisturbLabel
from raymia.training.defense import Batch


class Fixed:
    """A stream that draws these numbers, and these classes."""

    def __init__(self, u: list[float], classes: list[int]) -> None:
        self.u, self.drawn = np.array(u), np.array(classes)

    def random(self, size: int) -> np.ndarray:  # type: ignore[type-arg]
        assert size == len(self.u)
        return self.u

    def integers(self, low: int, high: int, size: int) -> np.ndarray:  # type: ignore[type-arg]
        assert (low, high, size) == (0, 3, len(self.drawn))
        return self.drawn


def test_below_alpha_the_target_is_the_class_that_is_drawn(at):  # type: ignore[no-untyped-def]
    label = torch.tensor([[0, 1, 2], [2, 1, 0]])
    target = torch.nn.functional.one_hot(label, 3).double()
    target[1, 0] = torch.tensor([0.25, 0.25, 0.5])  # as a teacher says it
    batch = Batch(torch.zeros(2, 3, 1), target, label)
    streams = [Fixed([0.29, 0.31, 0.0], [1, 2, 2]), Fixed([0.9, 0.1, 0.1], [0, 0, 2])]
    out = DisturbLabel(alpha=0.3).batch(batch, streams, at(0))  # type: ignore[arg-type]
    assert out.target[0].tolist() == [[0, 1, 0], [0, 1, 0], [0, 0, 1]]
    assert out.target[1].tolist() == [[0.25, 0.25, 0.5], [1, 0, 0], [0, 0, 1]]
    assert torch.equal(out.label, label) and out.target.dtype == torch.float64


def test_the_mean_over_the_draws_is_label_smoothing(at):  # type: ignore[no-untyped-def]
    """C 4, alpha 0.6: the own class with 1 - 0.6 * 3 / 4 = 0.55, any other with 0.15."""
    label = torch.full((1, 200_000), 2)
    batch = Batch(torch.zeros(1, 200_000, 1), torch.nn.functional.one_hot(label, 4).double(), label)
    rng = np.random.default_rng(0)
    out = DisturbLabel(alpha=0.6).batch(batch, [rng], at(0))
    mean = out.target[0].mean(0)
    assert torch.allclose(mean, torch.tensor([0.15, 0.15, 0.55, 0.15]).double(), atol=0.005)
    again = DisturbLabel(alpha=0.6).batch(batch, [rng], at(0))
    assert not torch.equal(out.target, again.target), "drawn anew in every batch"
