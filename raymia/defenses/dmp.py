from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np

from raymia.lazy import torch
from raymia.point.space import Range
from raymia.training.defense import Batch, Clock, Defense, Fit, Lesson, Predictor, Rng, Traits
from raymia.training.losses import divergence, softened

if TYPE_CHECKING:
    from torch import Tensor

    from raymia.training.network import Outputs


@dataclass(frozen=True)
class Dmp(Defense):
    """Distillation for membership privacy: a teacher on the members, a student on other records.

    The student minimises KL(softmax(z_T / tau) || softmax(z_S / tau)), no tau^2, no labels.
    `average: records` is the mean over records, as the paper writes it; `elements` divides by
    the number of classes too, as all released code does. `source: split` gives up a `split` of
    each model's members as the student's records; the others are the private ones, whose
    membership is judged. `source: synthetic` draws as many as `pictures` (0: as many as
    members) from a DCGAN that is trained on the members, its first layer `gan_width` wide.

    Source: Shejwalkar & Houmansadr, AAAI 2021, section 3; `synthetic`: code of SRCM and CRL.

    Neutral: none exists: the student sees no label (law L3: the loss is 0 where both agree).

    Departures: reference records are random, as in all code; the paper selects by entropy. The
    student's batches are shuffled; the code's are not. Records that were given up are in no
    attack's columns, though the student is trained on them. The GAN sees pixels scaled to [-1,
    1], all that its tanh draws; the code shows it normalised ones, to about 2.2, and clips.
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

    def __post_init__(self) -> None:
        if not 0 < self.split < 1:
            raise ValueError(f"split: got {self.split}; more than 0 and less than 1 is allowed")
        for name, least in (("pictures", 0), ("gan_epochs", 1), ("gan_width", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}: got {getattr(self, name)}; at least {least} is allowed")

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
        for k, (teacher, rows) in enumerate(zip(teachers, lesson.reference, strict=True)):
            own = torch.as_tensor(rows).to(lesson.x.device)
            target[k, own] = softened(teacher, lesson.x[own], self.tau).to(target.dtype)
        return replace(lesson, members=lesson.reference, target=target)

    def _on_pictures(
        self, lesson: Lesson, teachers: Sequence[Predictor], rngs: Sequence[Rng]
    ) -> Lesson:
        from raymia.training.gan import pictures

        byte = lesson.x.dtype == torch.uint8
        empty = torch.zeros((len(lesson.x), lesson.classes), device=lesson.x.device)
        xs, targets, members = [lesson.x], [empty], []
        for teacher, rows, rng in zip(teachers, lesson.members, rngs, strict=True):
            real = lesson.x[torch.as_tensor(rows).to(lesson.x.device)]
            count, seed = self.pictures or len(rows), int(rng.integers(2**62))
            drawn = pictures(
                real.float() / 255 if byte else real, count, self.gan_epochs, self.gan_width, seed
            )
            xs.append((drawn * 255).round().to(torch.uint8) if byte else drawn)
            members.append(np.arange(count) + sum(map(len, xs[:-1])))
            targets.append(softened(teacher, xs[-1], self.tau).to(targets[0].dtype))
        target = torch.cat(targets)
        y = torch.cat([lesson.y, target[len(lesson.y) :].argmax(-1)])
        # each model's pictures are its own rows: one table serves all
        target = target.expand(len(lesson), *target.shape)
        return replace(lesson, x=torch.cat(xs), y=y, members=tuple(members), target=target)

    def criterion(self, outputs: Outputs, batch: Batch, clock: Clock) -> Tensor:
        terms = divergence(batch.target, outputs.logits, self.tau)
        return terms.sum(-1) if self.average == "records" else terms.mean(-1)
