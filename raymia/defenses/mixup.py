from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from raymia.lazy import torch
from raymia.point.space import Range
from raymia.training.defense import Batch, Clock, Defense, Rng, Traits


@dataclass(frozen=True)
class Mixup(Defense):
    """Trains on mixtures of two records and of their targets.

    One weight lam ~ Beta(alpha, alpha) a batch; the partner is a random permutation of the
    batch: x~ = lam x + (1 - lam) x[perm], and the target alike, so that the loss is lam CE(y) +
    (1 - lam) CE(y[perm]).

    Source: Zhang et al., mixup, ICLR 2018; used against membership inference by Li, Li &
    Ribeiro, CODASPY 2021, section 4.

    Neutral: alpha 0 (a Beta that puts all its mass on 0 and 1 mixes nothing: lam is 1 then).

    Departures: the paper writes one weight a pair, its code draws one a batch: as the code.
    `label` stays the record's own.
    """

    neutral: ClassVar[Mapping[str, object] | None] = {"alpha": 0.0}
    cite: ClassVar[str] = (
        "@inproceedings{zhang2018mixup, title={mixup: Beyond Empirical Risk Minimization}, "
        "author={Zhang, Hongyi and Cisse, Moustapha and Dauphin, Yann N. and Lopez-Paz, David}, "
        "booktitle={ICLR}, year={2018}}"
    )

    alpha: Annotated[float, Range(0.1, 4.0, log=True, least=0.0)] = 1.0

    def traits(self) -> Traits:
        voids = (
            "mixup: a mixed example depends on two records, the accountant's epsilon does not hold"
        )
        return Traits(wants={"numbers"}, mixes_targets=True, voids_epsilon=voids)

    def batch(self, batch: Batch, rngs: Sequence[Rng], clock: Clock) -> Batch:
        if not self.alpha:
            return batch
        size = batch.x.shape[1]
        lam = torch.as_tensor(np.array([g.beta(self.alpha, self.alpha) for g in rngs]))
        perm = torch.as_tensor(np.stack([g.permutation(size) for g in rngs])).to(batch.x.device)
        row = torch.arange(len(rngs), device=batch.x.device)[:, None]

        def mix(a: "torch.Tensor") -> "torch.Tensor":
            w = lam.to(a.device, a.dtype).view(-1, *(1,) * (a.ndim - 1))
            return w * a + (1 - w) * a[row, perm]

        return batch._replace(x=mix(batch.x), target=mix(batch.target))
