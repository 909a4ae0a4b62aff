from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from raymia.point.space import Range
from raymia.records.split import AUDITED, Protocol, Split, assemble, reserve
from raymia.streams import stream


@dataclass(frozen=True)
class Coin(Protocol):
    """Complementary pairs: model 2k trains on a random half of the audited records, model 2k+1
    on the other half.

    A target's view leaves out the target and its complement, so that every record is in exactly
    half of the shadows whatever the target trained on. Targets are models 0, 2, 4, ... Draws
    are prefix-stable: growing 8 to 32 models keeps the first 8.

    Source: Carlini et al., Membership Inference Attacks From First Principles, S&P 2022 (half
    of the models per record).

    Departures: drawn in complementary pairs; without them, counting the other rows gives the
    target's away.
    """

    grows: ClassVar[tuple[str, ...]] = ("models", "targets")
    cite: ClassVar[str] = (
        "@inproceedings{carlini2022lira, title={Membership Inference Attacks From First "
        "Principles}, author={Carlini, Nicholas and Chien, Steve and Nasr, Milad and Song, Shuang "
        "and Terzis, Andreas and Tram{\\`e}r, Florian}, booktitle={IEEE Symposium on Security and "
        "Privacy}, year={2022}}"
    )

    models: Annotated[int, Range(4, 256, least=4, most=4096)] = 8
    targets: Annotated[int, Range(1, 128, least=1)] = 4

    def __post_init__(self) -> None:
        if self.models % 2:
            raise ValueError(
                f"models: got {self.models}; an even number is allowed, the models come in "
                "complementary pairs"
            )
        if self.targets > self.models // 2:
            raise ValueError(
                f"targets: got {self.targets}; at most models / 2 = {self.models // 2} is allowed"
            )

    @property
    def shape(self) -> tuple[int, int]:
        return self.models, self.targets

    @property
    def offers(self) -> frozenset[str]:
        return super().offers | {"in_shadows"}

    def draw(self, n: int, seed: int, replicate: int) -> Split:
        role = reserve(n, self.reserve, seed, replicate)
        audited = np.flatnonzero(role == AUDITED)
        member = np.zeros((self.models, n), bool)
        for pair in range(self.models // 2):
            order = stream(seed, replicate, "coin", pair).permutation(audited)
            member[2 * pair, order[: len(order) // 2]] = True
            member[2 * pair + 1, order[len(order) // 2 :]] = True
        twin = np.arange(self.models) ^ 1
        targets = 2 * np.arange(self.targets)
        shadows = np.ones((self.targets, self.models), bool)
        shadows[np.arange(self.targets), targets] = False
        shadows[np.arange(self.targets), twin[targets]] = False
        everywhere = np.broadcast_to(role == AUDITED, (self.models, n)).copy()
        return assemble(
            member, everywhere, everywhere[targets], role, targets, shadows, seed, replicate, twin
        )
