from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import numpy as np

from raymia.lazy import torch
from raymia.point.space import Range
from raymia.training.defense import Defense, Fit, Lesson, Rng, Traits
from raymia.training.losses import softened


@dataclass(frozen=True)
class Selena(Defense):
    """Split-AI and self-distillation: a record's soft target comes only from sub-models that
    have not seen it.

    `sub_models` (K) are trained, each record being left out of `left_out` (L) of them at
    random; the target of a member is the mean softmax of its own L. A fresh network learns
    these targets by soft cross-entropy, without temperature or hard labels.

    Source: Tang et al., USENIX Security 2022, algorithms 1 and 2 (K 25, L 10). Costs K + 1
    trainings a model.

    Neutral: none exists: the targets are never the labels (law L3: each target is the mean of
    exactly the L that left the record out).

    Departures: the schedule is the sweep's own. The authors' is a sweep's `training: {warmup: 1,
    checkpoint: best}`, for sub-models and student alike, but that their code chooses the best epoch
    by the test records, and this by the protocol's reserve.

    Their adaptive attacker is the attack `selena_adaptive`.
    """

    cite: ClassVar[str] = (
        "@inproceedings{tang2022selena, title={Mitigating Membership Inference Attacks by "
        "Self-Distillation Through a Novel Ensemble Architecture}, author={Tang, Xinyu and "
        "Mahloujifar, Saeed and Song, Liwei and Shejwalkar, Virat and Nasr, Milad and Houmansadr, "
        "Amir and Mittal, Prateek}, booktitle={USENIX Security}, year={2022}}"
    )

    sub_models: Annotated[int, "no range: costs grow with it"] = 25
    left_out: Annotated[int, Range(2, 20, least=1)] = 10

    def __post_init__(self) -> None:
        if not self.left_out < self.sub_models:
            raise ValueError(
                f"left_out: got {self.left_out}; less than sub_models ({self.sub_models}) is "
                "allowed"
            )

    def traits(self) -> Traits:
        return Traits(
            splits=True,
            voids_epsilon="selena: its sub-models are trained on the members without privacy",
        )

    def teach(self, lesson: Lesson, fit: Fit, rngs: Sequence[Rng]) -> Lesson:
        out = [
            left_out(len(m), self.sub_models, self.left_out, rng)
            for m, rng in zip(lesson.members, rngs, strict=True)
        ]
        others = [np.delete(np.arange(len(lesson.x)), m) for m in lesson.members]
        like = [
            o[rng.integers(len(o), size=len(rest))]
            for o, rest, rng in zip(out, others, rngs, strict=True)
        ]
        target, split_ai = torch.zeros(
            (2, len(lesson), len(lesson.x), lesson.classes),
            device=lesson.x.device,
            dtype=torch.float64,
        )
        for j in range(self.sub_models):
            seen = tuple(m[~o[:, j]] for m, o in zip(lesson.members, out, strict=True))
            for k, model in enumerate(fit(Defense(), replace(lesson, members=seen), f"split-{j}")):
                for said, rows, of in (
                    (target, lesson.members[k], out[k]),
                    (split_ai, others[k], like[k]),
                ):
                    on = torch.as_tensor(rows[of[:, j]]).to(lesson.x.device)
                    if len(on):
                        said[k, on] += softened(model, lesson.x[on], 1.0).double() / self.left_out
        return replace(lesson, target=target, split_ai=target + split_ai)


def left_out(
    records: int, sub_models: int, count: int, rng: Rng
) -> "np.ndarray[tuple[int, int], np.dtype[np.bool_]]":
    """Which sub-model leaves out which record: bool [records, sub_models], `count` of each row."""
    order = rng.random((records, sub_models)).argsort(1)
    return order < count
