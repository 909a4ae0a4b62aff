from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, ClassVar

from raymia.point.schedule import Training as Schedule
from raymia.training.defense import Defense, Traits

LEFT_OUT = "no range: left out it is the sweep's own; give one to search it"
NAMES = {
    "optimizer": ("sgd", "adam", "amsgrad"),
    "augment": ("none", "crop_flip", "crop_flip_shared"),
    "checkpoint": ("last", "best"),
}
BOUNDS = {
    "epochs": (1, 100_000),
    "batch_size": (1, 10**7),
    "lr": (0.0, 1e6),
    "momentum": (0.0, 1.0),
    "weight_decay": (0.0, 1e6),
    "warmup": (0, 100_000),
}


@dataclass(frozen=True)
class Training(Defense):
    """A schedule of an arm's own, in place of what is left out: not a defense, but what makes two
    of them comparable (SRCM trains 120 epochs beside a baseline's 100, DP-SGD has a recipe of its
    own).

    `milestones`: "50 0.1, 80 0.01" is a tenth of `lr` from 50 epochs on and a hundredth from 80; or
    fractions of the epochs. Any knob may have a range or choices: then it is searched.

    Source: the schedules of the papers whose tables a sweep repeats; Aerni, Zhang & Tramer, CCS
    2024, on why every arm is to have the recipe that suits it.

    Neutral: nothing is given.
    """

    neutral: ClassVar[Mapping[str, object] | None] = {}
    cite: ClassVar[str] = (
        "@inproceedings{aerni2024evaluations, title={Evaluations of Machine Learning Privacy "
        "Defenses are Misleading}, author={Aerni, Michael and Zhang, Jie and Tram{\\`e}r, "
        "Florian}, booktitle={ACM CCS}, year={2024}}"
    )

    epochs: Annotated[int | None, LEFT_OUT] = None
    batch_size: Annotated[int | None, LEFT_OUT] = None
    optimizer: Annotated[str | None, LEFT_OUT] = None
    lr: Annotated[float | None, LEFT_OUT] = None
    momentum: Annotated[float | None, LEFT_OUT] = None
    weight_decay: Annotated[float | None, LEFT_OUT] = None
    milestones: Annotated[str | None, LEFT_OUT] = None
    augment: Annotated[str | None, LEFT_OUT] = None
    warmup: Annotated[int | None, LEFT_OUT] = None
    checkpoint: Annotated[str | None, LEFT_OUT] = None

    def __post_init__(self) -> None:
        steps(self.milestones)
        for name, allowed in NAMES.items():
            if (value := getattr(self, name)) not in (None, *allowed):
                raise ValueError(f"{name}: got {value!r}; one of {', '.join(allowed)} is allowed")
        for name, (least, most) in BOUNDS.items():
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise ValueError(f"{name}: got {value!r}; {least:g} to {most:g} is allowed")

    def traits(self) -> Traits:
        return Traits(wants={"reserve"} if self.checkpoint == "best" else set())

    def training(self, training: Schedule) -> Schedule:
        given: dict[str, Any] = {
            field.name: value
            for field in fields(self)
            if field.name != "milestones" and (value := getattr(self, field.name)) is not None
        }
        if self.milestones is not None:
            given["milestones"] = steps(self.milestones)
        return replace(training, **given)


def steps(text: str | None) -> tuple[tuple[float, float], ...]:
    """The (place, factor) pairs of a text. Raises ValueError where they are none."""
    try:
        pairs = [
            tuple(map(float, step.split())) for step in (text or "").split(",") if step.strip()
        ]
        made = tuple((place, factor) for place, factor in pairs)
    except ValueError:
        made = ((0.0, 0.0),)
    places = [place for place, _ in made]
    whole = [place >= 1 for place in places]
    if (
        sorted(set(places)) != places
        or any(factor <= 0 or place <= 0 for place, factor in made)
        or len(set(whole)) > 1
        or any(place >= 1 and place != int(place) for place in places)
    ):
        raise ValueError(
            f'milestones: got {text!r}; steps like "50 0.1, 80 0.01" are allowed: ascending '
            "epochs, or fractions of them, each with a factor above 0"
        )
    return made
