from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from raymia.lazy import torch
from raymia.point.space import Range
from raymia.training.defense import Batch, Clock, Defense, Rng, Traits


@dataclass(frozen=True)
class GaussianNoise(Defense):
    """Adds N(0, sigma^2) to every input of a training step; images are clamped to [0, 1] again.
    Queries stay clean.

    Units: sigma is in the [0, 1] of pixels, and for other records in deviations of each feature,
    by the constants that the network standardises with (`training.scale`).

    Source: Kaya, Hong & Dumitras 2020, section 3 (sigma 0.01 to 0.25); clamped as in the
    authors' later code.

    Neutral: sigma 0.
    """

    revision: ClassVar[int] = 2
    neutral: ClassVar[Mapping[str, object] | None] = {"sigma": 0.0}
    cite: ClassVar[str] = (
        "@article{kaya2020effectiveness, title={On the Effectiveness of Regularization Against "
        "Membership Inference Attacks}, author={Kaya, Yigitcan and Hong, Sanghyun and Dumitras, "
        "Tudor}, journal={arXiv:2006.05336}, year={2020}}"
    )

    sigma: Annotated[float, Range(0.05, 0.5, log=True, least=0.0)] = 0.05

    def traits(self) -> Traits:
        return Traits(wants={"numbers"})

    def batch(self, batch: Batch, rngs: Sequence[Rng], clock: Clock) -> Batch:
        if not self.sigma:
            return batch
        noise = np.stack([g.standard_normal(batch.x.shape[1:], np.float32) for g in rngs])
        x = batch.x + self.sigma * torch.as_tensor(noise).to(batch.x)
        return batch._replace(x=x.clamp(0.0, 1.0) if x.ndim == IMAGES else x)


IMAGES = 5  # axes of a stacked batch of images: [K, B, C, H, W]
