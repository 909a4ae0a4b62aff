from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from raymia.lazy import torch
from raymia.point import catalog
from raymia.point.schedule import Training
from raymia.point.space import Range
from raymia.training.defense import Batch, Clock, Defense, Fit, Lesson, Predictor, Rng, Traits
from raymia.training.losses import divergence, softened

if TYPE_CHECKING:
    from torch import Tensor

    from raymia.training.network import Outputs

OWN = "no range: left out it is the arm's own; give one to search it"
SCHEDULE = ("epochs", "batch_size", "optimizer", "lr", "momentum", "weight_decay")


@dataclass(frozen=True)
class Dmp(Defense):
    """Distillation for membership privacy: a teacher on the members, a student on other records.

    The student minimises KL(softmax(z_T / tau) || softmax(z_S / tau)), no tau^2, no labels.
    `average: records` is the mean over records, as the paper writes it; `elements` divides by
    the number of classes too, as all released code does. `source: split` gives up a `split` of
    each model's members as the student's records; the others are the private ones, whose
    membership is judged. `source: synthetic` draws as many as `pictures` (0: as many as
    members) from a DCGAN that is trained on the members, its first layer `gan_width` wide.
    `lowest_entropy`: the share of these records that the student sees, those of which the teacher
    is surest by the entropy of softmax(z_T / tau); 1 is all of them. The teacher is trained by
    the sweep's schedule; `student_*` stand in its place for the student (the authors' notebook:
    teacher Adam 5e-4, student SGD 0.1, momentum 0.99, batches of 16 or 32, 200 epochs), and so
    does a `training` beside, which has milestones too.

    Source: Shejwalkar & Houmansadr, AAAI 2021, section 3; `synthetic`: code of SRCM and CRL.

    Neutral: none exists: the student sees no label (law L3: the loss is 0 where both agree).

    Departures: reference records are random by default, as in all code; the paper selects by
    entropy (the lowest, as others restate its proposition 1; how many is left open here). The
    student's batches are shuffled; the code's are not, and its momentum begins anew each epoch.
    Records that were given up are no members: `auc_reference` judges all of them, those that the
    student does not see as well. The GAN sees pixels scaled to [-1, 1], all that its tanh draws;
    the code shows it normalised ones, to about 2.2, and clips.
    """

    cite: ClassVar[str] = (
        "@inproceedings{shejwalkar2021dmp, title={Membership Privacy for Machine Learning Models "
        "Through Knowledge Transfer}, author={Shejwalkar, Virat and Houmansadr, Amir}, "
        "booktitle={AAAI}, year={2021}}"
    )

    tau: Annotated[float, Range(1.0, 4.0, log=True, least=0.01)] = 1.0
    source: Literal["split", "synthetic"] = "split"
    split: Annotated[float, "no range: it decides who is judged"] = 0.5
    pictures: Annotated[int, "no range: costs grow with it"] = 0
    average: Literal["records", "elements"] = "records"
    gan_epochs: Annotated[int, "no range: the published code fixes it"] = 200
    gan_width: Annotated[int, "no range: the published code fixes it"] = 64
    lowest_entropy: Annotated[float, "no range: fewer records are another student's"] = 1.0
    student_epochs: Annotated[int | None, OWN] = None
    student_batch_size: Annotated[int | None, OWN] = None
    student_optimizer: Literal["own", "sgd", "adam", "amsgrad"] = "own"
    student_lr: Annotated[float | None, OWN] = None
    student_momentum: Annotated[float | None, OWN] = None
    student_weight_decay: Annotated[float | None, OWN] = None

    def __post_init__(self) -> None:
        if not 0 < self.split < 1:
            raise ValueError(f"split: got {self.split}; more than 0 and less than 1 is allowed")
        for name, least in (("pictures", 0), ("gan_epochs", 1), ("gan_width", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}: got {getattr(self, name)}; at least {least} is allowed")
        if not 0 < self.lowest_entropy <= 1:
            got = f"lowest_entropy: got {self.lowest_entropy}"
            raise ValueError(f"{got}; more than 0 and at most 1 is allowed")
        for name, value in self._students().items():
            try:
                catalog.knobs(Training)[name].check(value)
            except ValueError as error:
                raise ValueError(f"student_{name}: got {value!r}; {error}") from None

    def _students(self) -> dict[str, Any]:
        """The fields of a schedule that are the student's own."""
        own = {name: getattr(self, f"student_{name}") for name in SCHEDULE}
        return {name: value for name, value in own.items() if value not in (None, "own")}

    def owns(self, seam: str) -> bool:
        return super().owns(seam) and (seam != "training" or bool(self._students()))

    def training(self, training: Training) -> Training:
        return replace(training, **self._students())

    def traits(self) -> Traits:
        split = self.source == "split"
        return Traits(
            wants=set() if split else {"images"},
            share=self.split if split else 0.0,
            share_knob="split" if split else "",
            spends_reference=split,
            invents=not split,
            voids_epsilon="dmp: the teacher is trained on the members without privacy",
        )

    def teach(self, lesson: Lesson, fit: Fit, rngs: Sequence[Rng]) -> Lesson:
        teachers = fit(Defense(), lesson, "teacher")
        return (
            self._on_reference(lesson, teachers)
            if self.source == "split"
            else self._on_pictures(lesson, teachers, rngs)
        )

    def _on_reference(self, lesson: Lesson, teachers: Sequence[Predictor]) -> Lesson:
        target = torch.zeros((len(lesson), len(lesson.x), lesson.classes), device=lesson.x.device)
        members = []
        for k, (teacher, rows) in enumerate(zip(teachers, lesson.reference, strict=True)):
            own = torch.as_tensor(rows).to(lesson.x.device)
            said = softened(teacher, lesson.x[own], self.tau)
            kept = self._surest(said)
            target[k, own[kept]] = said[kept].to(target.dtype)
            members.append(rows[kept.cpu().numpy()])
        return replace(lesson, members=tuple(members), target=target)

    def _on_pictures(
        self, lesson: Lesson, teachers: Sequence[Predictor], rngs: Sequence[Rng]
    ) -> Lesson:
        from raymia.training.gan import lookalikes

        empty = torch.zeros((len(lesson.x), lesson.classes), device=lesson.x.device)
        xs, targets, members = [lesson.x], [empty], []
        drawn = lookalikes(lesson, self.pictures, self.gan_epochs, self.gan_width, rngs)
        for teacher, own in zip(teachers, drawn, strict=True):
            said = softened(teacher, own, self.tau)
            members.append((self._surest(said) + sum(map(len, xs))).cpu().numpy())
            xs.append(own)
            targets.append(said.to(empty.dtype))
        target = torch.cat(targets)
        y = torch.cat([lesson.y, target[len(lesson.y) :].argmax(-1)])
        # each model's pictures are its own rows: one table serves all
        target = target.expand(len(lesson), *target.shape)
        return replace(lesson, x=torch.cat(xs), y=y, members=tuple(members), target=target)

    def _surest(self, said: Tensor) -> Tensor:
        """Which of the teacher's answers [R, C] the student sees, in their order."""
        entropy: Tensor = torch.special.entr(said).sum(-1)
        count = max(1, round(self.lowest_entropy * len(said)))
        return entropy.argsort(stable=True)[:count].sort().values

    def criterion(self, outputs: Outputs, batch: Batch, clock: Clock) -> Tensor:
        terms = divergence(batch.target, outputs.logits, self.tau)
        return terms.sum(-1) if self.average == "records" else terms.mean(-1)
