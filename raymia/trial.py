"""The whole of a trial: draw the split, train what is missing, attack, judge, write one row. It knows no Ray."""

from __future__ import annotations

import platform
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from raymia import attack as attacks
from raymia import audit, canaries, catalog, columns, metrics, privacy
from raymia import world as worlds
from raymia.attack import Attack, column
from raymia.columns import PLAIN
from raymia.data import Data
from raymia.errors import RaymiaError
from raymia.objectives import ACCURACY
from raymia.observe import Work, keep_split, load
from raymia.point import Point
from raymia.results import Row
from raymia.signals import Signals, View
from raymia.space import Part
from raymia.split import Split
from raymia.streams import stream
from raymia.world import World

Map = Callable[..., Iterable[Any]]
Array = np.ndarray[Any, Any]
LIBRARIES = ("raymia", "torch", "numpy", "scikit-learn", "opacus", "optuna", "ray")


@dataclass(frozen=True)
class Call:
    """One attack on one target (on all of them where it trains a network: those are fused); `plain`: its shadows come from the
    undefended world."""

    world: World
    targets: tuple[int, ...]
    attack: Part
    plain: bool

    @property
    def column(self) -> str:
        return column(self.attack) + (PLAIN if self.plain else "")


@dataclass(frozen=True, eq=False)
class Verdict:
    """Of one attack and target: scores [S] (NaN where nothing was asked), the line of attacks.csv, what of it is the attack's
    own, and what a reader must know."""

    column: str
    target: int
    scores: Array
    line: dict[str, float | None]
    extra: dict[str, float]
    note: str


def run(point: Point, data: Data, signals: Path | None = None, map: Map = map, spread: Map = map) -> Row:
    """One point from split to row. `map` runs the attacks and `spread` trains the groups of models; both keep the order.

    `signals` is the folder that keeps what the models said (None: nothing is kept). The row's `trial` is the caller's to set.
    Raises training.Diverged and metrics.ScoreError where the point has no number, RaymiaError for what a user can mend.
    """
    start = time.monotonic()
    world = worlds.of(point, len(data))
    with nullcontext(str(signals)) if signals else tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        data = canaries.plant(data, world.kinds, point.seed, point.replicate)
        for one in observed(world):
            work = Work(one, data, needs(world), root)
            list(spread(work, one.groups))
            keep_split(one, data, root)
        trained = time.monotonic()
        found = [verdict for answer in map(partial(judge, root), calls(world)) for verdict in answer]
        row = _row(world, data, load(world, root, ("logits",)).arrays["logits"], found)
    timing = {"train": trained - start, "attack": time.monotonic() - trained, "total": time.monotonic() - start}
    return replace(row, timing=timing)


def attempt(point: Point, data: Data, signals: Path | None = None, map: Map = map, spread: Map = map) -> Row:
    """`run`, with what goes wrong as a row: `invalid` where the point has no number, `failed` otherwise."""
    start = time.monotonic()
    try:
        return run(point, data, signals, map, spread)
    except Exception as error:  # every other fault of this point: it is kept with its reason, and the sweep goes on
        return replace(failed(point, error), timing={"total": time.monotonic() - start})


def failed(point: Point, error: Exception) -> Row:
    """The row of a point that has no numbers, with the reason on one line."""
    kind = type(error).__name__  # by name: training's Diverged lives beside torch
    state = "invalid" if kind in ("Diverged", "ScoreError") else "failed"
    models, targets = catalog.made("protocols", point.protocol).shape
    return _empty(point, worlds.signals_key(point), state, " ".join(f"{kind}: {error}".split())[:500], models, targets)


def observed(world: World) -> list[World]:
    """The worlds whose models a trial trains and asks: its own, and the undefended one where the attacker is plain."""
    return [world] if world.point.attacker == "adaptive" else [world, world.plain]


def folders(point: Point, records: int) -> list[str]:
    """The folders of signals that a trial of a point writes or reads."""
    every = (name for one in observed(worlds.of(point, records)) for name in one.folders)
    return list(dict.fromkeys(every))


def apply(world: World) -> list[Part]:
    """The attacks that can be made on what the recipe releases: where it is no network, none that is white-box."""
    if not world.recipe.owns("assemble"):
        return list(world.point.attacks)
    return [part for part in world.point.attacks if "white_box" not in attacks.traits(part).wants]


def needs(world: World) -> tuple[str, ...]:
    """What the models are asked, for all attacks together."""
    return tuple(sorted({need for part in apply(world) for need in attacks.traits(part).needs} | {"logits"}))


def calls(world: World) -> list[Call]:
    """Every attack on every target that a trial makes, in the order of its columns."""
    every = tuple(range(len(world.split.targets)))
    return [
        Call(world, group, part, plain)
        for plain in ([False] if world.point.attacker == "adaptive" else [False, True])
        for part in apply(world)
        for group in ([every] if attacks.make(part).fused else [(t,) for t in every])
    ]


def judge(root: Path, call: Call) -> list[Verdict]:
    """One attack on its targets, from the signals on disk."""
    world, attack = call.world, attacks.make(call.attack)
    asked = tuple(sorted(attack.traits().needs))
    signals = load(world, root, asked)
    others = load(world.plain, root, asked) if call.plain else None
    key = (world.point.seed, world.point.replicate)
    return verdicts(attack, call.column, signals, call.targets, key, others, world.kinds)


def verdicts(
    attack: Attack,
    column: str,
    signals: Signals,
    targets: Sequence[int],
    key: tuple[object, ...],
    others: Signals | None = None,
    kinds: Array | None = None,
) -> list[Verdict]:
    """Scores from views that lack the target's membership, then the judgement, less the planted records (`kinds` [S] > 0).

    `others`: signals of the plain attacker's shadows. Raises ScoreError.
    """
    traits = attack.traits()
    views = [signals.view(t, traits.needs, traits.informed, others) for t in targets]

    def rng(t: int, *names: object) -> np.random.Generator:
        return stream(*key, "attack", column, t, *names)

    found = attack.score_all(views, [rng(t) for t in targets])
    planted = np.zeros(len(signals.labels), bool) if kinds is None else kinds > 0
    out = []
    for t, view, (score, note) in zip(targets, views, found, strict=True):
        score = np.asarray(score, np.float64)
        if score.shape != view.asked.shape or not np.isfinite(score).all():
            bad = int((~np.isfinite(score)).sum())
            raise metrics.ScoreError(f"{column}, target {t}: {bad} of {score.size} scores are not finite")
        member, own = signals.split.member[signals.split.targets[t], view.asked], ~planted[view.asked]
        line = metrics.judge(score[own], member[own], _threshold(attack, view, rng(t, "threshold"))).line()
        scores = np.full(len(view.labels), np.nan)
        scores[view.asked] = score
        extra = attack.numbers(score[own], member[own])
        out.append(Verdict(column, t, scores, {**line, **extra}, extra, note))
    return out


def _threshold(attack: Attack, view: View, rng: np.random.Generator) -> float | None:
    """The attack's own, else the best one on a shadow that stands in for the target; never from the target itself."""
    cut = attack.cut(view)
    if cut is not None or not len(view.member):
        return cut
    stand_in, known = view.as_target(0)
    # with four models no shadow is left for the one that stands in: the decision stays unknown
    if not len(stand_in.member) and attack.traits().wants & {"in_shadows", "out_shadows"}:
        return None
    return metrics.best_threshold(attack.score(stand_in, rng), known)


def _row(world: World, data: Data, logits: Array, verdicts: list[Verdict]) -> Row:
    """The row of a finished trial, from the logits [M, S, C] as released and what the attacks found."""
    split, kinds = replace(world.split, judged=world.split.judged & (world.kinds == 0)), world.kinds
    member, right = split.member[split.targets], logits[split.targets].argmax(-1) == data.y
    _check_baseline(right, member, split)
    said = _Said.of(world, verdicts)
    judged = said.judged_on(split)
    counts = [column(p) for p in world.point.attacks if attacks.traits(p).counts and column(p) in said.scores]
    smaller = {c: judged[c] for c in said.informed}
    summary = metrics.summarise(said.scores, member, split.judged, split.half, counts, smaller)
    numbers = {**_accuracies(right, member, split), **summary.numbers(), **_facts(world)}
    audited = said.judged_on(world.split)
    numbers |= canaries.numbers(said.scores, member, audited, kinds, summary.worst_attack)
    if summary.chosen and (numbers.get("epsilon") is not None or kinds.any()):
        chosen = summary.chosen[0]
        on = audited[chosen] & (kinds > 0 if kinds.any() else kinds == 0)
        numbers |= _epsilon_bounds(said.scores[chosen], member, on, split.half, numbers.get("delta") or 0.0)
    numbers |= _means(verdicts) | _records_spent(world)
    return replace(
        _empty(world.point, world.key, "done", "", split.models, len(split.targets)),
        members=int((split.judged & member)[0].sum()),
        nonmembers=int((split.judged & ~member)[0].sum()),
        numbers=numbers,
        worst_attack=summary.worst_attack,
        attacks=[{"target": int(split.targets[v.target]), "attack": v.column, **v.line} for v in verdicts],
        notes=[
            *_about_epsilon(world.recipe.traits().voids_epsilon, numbers),
            *_notes(world.point, list(said.scores), verdicts),
        ],
    )


@dataclass(frozen=True, eq=False)
class _Said:
    """Of all verdicts: the scores by column [T, S], and the columns of attacks that were shown some of the members."""

    scores: dict[str, Array]
    informed: list[str]

    @classmethod
    def of(cls, world: World, verdicts: Sequence[Verdict]) -> _Said:
        columns = list(dict.fromkeys(v.column for v in verdicts))
        knowing = {column(p) for p in world.point.attacks if attacks.traits(p).informed}
        scores = {c: np.stack([v.scores for v in verdicts if v.column == c]) for c in columns}
        return cls(scores, [c for c in columns if c.removesuffix(PLAIN) in knowing])

    def judged_on(self, split: Split) -> dict[str, Array]:
        """By column, where each target is judged [T, S]: never on a record whose membership was shown."""
        return {c: split.judged & ~split.known if c in self.informed else split.judged for c in self.scores}


def _accuracies(right: Array, member: Array, split: Split) -> dict[str, float | None]:
    train = metrics.accuracy_interval(right, split.judged & member).rate
    test = metrics.accuracy_interval(right, split.judged & ~member).rate
    return {"train_accuracy": train.value, **columns.interval(ACCURACY.column, test.value, test.lo, test.hi)}


def _facts(world: World) -> dict[str, float | None]:
    """What the defenses say of themselves, epsilon for example."""
    members = len(world.split.members(int(world.split.targets[0])))
    return world.recipe.facts(members, world.recipe.training(world.point.training))


def _records_spent(world: World) -> dict[str, float]:
    """What the defenses cost in records that nothing is trained on."""
    split, target, numbers = world.split, int(world.split.targets[0]), {}
    if world.recipe.traits().share:
        numbers["held"] = float(split.held[target].sum())
    if "reference" in world.recipe.traits().wants:
        numbers["reference_records"] = float(len(split.reference(target)))
    return numbers


def _epsilon_bounds(scores: Array, member: Array, on: Array, half: Array, delta: float) -> dict[str, float | None]:
    """What epsilon is at least, by the attack that was chosen on `half`, on the records `on` [T, S].

    By Clopper-Pearson over all targets' records, the threshold from `half`, counted on the rest; and by one run, of the first
    target, on the rest.
    """
    rest = on[0] & ~half
    halves = np.broadcast_to(half, on.shape)
    return {
        "epsilon_lower": audit.cross_fitted(scores[on], member[on], halves[on], delta),
        "epsilon_lower_one_run": audit.one_run(scores[0, rest], member[0, rest], delta),
    }


def _means(verdicts: Sequence[Verdict]) -> dict[str, float | None]:
    """The further columns of the attacks, means over targets."""
    extras = [v.extra for v in verdicts if not v.column.endswith(PLAIN)]
    names = dict.fromkeys(name for extra in extras for name in extra)
    return {name: float(np.mean([extra[name] for extra in extras if name in extra])) for name in names}


def _about_epsilon(voids: str, numbers: Mapping[str, float | None]) -> list[str]:
    if voids and "epsilon" in numbers:
        return [voids]
    large = (numbers.get("epsilon") or 0.0) >= privacy.PRV_UP_TO
    return ["epsilon is RDP's bound: so large, PRV's cannot be computed"] if large else []


def _notes(point: Point, columns: Sequence[str], verdicts: Sequence[Verdict]) -> list[str]:
    left_out = [column(p) for p in point.attacks if column(p) not in columns]
    notes = [f"{', '.join(left_out)}: left out, the defense releases no network"] if left_out else []
    return notes + [f"{v.column}, target {v.target}: {v.note}" for v in verdicts if v.note]


def _check_baseline(right: Array, member: Array, split: Split) -> None:
    """The gap law: the AUC of being right is 0.5 + (train - test accuracy) / 2, for every target. Raises RaymiaError."""
    for t, judged in enumerate(split.judged):
        inside, outside = right[t, judged & member[t]].mean(), right[t, judged & ~member[t]].mean()
        found = metrics.auc(right[t, judged].astype(float), member[t, judged])
        if abs(found - (0.5 + (inside - outside) / 2)) > 1e-6:
            raise RaymiaError(f"target {t}: the baseline's AUC is {found:.8f}, its gap says {0.5 + (inside - outside) / 2:.8f}")


def _empty(point: Point, key: str, state: str, reason: str, models: int, targets: int) -> Row:
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
        versions={"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}},
    )
