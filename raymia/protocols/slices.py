from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from raymia.point.space import Range
from raymia.records.split import REFERENCE, Protocol, Split, assemble


@dataclass(frozen=True)
class Slices(Protocol):
    """Five equal slices: target's members and non-members, one shadow's members and
    non-members, the defender's reference.

    All replicates have the same slices; another `split_seed` draws others, and `raymia confirm`
    moves it along.

    Source: Chen, Yu & Fritz, RelaxLoss, ICLR 2022, and its code (12,000 records a slice on
    CIFAR, numpy seed 1000).

    Departures: `reserve` does nothing here; the fifth slice is the reference, and there is no
    population.
    """

    cite: ClassVar[str] = (
        "@inproceedings{chen2022relaxloss, title={RelaxLoss: Defending Membership Inference "
        "Attacks without Losing Utility}, author={Chen, Dingfan and Yu, Ning and Fritz, Mario}, "
        "booktitle={ICLR}, year={2022}}"
    )

    split_seed: Annotated[int, Range(0, 10000, least=0)] = 1000

    @property
    def shape(self) -> tuple[int, int]:
        return 2, 1

    @property
    def offers(self) -> frozenset[str]:
        return frozenset({"out_shadows", "reference"})

    def draw(self, n: int, seed: int, replicate: int) -> Split:
        # the papers' generator, for the papers' slices
        order = np.random.RandomState(self.split_seed).permutation(n)
        part = [order[i * (n // 5) : (i + 1) * (n // 5)] for i in range(5)]
        member = np.zeros((2, n), bool)
        member[0, part[0]] = member[1, part[2]] = True
        fit, judged = np.zeros((2, n), bool), np.zeros((1, n), bool)
        fit[1, part[2]] = fit[1, part[3]] = True
        judged[0, part[0]] = judged[0, part[1]] = True
        role = np.zeros(n, np.int8)
        role[part[4]] = REFERENCE
        return assemble(
            member, fit, judged, role, np.array([0]), np.array([[False, True]]), seed, replicate
        )
