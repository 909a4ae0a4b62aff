"""Laws that every estimator in a network's place keeps, whoever wrote it: `networks.check` asks for
these of what trains itself.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from raymia.laws.law import holds
from raymia.point import catalog
from raymia.point.schedule import Training
from raymia.point.space import Part
from raymia.training.architecture import Estimator
from raymia.training.defense import Defense, Lesson
from raymia.training.estimators import Estimates, Fitted
from raymia.training.fit import fit
from raymia.training.losses import probabilities
from raymia.training.model import front, predict

RECORDS, MEMBERS = 120, 80
Knobs = Mapping[str, Any]


def _made(name: str, knobs: Knobs) -> Estimator:
    network: Estimator = catalog.made("networks", Part(name, knobs))
    return network


def _lesson(features: int, classes: int, models: Sequence[int] = (0,), **more: Any) -> Lesson:
    """Records whose first feature says their class."""
    y = np.arange(RECORDS) % classes
    x = np.random.default_rng(0).random((RECORDS, features)).astype(np.float32)
    x[:, 0] += 2 * y
    own = tuple(np.sort(np.random.default_rng(m).permutation(RECORDS)[:MEMBERS]) for m in models)
    nobody = (np.zeros(0, np.int64),) * len(own)
    return Lesson(
        torch.as_tensor(x), torch.as_tensor(y), own, nobody, classes, scale="members", **more
    )


def _trained(name: str, knobs: Knobs, lesson: Lesson, models: Sequence[int] = (0,)) -> list[Fitted]:
    before = partial(front, lesson.x.shape[1:], (0.0,), (1.0,), None)
    build = Estimates(_made(name, knobs), before)
    found = fit(Defense(), build, lesson, Training(), ("law",), models)
    return [one for one in found if isinstance(one, Fitted)]


def _each(name: str, knobs: Knobs) -> Iterator[tuple[str, Lesson, Fitted]]:
    for features, classes in ((1, 2), (40, 2), (7, 10)):
        lesson = _lesson(features, classes)
        (model,) = _trained(name, knobs, lesson)
        yield f"{features} features, {classes} classes", lesson, model


def says_logarithms_of_its_floored_probabilities(name: str, knobs: Knobs) -> None:
    """Logits [B, C] are log max(p, floor), and the floor is below 1 / C."""
    for where, lesson, model in _each(name, knobs):
        said = model(lesson.x)
        holds(said.shape == (RECORDS, lesson.classes), f"{where}: {tuple(said.shape)}")
        x = model.before(lesson.x).numpy()
        p = np.asarray(model.estimator.predict_proba(x))
        apart = float(abs(said.exp().numpy() - p).max())
        holds(apart <= model.floor + 1e-9, f"{where}: a probability differs by {apart:g}")
        least = float(said.exp().min())
        holds(least >= model.floor * (1 - 1e-9), f"{where}: {least:g} is below {model.floor:g}")
        holds(0 < model.floor < 1 / lesson.classes, f"{where}: a floor of {model.floor:g}")


def learns_what_its_members_show(name: str, knobs: Knobs) -> None:
    """Where one feature says the class, more than half of its members are told right."""
    for where, lesson, model in _each(name, knobs):
        own = lesson.members[0]
        right = (predict(model, lesson.x).argmax(-1) == lesson.y.numpy())[own].mean()
        holds(right > 0.5, f"{where}: {right:.0%}")


def the_same_seed_trains_the_same(name: str, knobs: Knobs) -> None:
    """Twice the same streams, twice the same logits to the last bit."""
    lesson = _lesson(7, 3)
    one, again = (predict(_trained(name, knobs, lesson)[0], lesson.x) for _ in range(2))
    holds(np.array_equal(one, again), "the same seed, other logits")


def a_model_of_an_ensemble_equals_the_same_alone(name: str, knobs: Knobs) -> None:
    """Trained beside others it says what it says alone, to the last bit."""
    together = _trained(name, knobs, _lesson(7, 3, (0, 1, 2)), (0, 1, 2))
    for m in range(3):
        lesson = _lesson(7, 3, (m,))
        (alone,) = _trained(name, knobs, lesson, (m,))
        same = np.array_equal(predict(together[m], lesson.x), predict(alone, lesson.x))
        holds(same, f"model {m} differs")


def a_class_that_its_members_lack_has_the_floor(name: str, knobs: Knobs) -> None:
    """It is never predicted, and its probability is the floor."""
    lesson = _lesson(7, 3)
    own = lesson.members[0]
    lesson = Lesson(
        lesson.x, lesson.y, (own[lesson.y.numpy()[own] != 1],), lesson.reference, 3, scale="members"
    )
    (model,) = _trained(name, knobs, lesson)
    said = model(lesson.x)[:, 1].exp()
    holds(torch.allclose(said, torch.full_like(said, model.floor)), f"got {float(said.max()):g}")


def targets_are_learned_as_shares(name: str, knobs: Knobs) -> None:
    """One-hot targets train what the labels train, to 1e-3; targets of another class, that class;
    halves of two, both.
    """
    lesson = _lesson(7, 3)
    (plain,) = _trained(name, knobs, lesson)
    hot = torch.eye(3, dtype=torch.float64)[lesson.y]

    def taught(target: Tensor) -> np.ndarray[Any, Any]:
        (model,) = _trained(name, knobs, _lesson(7, 3, target=target[None]))
        return probabilities(predict(model, lesson.x))

    apart = float(abs(taught(hot) - probabilities(predict(plain, lesson.x))).max())
    holds(apart <= 1e-3, f"one-hot targets: a probability differs by {apart:g}")
    own, other = lesson.members[0], (lesson.y.numpy() + 1) % 3
    moved = taught(torch.eye(3, dtype=torch.float64)[torch.as_tensor(other)])
    share = float((moved.argmax(-1) == other)[own].mean())
    holds(share > 0.5, f"targets of another class: {share:.0%} of the members have it")
    both = taught((hot + torch.eye(3, dtype=torch.float64)[torch.as_tensor(other)]) / 2)
    third = float(both[own, (lesson.y.numpy()[own] + 2) % 3].mean())
    first = float(both[own, lesson.y.numpy()[own]].mean())
    holds(third < 0.2 and 0.3 < first < 0.7, f"halves: {first:.2f} and {third:.2f} of neither")


LAWS = (
    says_logarithms_of_its_floored_probabilities,
    learns_what_its_members_show,
    the_same_seed_trains_the_same,
    a_model_of_an_ensemble_equals_the_same_alone,
    a_class_that_its_members_lack_has_the_floor,
    targets_are_learned_as_shares,
)
