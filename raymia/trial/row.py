"""The row of a trial: what its attacks found, as numbers."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

import numpy as np

from raymia.attack import attack as attacks
from raymia.attack.attack import column
from raymia.errors import RaymiaError
from raymia.point import columns
from raymia.point.columns import PLAIN
from raymia.point.objectives import ACCURACY
from raymia.point.point import Point
from raymia.records.data import Data
from raymia.records.split import Split
from raymia.results.row import Row
from raymia.signals.world import World
from raymia.streams import stream
from raymia.trial.judge import Verdict
from raymia.verdict import audit, learning, low_fpr, maximum, metrics, planted, utility

Array = np.ndarray[Any, Any]
LIBRARIES = ("raymia", "torch", "numpy", "scikit-learn", "optuna", "ray")


def finished(
    world: World,
    data: Data,
    logits: Array,
    verdicts: list[Verdict],
    acted: Mapping[str, float] | None = None,
) -> Row:
    """The row of a finished trial, from the logits [M, S, C] as released, what the attacks found
    and what the defenses did.
    """
    acted = acted or {}
    split, kinds = replace(world.split, judged=world.split.judged & (world.kinds == 0)), world.kinds
    member, right = split.member[split.targets], logits[split.targets].argmax(-1) == data.y
    _check_baseline(right, member, split)
    said = _Said.of(world, verdicts)
    judged = said.judged_on(split)
    counts = [
        column(p)
        for p in world.point.attacks
        if attacks.traits(p).counts and column(p) in said.scores
    ]
    smaller = {c: judged[c] for c in said.informed}
    summary = maximum.summarise(said.scores, member, split.judged, split.half, counts, smaller)
    own, voids = facts(world, data)
    numbers = {**_accuracies(right, member, split), **summary.numbers(), **own}
    numbers |= learning.numbers(data.y, right, member, split.judged)
    numbers |= utility.numbers(logits[split.targets], data.y, member, split.judged)
    numbers |= low_fpr.summarise(said.common, member, judged, split.half, counts).numbers()
    audited = said.judged_on(world.split)
    numbers |= planted.numbers(said.common, member, audited, kinds, summary.worst_attack)
    if counts and (numbers.get("epsilon") is not None or kinds.any()):
        on = {c: audited[c] & (kinds > 0 if kinds.any() else kinds == 0) for c in counts}
        numbers |= _epsilon_bounds(said.common, member, on, split.half, numbers.get("delta") or 0.0)
    numbers |= _reference(verdicts, counts) | _reference_advantages(verdicts, counts)
    numbers |= _means(verdicts) | _records_spent(world) | dict(acted)
    return replace(
        unfinished(world.point, world.key, "done", "", split.models, len(split.targets)),
        members=int((split.judged & member)[0].sum()),
        nonmembers=int((split.judged & ~member)[0].sum()),
        numbers=numbers,
        worst_attack=summary.worst_attack,
        attacks=[
            {"target": int(split.targets[v.target]), "attack": v.column, **v.line} for v in verdicts
        ],
        notes=[
            *filter(None, [learning.note(numbers)]),
            *_idle(acted),
            *_about_epsilon(voids, numbers),
            *_constant(verdicts),
            *_notes(world.point, list(said.scores), verdicts),
        ],
    )


@dataclass(frozen=True, eq=False)
class _Said:
    """Of all verdicts: the scores by column [T, S], the same on a scale that all targets share,
    and the columns of attacks that were shown some of the members.
    """

    scores: dict[str, Array]
    common: dict[str, Array]
    informed: list[str]

    @classmethod
    def of(cls, world: World, verdicts: Sequence[Verdict]) -> _Said:
        columns = list(dict.fromkeys(v.column for v in verdicts))
        knowing = {column(p) for p in world.point.attacks if attacks.traits(p).informed}
        mine = {c: [v for v in verdicts if v.column == c] for c in columns}
        scores, common = (
            {c: np.stack([getattr(v, what) for v in of]) for c, of in mine.items()}
            for what in ("scores", "common")
        )
        return cls(scores, common, [c for c in columns if c.removesuffix(PLAIN) in knowing])

    def judged_on(self, split: Split) -> dict[str, Array]:
        """By column, where each target is judged [T, S]: never on a record whose membership was
        shown.
        """
        return {
            c: split.judged & ~split.known if c in self.informed else split.judged
            for c in self.scores
        }


def _accuracies(right: Array, member: Array, split: Split) -> dict[str, float | None]:
    train = maximum.accuracy_interval(right, split.judged & member).rate
    test = maximum.accuracy_interval(right, split.judged & ~member).rate
    return {
        "train_accuracy": train.value,
        **columns.interval(ACCURACY.column, test.value, test.lo, test.hi),
    }


def facts(world: World, data: Data) -> tuple[dict[str, float | None], str]:
    """What the defenses say of themselves, epsilon for example, and why an epsilon does not hold;
    empty where it does.
    """
    members = len(world.split.members(int(world.split.targets[0])))
    numbers = world.recipe.facts(members, world.recipe.training(world.point.training))
    if numbers.get("epsilon") is not None and _scaled_by_members(world, data):
        return numbers | {"epsilon": None}, _BY_MEMBERS
    return numbers, world.recipe.traits().voids_epsilon


_BY_MEMBERS = "training.scale: members: the constants are taken from the members without privacy"


def _scaled_by_members(world: World, data: Data) -> bool:
    training, reference = world.point.training, len(world.split.aside)
    return training.scaled_by(data.settled, reference) == "members"


def _records_spent(world: World) -> dict[str, float]:
    """What the defenses cost in records that nothing is trained on."""
    split, target, numbers = world.split, int(world.split.targets[0]), {}
    if world.recipe.traits().share:
        numbers["held"] = float(split.held[target].sum())
    if "reference" in world.recipe.traits().wants:
        numbers["reference_records"] = float(len(split.reference(target)))
    return numbers


def _epsilon_bounds(
    scores: Mapping[str, Array], member: Array, on: Mapping[str, Array], half: Array, delta: float
) -> dict[str, float | None]:
    """What epsilon is at least, from the records `on` (by attack that counts, [T, S]), each once:
    at one target, drawn for it.

    The attack is the one with the largest AUC at the other targets, whose draws of members are
    others; with a single target on `half` of the records, which then do not count.
    """
    targets, records = member.shape
    turn = stream("audit", records).permutation(records) % targets
    own = turn == np.arange(targets)[:, None] if targets > 1 else ~half[None]

    def area(name: str) -> float:
        rest = on[name] & ~own
        inside = member[rest]
        mixed = inside.any() and not inside.all()
        return metrics.auc(scores[name][rest], inside) if mixed else 0.0

    chosen = max(on, key=area)
    once = on[chosen] & own
    return audit.bounds(scores[chosen][once], member[once], delta)


def _reference(verdicts: Sequence[Verdict], counts: Sequence[str]) -> dict[str, float]:
    """`auc_reference.<attack>`: how well each attack tells the records that the defense holds
    out from non-members, means over targets, and the largest of those that count.
    """
    found: dict[str, list[float]] = {}
    for v in verdicts:
        if v.reference_auc is not None:
            found.setdefault(v.column, []).append(v.reference_auc)
    means = {name: float(np.mean(areas)) for name, areas in found.items()}
    numbers = {columns.reference(name): area for name, area in means.items()}
    counted = [area for name, area in means.items() if name in counts]
    return numbers | ({columns.MAX_REFERENCE: max(counted)} if counted else {})


def _reference_advantages(verdicts: Sequence[Verdict], counts: Sequence[str]) -> dict[str, float]:
    """`advantage_reference.<attack>`: the same by the advantage, and the cross-fitted largest of
    those that count.
    """
    found: dict[str, list[low_fpr.Halves]] = {}
    for v in verdicts:
        if v.reference_advantage is not None:
            found.setdefault(v.column, []).append(v.reference_advantage)
    name = columns.advantage_reference
    numbers = {name(attack): low_fpr.mean_of_halves(own) for attack, own in found.items()}
    counted = {attack: own for attack, own in found.items() if attack in counts}
    return numbers | ({name(): low_fpr.largest_of_halves(counted)} if counted else {})


def _means(verdicts: Sequence[Verdict]) -> dict[str, float | None]:
    """The further columns of the attacks, means over targets."""
    extras = [v.extra for v in verdicts if not v.column.endswith(PLAIN)]
    names = dict.fromkeys(name for extra in extras for name in extra)
    return {
        name: float(np.mean([extra[name] for extra in extras if name in extra])) for name in names
    }


def _idle(acted: Mapping[str, float]) -> list[str]:
    """A sentence for each part that did nothing of what it says of itself."""
    return [
        f"{part} did nothing here ({', '.join(f'{what}: 0%' for what in done)}): its numbers are "
        "those of the recipe without it"
        for part, done in columns.did(acted).items()
        if not any(done.values())
    ]


def _constant(verdicts: Sequence[Verdict]) -> list[str]:
    """A sentence for each attack whose scores are all equal: its AUC is 0.5, and says nothing."""
    same: dict[str, list[int]] = {}
    for v in verdicts:
        if np.nanmin(v.scores) == np.nanmax(v.scores):
            same.setdefault(v.column, []).append(v.target)
    return [
        f"{name}: all records get the same score at target {', '.join(map(str, targets))}: an AUC "
        "of 0.5 without meaning"
        for name, targets in same.items()
    ]


def _about_epsilon(voids: str, numbers: Mapping[str, float | None]) -> list[str]:
    return [voids] if voids and "epsilon" in numbers else []


def _notes(point: Point, columns: Sequence[str], verdicts: Sequence[Verdict]) -> list[str]:
    left_out = [column(p) for p in point.attacks if column(p) not in columns]
    notes = [f"{', '.join(left_out)}: left out, no network is released"] if left_out else []
    return notes + [f"{v.column}, target {v.target}: {v.note}" for v in verdicts if v.note]


def _check_baseline(right: Array, member: Array, split: Split) -> None:
    """The gap law: the AUC of being right is 0.5 + (train - test accuracy) / 2, for every
    target. Raises RaymiaError.
    """
    for t, judged in enumerate(split.judged):
        inside, outside = right[t, judged & member[t]].mean(), right[t, judged & ~member[t]].mean()
        found = metrics.auc(right[t, judged].astype(float), member[t, judged])
        if abs(found - (0.5 + (inside - outside) / 2)) > 1e-6:
            raise RaymiaError(
                f"target {t}: the baseline's AUC is {found:.8f}, its gap says "
                f"{0.5 + (inside - outside) / 2:.8f}"
            )


def unfinished(point: Point, key: str, state: str, reason: str, models: int, targets: int) -> Row:
    return Row(
        trial=-1,
        digest=point.digest(),
        signals=key,
        state=state,
        reason=reason,
        point=point.to_json(),
        dataset=point.dataset.name,
        network=point.network.name,
        defense=point.defense,
        knobs=dict(point.knobs),
        seed=point.seed,
        models=models,
        targets=targets,
        versions={
            "python": platform.python_version(),
            **{name: version(name) for name in LIBRARIES},
            **point.foreign,
        },
    )
