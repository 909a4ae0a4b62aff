import numpy as np
import torch

from raymia.defenses.mixup import Mixup
from raymia.training.defense import Batch


class Fixed:
    """A stream that says what it is told."""

    def __init__(self, lam: float, perm: list[int]) -> None:
        self.lam, self.perm = lam, perm

    def beta(self, a: float, b: float) -> float:
        assert a == b == 0.7
        return self.lam

    def permutation(self, size: int) -> np.ndarray:  # type: ignore[type-arg]
        assert size == len(self.perm)
        return np.array(self.perm)


def test_one_weight_a_batch_and_model(at):  # type: ignore[no-untyped-def]
    x = torch.tensor([[[10.0], [20.0], [30.0]]] * 2)
    label = torch.tensor([[0, 1, 1]] * 2)
    batch = Batch(x, torch.nn.functional.one_hot(label, 2).float(), label)
    mixed = Mixup(alpha=0.7).batch(batch, [Fixed(0.9, [1, 2, 0]), Fixed(0.5, [2, 1, 0])], at(0))  # type: ignore[list-item]
    assert torch.allclose(mixed.x[..., 0], torch.tensor([[11.0, 21.0, 28.0], [20.0, 20.0, 20.0]]))
    assert torch.allclose(mixed.target[..., 0], torch.tensor([[0.9, 0.0, 0.1], [0.5, 0.0, 0.5]]))
    assert torch.equal(mixed.label, label)
