from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from raymia.errors import SweepError
from raymia.point.space import Range
from raymia.records.split import AUDITED, Protocol, Split, assemble, reserve
from raymia.streams import stream


@dataclass(frozen=True)
class Official(Protocol):
    """One model on the data set's own train file, judged on as many records of it as of the
    test file: no shadows.

    `train`: how many records the train file has; they come first in every data set of two files
    (50,000 of cifar10; take no `records`, which draws from both). `judged` of each side, drawn
    afresh for each replicate; 0: all. Attacks that need shadows do not apply; those that know
    some records of the target do, if they are asked for by name.

    Source: Kaya, Hong & Dumitras 2020, section 4; 5,000 of each side as in the authors' code of
    2021.

    Departures: `reserve`, 0 here unless asked for, is taken out of both files: MMD and MemGuard
    need it.
    """

    cite: ClassVar[str] = (
        "@article{kaya2020effectiveness, title={On the Effectiveness of Regularization Against "
        "Membership Inference Attacks}, author={Kaya, Yigitcan and Hong, Sanghyun and Dumitras, "
        "Tudor}, journal={arXiv:2006.05336}, year={2020}}"
    )

    train: Annotated[int, Range(1, 1_000_000, least=1)] = 50_000
    judged: Annotated[int, Range(100, 50_000, least=0)] = 5_000
    reserve: Annotated[float, Range(0.0, 0.5, least=0.0, most=0.9)] = 0.0

    @property
    def shape(self) -> tuple[int, int]:
        return 1, 1

    @property
    def offers(self) -> frozenset[str]:
        return super().offers - {"out_shadows"}

    def draw(self, n: int, seed: int, replicate: int) -> Split:
        if self.train >= n:
            raise SweepError(
                f"protocol.official.train: got {self.train}; the data set has {n} records, less "
                "than that is allowed"
            )
        role = reserve(n, self.reserve, "official", seed)
        first, audited = np.arange(n) < self.train, role == AUDITED
        member, judged = (first & audited)[None], np.zeros((1, n), bool)
        sides = [np.flatnonzero(audited & side) for side in (first, ~first)]
        most = min(self.judged, *(len(side) for side in sides)) if self.judged else n
        for name, side in zip(("train", "test"), sides, strict=True):
            judged[0, stream(seed, replicate, "official", name).permutation(side)[:most]] = True
        nobody = np.zeros((1, 1), bool)
        return assemble(
            member, np.zeros_like(member), judged, role, np.array([0]), nobody, seed, replicate
        )
