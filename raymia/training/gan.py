"""A small DCGAN: records that look like a model's members, and are none."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from raymia.errors import SweepError
from raymia.training.defense import Lesson, Rng

NOISE = 100  # numbers that a picture is made of


def generator(shape: tuple[int, ...], width: int) -> nn.Sequential:
    """Noise [B, 100, 1, 1] -> pixels in [-1, 1], [B, C, >= H, >= W]: four transposed
    convolutions.
    """
    sizes = [4 * width, 2 * width, width]
    layers: list[nn.Module] = [
        nn.ConvTranspose2d(NOISE, sizes[0], (-(-shape[1] // 8), -(-shape[2] // 8)), bias=False)
    ]
    for before, after in zip(sizes, [*sizes[1:], shape[0]], strict=True):
        layers += [
            nn.BatchNorm2d(before),
            nn.ReLU(),
            nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False),
        ]
    return nn.Sequential(*layers, nn.Tanh())


def discriminator(shape: tuple[int, ...], width: int) -> nn.Sequential:
    """Pixels -> log-odds of "real", [B]: three strided convolutions and one over what is left."""
    sizes = [shape[0], width, 2 * width, 4 * width]
    layers: list[nn.Module] = []
    for before, after in zip(sizes, sizes[1:], strict=False):
        layers += [nn.Conv2d(before, after, 4, 2, 1), nn.LeakyReLU(0.2)]
    return nn.Sequential(
        *layers, nn.Conv2d(4 * width, 1, (shape[1] >> 3, shape[2] >> 3)), nn.Flatten(0)
    )


def pictures(
    real: Tensor, count: int, epochs: int, width: int, seed: int, batch: int = 64
) -> Tensor:
    """`count` records drawn from a DCGAN that was trained on `real` [N, C, H, W] in [0, 1]; the
    same units.

    Adam 2e-4 with betas 0.5 and 0.999, binary cross-entropy, three steps of the generator for
    each of the discriminator. Raises SweepError for what is no image of at least 8x8.

    Source: Radford et al., ICLR 2016; schedule of the code of DMP's users (SRCM, CRL).
    """
    if real.ndim != 4 or min(real.shape[2:]) < 8:
        raise SweepError(
            "a DCGAN needs images of at least 8x8 pixels, got records of shape "
            f"{tuple(real.shape[1:])}"
        )
    shape, device = tuple(real.shape[1:]), real.device
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        make, judge = (
            net.to(device, real.dtype)
            for net in (generator(shape, width), discriminator(shape, width))
        )
    draw = torch.Generator().manual_seed(seed)
    movers = [torch.optim.Adam(net.parameters(), 2e-4, (0.5, 0.999)) for net in (make, judge)]

    def fakes(n: int) -> Tensor:
        noise = torch.randn((n, NOISE, 1, 1), generator=draw, dtype=real.dtype).to(device)
        return make(noise)[:, :, : shape[1], : shape[2]]  # type: ignore[no-any-return]

    def step(mover: torch.optim.Optimizer, loss: Tensor) -> None:
        mover.zero_grad()
        torch.autograd.backward(loss)
        mover.step()

    softplus = nn.functional.softplus
    for _ in range(epochs):
        for rows in torch.split(torch.randperm(len(real), generator=draw), batch):
            n = max(2, len(rows))  # BatchNorm has no variance of one record
            for _ in range(3):
                step(movers[0], softplus(-judge(fakes(n))).mean())
            right = softplus(-judge(2 * real[rows.to(device)] - 1)).mean()
            step(movers[1], right + softplus(judge(fakes(n).detach())).mean())
    make.eval()
    with torch.no_grad():
        return torch.cat([fakes(min(batch, count - i)) for i in range(0, count, batch)]) / 2 + 0.5


def lookalikes(
    lesson: Lesson, count: int, epochs: int, width: int, rngs: Sequence[Rng]
) -> list[Tensor]:
    """For each model `count` records (0: as many as it has members) that look like its own
    members, in the data's units.
    """
    byte, out = lesson.x.dtype == torch.uint8, []
    for rows, rng in zip(lesson.members, rngs, strict=True):
        real = lesson.x[torch.as_tensor(rows).to(lesson.x.device)]
        real = real.float() / 255 if byte else real
        drawn = pictures(real, count or len(rows), epochs, width, int(rng.integers(2**62)))
        out.append((drawn * 255).round().to(torch.uint8) if byte else drawn)
    return out
