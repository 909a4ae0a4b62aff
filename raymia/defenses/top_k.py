from collections.abc import Mapping
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
class TopK(Defense):
    """Releases the k largest probabilities; what they leave of 1 is spread evenly over the
    classes left out.

    Source: Shokri et al., S&P 2017, section VIII ("restrict the prediction vector to top k
    classes").

    Neutral: k of all classes or more.

    Departures: Shokri's vector ends after k entries. The attacker knows what is missing to 1,
    so that an even share in its place says the same, keeps the k probabilities as they are, and
    keeps every logarithm finite.
    """

    neutral: ClassVar[Mapping[str, object] | None] = {"k": 1000}
    cite: ClassVar[str] = (
        "@inproceedings{shokri2017membership, title={Membership Inference Attacks Against Machine "
        "Learning Models}, author={Shokri, Reza and Stronati, Marco and Song, Congzheng and "
        "Shmatikov, Vitaly}, booktitle={IEEE S\\&P}, year={2017}}"
    )

    k: Annotated[int, Range(1, 10, least=1)] = 3

    def release(self, owned: Owned) -> Release:
        def released(logits: Array) -> Array:
            p = probabilities(logits)
            classes = p.shape[-1]
            if self.k >= classes:
                return logits
            order = np.argsort(-p, -1, kind="stable")
            kept = np.zeros(p.shape, bool)
            np.put_along_axis(kept, order[..., : self.k], True, -1)
            rest = np.where(kept, 0.0, p).sum(-1, keepdims=True) / (classes - self.k)
            return logarithm(np.where(kept, p, rest))

        return released

    def in_graph(self, logits: "Tensor") -> "Tensor":
        p = logits.double().softmax(-1)
        classes = p.shape[-1]
        if self.k >= classes:
            return logits
        # the place of each among all, the first of equal ones first
        index = torch.arange(classes, device=p.device)
        larger = (p[:, None] > p[:, :, None]) | (
            (p[:, None] == p[:, :, None]) & (index[None] < index[:, None])
        )
        kept = larger.sum(-1) < self.k
        rest = torch.where(kept, 0.0, p).sum(-1, keepdim=True) / (classes - self.k)
        return torch.where(kept, p, rest).clamp(min=FLOOR).log()
