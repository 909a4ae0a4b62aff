from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from raymia.errors import SweepError
from raymia.lazy import torch
from raymia.point.space import Range
from raymia.training.defense import Batch, Clock, Defense, Facts, Rng, Traits


@dataclass(frozen=True)
class Cutout(Defense):
    """Blacks out a square around a random pixel of every training image, one per record.

    The square reaches `length` // 2 pixels up and left of its centre and as many, less one, down
    and right; what lies outside the image is lost. Queries stay clean.

    Units: pixels.

    Source: Kaya & Dumitras, ICML 2021, and their code (one hole, length 4 to 52 on 28 and 32
    pixels, a raw pixel of 0), after DeVries & Taylor, arXiv:1708.04552.

    Neutral: length 0.
    """

    neutral: ClassVar[Mapping[str, object] | None] = {"length": 0}
    cite: ClassVar[str] = (
        "@inproceedings{kaya2021augmentation, title={When Does Data Augmentation Help With "
        "Membership Inference Attacks?}, author={Kaya, Yigitcan and Dumitras, Tudor}, "
        "booktitle={ICML}, year={2021}}"
    )

    length: Annotated[int, Range(4, 32, least=0, most=1024)] = 8

    @classmethod
    def ranges(cls, facts: Facts) -> Mapping[str, Range]:
        """To the side of the image."""
        return {"length": Range(2, max(4, facts.side))}

    def traits(self) -> Traits:
        return Traits(wants={"images"})

    def batch(self, batch: Batch, rngs: Sequence[Rng], clock: Clock) -> Batch:
        # [K, B, C, H, W]; where the sweep file could not know, the data say it here
        if batch.x.ndim != 5:
            raise SweepError(
                f"cutout needs images, records of shape {tuple(batch.x.shape[2:])} are none"
            )
        half, sides = self.length // 2, batch.x.shape[-2:]
        if not half:
            return batch
        drawn = np.stack([g.integers(0, sides, (batch.x.shape[1], 2)) for g in rngs])  # [K, B, 2]
        centre = torch.as_tensor(drawn).to(batch.x.device)
        apart = [
            torch.arange(side, device=batch.x.device) - centre[..., axis, None]
            for axis, side in enumerate(sides)
        ]
        rows, columns = ((a >= -half) & (a < half) for a in apart)  # [K, B, H] and [K, B, W]
        hole = rows[..., :, None] & columns[..., None, :]
        return batch._replace(x=batch.x.masked_fill(hole[:, :, None], 0.0))
