from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from raymia.errors import SweepError
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

    Counts in place of these fractions: `judged` of the evaluation set, `pool` of the targets'
    pool, `members` of a model, with its half of the evaluation set, and `reference` of the
    defender's records, which are set aside first; what `reserve` sets aside beyond them is the
    population. The paper's: judged 5,000, pool 10,000, and members and reference 10,000 each
    (Purchase 20,000; figure 5 up to 30,000, which takes 27,500 of either pool).

    Source: Li, Li & Ribeiro, Membership Inference Attacks and Defenses in Classification
    Models, CODASPY 2021, sections 3.2, 4.2 and 9.3; evaluation set and pools as in its code.

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
    members: Annotated[int | None, Range(100, 100_000, log=True, least=1)] = None
    judged: Annotated[int | None, Range(100, 50_000, log=True, least=2)] = None
    pool: Annotated[int | None, Range(100, 200_000, log=True, least=1)] = None
    reference: Annotated[int | None, Range(100, 100_000, log=True, least=1)] = None

    @property
    def shape(self) -> tuple[int, int]:
        return self.targets + self.shadows, self.targets

    @property
    def offers(self) -> frozenset[str]:
        own = {"reference"} if self.reference else set()
        return super().offers | own | {"in_shadows"}

    def draw(self, n: int, seed: int, replicate: int) -> Split:
        key = ("overlap", self.split_seed)
        role = reserve(n, self.reserve, *key, reference=self.reference)
        audited = stream(*key, "pools").permutation(np.flatnonzero(role == AUDITED))
        judged, own, each = self._sizes(len(audited))
        evaluation, inner, outer = np.split(audited, [judged, judged + own])
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
            member[m, rng.permutation(evaluation)[: judged // 2]] = True
            member[m, rng.permutation(inner if is_target else outer)[:each]] = True
        on = np.zeros(n, bool)
        on[evaluation] = True
        targets = np.arange(self.targets)
        shadows = np.broadcast_to(np.arange(models) >= self.targets, (self.targets, models)).copy()
        fit = np.zeros_like(member)
        fit[self.targets :, evaluation] = True
        judges = np.broadcast_to(on, (self.targets, n)).copy()
        return assemble(member, fit, judges, role, targets, shadows, seed, replicate)

    def _sizes(self, a: int) -> tuple[int, int, int]:
        """Of the evaluation set, of the targets' pool, and how many records of its side's pool a
        model draws, of `a` audited records. Raises SweepError.
        """
        judged = a // 12 if self.judged is None else self.judged
        own = a // 6 if self.pool is None else self.pool
        each = a // 8 if self.members is None else self.members - judged // 2
        counts = ("members", "judged", "pool", "reference")
        given = [f"{k}={n}" for k in counts if (n := getattr(self, k)) is not None]
        rest = max(0, a - judged - own)
        if given and not (judged and 0 <= each <= min(own, rest)):
            raise SweepError(
                f"protocol.overlap: got {', '.join(given)}; of {a} audited records {judged} are "
                f"judged, {own} are the targets' pool and {rest} the shadows': a model takes "
                f"{each} of its side's pool, 0 to {min(own, rest)} are allowed"
            )
        return judged, own, each
