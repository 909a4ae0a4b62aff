import numpy as np
import torch

from raymia.defenses.gaussian_noise import GaussianNoise
from raymia.training.defense import Batch


def noisy(x: torch.Tensor, sigma: float, at) -> torch.Tensor:  # type: ignore[no-untyped-def]
    batch = Batch(x, torch.zeros(x.shape[:2]), torch.zeros(x.shape[:2]))
    return (
        GaussianNoise(sigma=sigma)
        .batch(batch, [np.random.default_rng(m) for m in range(len(x))], at(0))
        .x
    )


def test_images_stay_images(at):  # type: ignore[no-untyped-def]
    x = torch.full((2, 50, 1, 8, 8), 0.5)
    x[:, :, :, 0] = 1.0
    out = noisy(x, 0.1, at)
    assert out.min() >= 0 and out.max() <= 1
    assert abs(float((out[:, :, :, 1:] - 0.5).std()) - 0.1) < 0.005
    # half the noise at the edge is cut off
    assert abs(float((out[:, :, :, 0] == 1).float().mean()) - 0.5) < 0.05
    assert not torch.equal(out[0], out[1])


def test_other_records_are_not_clamped(at):  # type: ignore[no-untyped-def]
    out = noisy(torch.full((1, 2000, 3), 7.0), 0.5, at)
    assert abs(float(out.mean()) - 7) < 0.03 and abs(float(out.std()) - 0.5) < 0.03
