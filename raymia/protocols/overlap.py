from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from raymia.point.space import Range
from raymia.records.split import AUDITED, Protocol, Split, assemble, reserve
from raymia.streams import stream


@dataclass(frozen=True)
class Overlap(Protocol):
    """Every model trains on half of one common evaluation set, and on records of its own side:
    the split of Li et al.

    A twelfth of the audited records is the evaluation set, a sixth the targets' pool, the rest
    the shadows' pool; a model draws half of the evaluation set and an eighth of the audited
    records from its side's pool (on 60,000 records: 5,000, 10,000, 45,000 and 7,500). Targets
    are judged, and attacks fitted, on the evaluation set. A replicate draws the models' records
    anew from the same three sets; another `split_seed` draws the sets, and `raymia confirm`
    moves it along.

    Source: Li, Li & Ribeiro, Membership Inference Attacks and Defenses in Classification
    Models, CODASPY 2021, section 5.

    Departures: test accuracy is taken on the judged non-members, as everywhere in raymia; the
    paper adds the targets' pool.
    """

    grows: ClassVar[tuple[str, ...]] = ("targets", "shadows")
    cite: ClassVar[str] = (
        "@inproceedings{li2021mmd, title={Membership Inference Attacks and Defenses in "
        "Classification Models}, author={Li, Jiacheng and Li, Ninghui and Ribeiro, Bruno}, "
        "booktitle={CODASPY}, year={2021}}"
    )

    targets: Annotated[int, Range(1, 50, least=1, most=2048)] = 10
    shadows: Annotated[int, Range(2, 50, least=2, most=2048)] = 10
    split_seed: Annotated[int, Range(0, 1000, least=0)] = 123

    @property
    def shape(self) -> tuple[int, int]:
        return self.targets + self.shadows, self.targets

    @property
    def offers(self) -> frozenset[str]:
        return super().offers | {"in_shadows"}

    def draw(self, n: int, seed: int, replicate: int) -> Split:
        key = ("overlap", self.split_seed)
        role = reserve(n, self.reserve, *key)
        audited = stream(*key, "pools").permutation(np.flatnonzero(role == AUDITED))
        a = len(audited)
        evaluation, own, pool = np.split(audited, [a // 12, a // 12 + a // 6])
        models = self.targets + self.shadows
        member = np.zeros((models, n), bool)
        for m in range(models):
            is_target = m < self.targets
            # named by side and number, so that more targets do not redraw the shadows
            rng = stream(
                *key,
                replicate,
                "target" if is_target else "shadow",
                m if is_target else m - self.targets,
            )
            member[m, rng.permutation(evaluation)[: len(evaluation) // 2]] = True
            member[m, rng.permutation(own if is_target else pool)[: a // 8]] = True
        on = np.zeros(n, bool)
        on[evaluation] = True
        targets = np.arange(self.targets)
        shadows = np.broadcast_to(np.arange(models) >= self.targets, (self.targets, models)).copy()
        fit = np.zeros_like(member)
        fit[self.targets :, evaluation] = True
        judged = np.broadcast_to(on, (self.targets, n)).copy()
        return assemble(member, fit, judged, role, targets, shadows, seed, replicate)
