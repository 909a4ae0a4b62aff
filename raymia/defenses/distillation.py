from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from raymia.lazy import F, torch
from raymia.point.space import Range
from raymia.training.defense import Batch, Clock, Defense, Fit, Lesson, Rng, Traits, cross_entropy
from raymia.training.losses import divergence, softened

if TYPE_CHECKING:
    from torch import Tensor

    from raymia.training.network import Outputs


@dataclass(frozen=True)
class Distillation(Defense):
    """Each model learns from the softened outputs of an undefended model that was trained on
    the same members.

    `form: kaya`: -sum_c softmax(z_T / t)_c log softmax(z_S)_c, the student at temperature 1, no
    hard labels, no t^2. `form: squared`: weight t^2 KL(softmax(z_T / t) || softmax(z_S / t))
    averaged over records and classes, plus (1 - weight) times the cross-entropy of the label;
    it replaces the criterion, and is refused beside what mixes targets (`mixup`, `hamp`,
    `label_smoothing`), whose labels it would read unmixed.

    Source: Kaya, Hong & Dumitras 2020, section 3 (t 1 to 100), and the authors' later code;
    `squared` is RelaxLoss's code.

    Neutral: none exists: at t 1 the student still learns a teacher's outputs, not labels (law
    L3: the soft targets are the teacher's softmax, and at weight 0 the squared form is the
    cross-entropy).

    Departures: the teacher speaks once of the clean records, not of each augmented batch. It is
    trained without the other parts of the recipe, as Kaya's is the run's own baseline.
    """

    cite: ClassVar[str] = (
        "@article{kaya2020effectiveness, title={On the Effectiveness of Regularization Against "
        "Membership Inference Attacks}, author={Kaya, Yigitcan and Hong, Sanghyun and Dumitras, "
        "Tudor}, journal={arXiv:2006.05336}, year={2020}}"
    )

    t: Annotated[float, Range(1.0, 100.0, log=True, least=0.01)] = 10.0
    form: Literal["kaya", "squared"] = "kaya"
    weight: Annotated[float, "no range: the published code fixes it"] = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1:
            raise ValueError(f"weight: got {self.weight}; 0 to 1 is allowed")

    def traits(self) -> Traits:
        return Traits(
            reads_labels=self.form == "squared",
            voids_epsilon="distillation: the teacher is trained on the members without privacy",
        )

    def owns(self, seam: str) -> bool:
        return super().owns(seam) and not (seam == "criterion" and self.form == "kaya")

    def teach(self, lesson: Lesson, fit: Fit, rngs: Sequence[Rng]) -> Lesson:
        teachers = fit(Defense(), lesson, "teacher")
        return replace(
            lesson,
            target=torch.stack([softened(teacher, lesson.x, self.t) for teacher in teachers]),
        )

    def criterion(self, outputs: Outputs, batch: Batch, clock: Clock) -> Tensor:
        if self.form == "kaya":
            return super().criterion(outputs, batch, clock)
        soft = divergence(batch.target, outputs.logits, self.t).mean(-1)
        hard = cross_entropy(
            outputs.logits, F.one_hot(batch.label, outputs.logits.shape[-1]).to(soft.dtype)
        )
        return self.weight * self.t**2 * soft + (1 - self.weight) * hard
