from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from raymia.point.space import Range
from raymia.records.split import AUDITED, Protocol, Split, assemble, reserve


@dataclass(frozen=True)
class Halves(Protocol):
    """One target on one half of the records, its shadows on the other: the split of SRCM and CRL.

    The audited records are halved, target's half first; the target's half is halved again into
    its members and non-members; shadow i halves the pool with random state i. Shadows never see
    the target's records: offline attacks only. All replicates have the same split; another
    `split_seed` draws another, and `raymia confirm` moves it along.

    Source: Fang & Kim, SRCM (AIES 2024) and CRL (UAI 2024), section on setup; sizes 15,000 +
    15,000 on CIFAR with `reserve: 0`.
    """

    grows: ClassVar[tuple[str, ...]] = ("shadows",)
    cite: ClassVar[str] = (
        "@inproceedings{fang2024crl, title={Center-Based Relaxed Learning Against Membership "
        "Inference Attacks}, author={Fang, Xingli and Kim, Jung-Eun}, booktitle={Uncertainty in "
        "Artificial Intelligence}, year={2024}}"
    )

    shadows: Annotated[int, Range(1, 64, least=1, most=4095)] = 5
    split_seed: Annotated[int, Range(0, 1000, least=0)] = 0

    @property
    def shape(self) -> tuple[int, int]:
        return 1 + self.shadows, 1

    def draw(self, n: int, seed: int, replicate: int) -> Split:
        from sklearn.model_selection import train_test_split

        def halve(records: np.ndarray, state: int) -> tuple[np.ndarray, np.ndarray]:
            first, second = train_test_split(records, test_size=0.5, random_state=state)
            return first, second

        role = reserve(n, self.reserve, "halves", self.split_seed)
        own, pool = halve(np.flatnonzero(role == AUDITED), self.split_seed)
        member = np.zeros((1 + self.shadows, n), bool)
        member[0, halve(own, self.split_seed)[0]] = True
        for i in range(self.shadows):
            member[1 + i, halve(pool, i)[0]] = True
        fit = np.zeros_like(member)
        fit[1:, pool] = True
        judged = np.zeros((1, n), bool)
        judged[0, own] = True
        others = np.arange(len(member))[None] > 0
        return assemble(member, fit, judged, role, np.array([0]), others, seed, replicate)
