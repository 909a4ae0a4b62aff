"""The attacks on a finished model: who trained it is told, and shadows are trained where somebody
says how.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from raymia.attack import attack as attacks
from raymia.attack.attack import column
from raymia.errors import SweepError
from raymia.point import columns
from raymia.point.space import Part
from raymia.records.split import AUDITED, POPULATION, Bools, Ints, Split, assemble
from raymia.signals.view import Signals
from raymia.streams import seed_of, stream
from raymia.study import reading, strict_yaml
from raymia.trial.judge import Verdict, verdicts
from raymia.verdict import maximum
from raymia.verdict.metrics import cells

Array = np.ndarray[Any, Any]
Train = Callable[..., Any]  # x [n, ...], y [n] (and seed, where it takes one) -> a model
LEAST = 10  # members, and non-members


@dataclass(frozen=True, eq=False)
class Found:
    """What the attacks found. `classes` [C] are the labels as they were given, `split` has the
    target as model 0 and the members first among the records.
    """

    split: Split
    classes: Array
    verdicts: tuple[Verdict, ...]
    numbers: Mapping[str, float | None]
    worst_attack: str
    left_out: Mapping[str, str]
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Records:
    """The records of an audit: the members first. Raises SweepError where they are too few, or of
    different shapes.
    """

    x: Array
    labels: Array
    members: int

    @classmethod
    def of(cls, train: tuple[Any, Any], held_out: tuple[Any, Any]) -> Records:
        """Of the training data and the held-out data, (x [n, ...], y [n]) each."""
        sides = [(np.asarray(x), np.asarray(y)) for x, y in (train, held_out)]
        for name, (x, y) in zip(("train", "held_out"), sides, strict=True):
            if x.dtype.kind not in "fiub" or x.ndim < 2 or y.ndim != 1 or len(x) != len(y):
                raise SweepError(
                    f"{name}: got {x.dtype} {x.shape} and labels {y.shape}; numbers [n, ...] and "
                    "labels [n] are needed"
                )
            if x.dtype.kind == "f" and not np.isfinite(x).all():
                raise SweepError(f"{name}: some numbers are not finite")
            if len(x) < LEAST:
                raise SweepError(f"{name}: got {len(x)} records; at least {LEAST} are needed")
        (inside, a), (outside, b) = sides
        if inside.shape[1:] != outside.shape[1:]:
            raise SweepError(
                f"train has records of shape {inside.shape[1:]}, held_out of {outside.shape[1:]}"
            )
        return cls(np.concatenate([inside, outside]), np.concatenate([a, b]), len(inside))

    def classes(self, model: Any) -> Array:
        """The labels [C] that the model tells apart: its own where it says which, else 0, 1, ... as
        its logits stand.
        """
        if hasattr(model, "predict_proba"):
            return np.unique(np.concatenate([self.labels, np.asarray(model.classes_)]))
        if self.labels.dtype.kind not in "iu" or self.labels.min() < 0:
            raise SweepError(
                "y: whole numbers from 0 are needed, the places of the classes in the model's "
                "logits"
            )
        return np.arange(int(self.labels.max()) + 1)


def split_of(records: int, members: int, shadows: int, reserve: float, seed: int) -> Split:
    """The target has the first records. Of the others a share `reserve` is the attacker's
    population: nobody trains on it, and nobody is judged there. Shadows come in complementary pairs
    on halves of all other records, drawn without a look at the target's, so that every record is in
    half of the shadows.
    """
    role = np.zeros(records, np.int8)
    others = members + stream(seed, "reserve").permutation(records - members)
    role[others[: round(reserve * len(others))]] = POPULATION
    audited = np.flatnonzero(role == AUDITED)
    member = np.zeros((1 + shadows, records), bool)
    member[0, :members] = True
    for pair in range(shadows // 2):
        order = stream(seed, "audit", pair).permutation(audited)
        member[1 + 2 * pair, order[: len(order) // 2]] = True
        member[2 + 2 * pair, order[len(order) // 2 :]] = True
    fit = np.broadcast_to(role == AUDITED, member.shape).copy()
    fit[0] = False
    twin = np.array([-1, *(1 + (np.arange(shadows) ^ 1))])
    mine = np.arange(1 + shadows)[None] > 0
    judged = (role == AUDITED)[None]
    return assemble(member, fit, judged, role, np.array([0]), mine, seed, 0, twin)


def audit(
    model: Any,
    records: Records,
    train_model: Train | None,
    shadows: int,
    wanted: str | Sequence[Any],
    reserve: float,
    seed: int,
) -> Found:
    """Every attack on the model, from scores to numbers. Raises SweepError where something cannot
    be asked or trained, ScoreError where an attack has no number.
    """
    from raymia.signals.given import ask  # torch

    if train_model is not None and (shadows < 4 or shadows % 2):
        raise SweepError(f"shadows: got {shadows}; an even number of at least 4 is allowed")
    if not 0 <= reserve <= 0.5:
        raise SweepError(f"reserve: got {reserve}; 0 to 0.5 is allowed")
    classes = records.classes(model)
    y = np.searchsorted(classes, records.labels)
    there = shadows if train_model is not None else 0
    split = split_of(len(y), records.members, there, reserve, seed)
    offers = {"images"} if records.x.ndim == 4 else set()
    offers |= {"population"} if (split.role == POPULATION).any() else set()
    offers |= {"in_shadows", "out_shadows"} if there else set()
    parts, left_out = applying(wanted, frozenset({"numbers", *offers}))
    needs = sorted({need for part in parts for need in attacks.traits(part).needs} | {"logits"})
    said = []
    for m in range(split.models):
        own = split.members(m)
        one = model if m == 0 else _shadow(train_model, records, own, seed, m)
        rng = stream(seed, 0, "query", m)
        said.append(ask(one, records.x, y, classes, needs, rng, own))
    arrays = {name: np.stack([one[name] for one in said]) for name in said[0]}
    signals = Signals(split, y, arrays)
    found = [
        verdict
        for part in parts
        for verdict in verdicts(attacks.make(part), column(part), signals, [0], (seed, 0))
    ]
    counts = [column(part) for part in parts if attacks.traits(part).counts]
    scores = {v.column: v.scores[None] for v in found}
    knowing = {column(part): split.judged & ~split.known for part in parts if _informed(part)}
    summary = maximum.summarise(scores, split.member[:1], split.judged, split.half, counts, knowing)
    right = arrays["logits"][:1].argmax(-1) == y
    numbers = _accuracies(right, split.member[:1], split.judged) | cells(
        "max_attack_auc", summary.max_attack
    )
    numbers["max_attack_auc_upper"] = summary.upper
    notes = tuple(f"{v.column}: {v.note}" for v in found if v.note)
    return Found(split, classes, tuple(found), numbers, summary.worst_attack, left_out, notes)


def applying(
    wanted: str | Sequence[Any], offers: frozenset[str]
) -> tuple[tuple[Part, ...], Mapping[str, str]]:
    """The attacks that were asked for, as in a sweep file, and why others are left out. Raises
    SweepError where one that was named does not apply.
    """
    said = wanted if isinstance(wanted, str) else list(wanted)
    node = strict_yaml.parse(strict_yaml.dump({"attacks": said}), "the audit", lines=False)
    return reading.attacks(node.mapping()["attacks"], offers, False)


def _informed(part: Part) -> bool:
    return attacks.traits(part).informed


def _shadow(train: Train | None, records: Records, own: Ints, seed: int, m: int) -> Any:
    assert train is not None
    seeded = "seed" in inspect.signature(train).parameters
    more = {"seed": seed_of(seed, "shadow", m) % 2**32} if seeded else {}
    try:
        return train(records.x[own], records.labels[own], **more)
    except Exception as error:  # whatever somebody else's code does
        why = f"{type(error).__name__}: {error}"
        raise SweepError(f"train_model failed on {len(own)} records: {why}") from error


def _accuracies(right: Bools, member: Bools, judged: Bools) -> dict[str, float | None]:
    out: dict[str, float | None] = {}
    for name, side in (("train_accuracy", member), ("test_accuracy", ~member)):
        rate = maximum.accuracy_interval(right, judged & side).rate
        out |= columns.interval(name, rate.value, rate.lo, rate.hi)
    return out
