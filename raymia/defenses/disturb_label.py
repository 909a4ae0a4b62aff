from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from raymia.lazy import F, torch
from raymia.point.space import Range
from raymia.training.defense import Batch, Clock, Defense, Rng, Traits


@dataclass(frozen=True)
class DisturbLabel(Defense):
    """Trains each record, anew in every batch, on a class drawn at random with probability alpha.

    All C classes are drawn alike, the record's own too: it stays with probability 1 - alpha (C -
    1) / C, and any other comes with alpha / C. In the mean over the draws that is label smoothing.

    Source: Kaya & Dumitras, ICML 2021, and their code (alpha 0.01 to 0.99), after Xie et al., CVPR
    2016.

    Neutral: alpha 0.

    Departures: `label` stays the record's own. Of what a teacher says of a record, the whole is
    replaced.
    """

    neutral: ClassVar[Mapping[str, object] | None] = {"alpha": 0.0}
    cite: ClassVar[str] = (
        "@inproceedings{xie2016disturblabel, title={DisturbLabel: Regularizing CNN on the Loss "
        "Layer}, author={Xie, Lingxi and Wang, Jingdong and Wei, Zhen and Wang, Meng and Tian, "
        "Qi}, booktitle={CVPR}, year={2016}}"
    )

    alpha: Annotated[float, Range(0.01, 0.99, least=0.0, most=1.0)] = 0.1

    def traits(self) -> Traits:
        return Traits(mixes_targets=True)

    def batch(self, batch: Batch, rngs: Sequence[Rng], clock: Clock) -> Batch:
        if not self.alpha:
            return batch
        _, size, classes = batch.target.shape
        hit = np.stack([g.random(size) < self.alpha for g in rngs])  # [K, B]
        drawn = np.stack([g.integers(0, classes, size) for g in rngs])
        other = F.one_hot(torch.as_tensor(drawn), classes).to(batch.target)
        where = torch.as_tensor(hit).to(other.device)[..., None]
        return batch._replace(target=torch.where(where, other, batch.target))
