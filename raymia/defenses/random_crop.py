from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from raymia.errors import SweepError
from raymia.point.space import Range
from raymia.training.augment import crop
from raymia.training.defense import Batch, Clock, Defense, Facts, Rng, Traits


@dataclass(frozen=True)
class RandomCrop(Defense):
    """Pads training images with c zero pixels on each side and crops them back at a random
    place, per record; no flip.

    Queries stay clean. `c` of 16 and more is extreme on 32 pixels; smaller images stop carrying
    anything at c of their size.

    Units: pixels.

    Source: Kaya, Hong & Dumitras 2020, section 3 (c 1 to 24 on 28 and 32 pixels).

    Neutral: c 0.
    """

    neutral: ClassVar[Mapping[str, object] | None] = {"c": 0}
    cite: ClassVar[str] = (
        "@article{kaya2020effectiveness, title={On the Effectiveness of Regularization Against "
        "Membership Inference Attacks}, author={Kaya, Yigitcan and Hong, Sanghyun and Dumitras, "
        "Tudor}, journal={arXiv:2006.05336}, year={2020}}"
    )

    c: Annotated[int, Range(1, 12, least=0, most=512)] = 4

    @classmethod
    def ranges(cls, facts: Facts) -> Mapping[str, Range]:
        """To three eighths of the side: 12 of 32 pixels, 3 of 8."""
        return {"c": Range(1, max(2, 3 * facts.side // 8))}

    def traits(self) -> Traits:
        return Traits(wants={"images"})

    def batch(self, batch: Batch, rngs: Sequence[Rng], clock: Clock) -> Batch:
        # [K, B, C, H, W]; where the sweep file could not know, the data say it here
        if batch.x.ndim != 5:
            raise SweepError(
                f"random_crop needs images, records of shape {tuple(batch.x.shape[2:])} are none"
            )
        return batch._replace(x=crop(batch.x, rngs, self.c)) if self.c else batch
