from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np

from raymia.lazy import torch
from raymia.point.space import Range
from raymia.training.defense import Array, Defense, Owned, Release
from raymia.training.losses import FLOOR, logarithm, probabilities

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Rounding(Defense):
    """Releases probabilities rounded to `digits` decimal digits.

    Source: Shokri et al., S&P 2017, section VIII ("coarsen precision of the prediction vector").

    Neutral: none exists that is exact: every number of digits rounds (law L3: at 15 digits
    nothing moves by more than 1e-15).

    Departures: the label is released beside the vector, as every service does: where rounding
    makes ties, the predicted class stays first by one part in 100,000. A probability of 0 has
    the logarithm of 1e-30. Rounded numbers need not sum to 1; an attacker that wants them to
    divides by the sum.
    """

    cite: ClassVar[str] = (
        "@inproceedings{shokri2017membership, title={Membership Inference Attacks Against Machine "
        "Learning Models}, author={Shokri, Reza and Stronati, Marco and Song, Congzheng and "
        "Shmatikov, Vitaly}, booktitle={IEEE S\\&P}, year={2017}}"
    )

    digits: Annotated[int, Range(1, 4, least=0, most=15)] = 2

    def release(self, owned: Owned) -> Release:
        def released(logits: Array) -> Array:
            p = probabilities(logits)
            coarse = np.round(p, self.digits)
            top = p.argmax(-1)[..., None]
            first = np.take_along_axis(coarse, top, -1)
            tied = (coarse == first).sum(-1, keepdims=True) > 1
            np.put_along_axis(
                coarse, top, np.where(tied, np.maximum(first, 1e-30) * (1 + 1e-5), first), -1
            )
            return logarithm(coarse)

        return released

    def in_graph(self, logits: "Tensor") -> "Tensor":
        p = logits.double().softmax(-1)
        scale = 10.0**self.digits
        coarse = (p * scale).round() / scale
        top = p.argmax(-1, keepdim=True)
        first = coarse.gather(-1, top)
        tied = (coarse == first).sum(-1, keepdim=True) > 1
        ahead = torch.where(tied, first.clamp(min=FLOOR) * (1 + 1e-5), first)
        label = torch.arange(p.shape[-1], device=p.device) == top
        return torch.where(label, ahead, coarse).clamp(min=FLOOR).log()
