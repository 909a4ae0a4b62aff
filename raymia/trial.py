"""The whole of a trial: draw the split, train what is missing, attack, judge, write one row. It knows no Ray."""

from __future__ import annotations

import json
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
from raymia import audit, canaries, catalog, defense, metrics, observation, privacy
from raymia.attack import Attack, column
from raymia.data import Data
from raymia.errors import RaymiaError
from raymia.point import Point
from raymia.results import Row
from raymia.signals import Signals, View
from raymia.space import Part
from raymia.split import Split
from raymia.streams import stream

Map = Callable[..., Iterable[Any]]
Array = np.ndarray[Any, Any]
LIBRARIES = ("raymia", "torch", "numpy", "scikit-learn", "opacus", "optuna", "ray")


@dataclass(frozen=True)
class Call:
    """One attack on one target (on all of them where it trains a network: those are fused); `plain`: its shadows come from the
    undefended point."""

    point: Point
    targets: tuple[int, ...]
    attack: Part
    plain: bool

    @property
    def column(self) -> str:
        return column(self.attack) + ("@plain" if self.plain else "")


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
    with nullcontext(str(signals)) if signals else tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        split, kinds = observation.draw(point, len(data)), observation.canaries(point, len(data))
        data = canaries.plant(data, kinds, point.seed, point.replicate)
        parts = apply(point)
        needs = sorted({need for part in parts for need in attacks.make(part).queries} | {"logits"})
        for world in [point] if point.attacker == "adaptive" else [point, replace(point, recipe=())]:
            work = partial(observation.observe, world, data, root, needs)
            list(spread(work, observation.groups(world, split.models)))
            observation.keep_split(world, data, observation.draw(world, len(data)), root)
        trained = time.monotonic()
        found = [verdict for answer in map(partial(judge, root), calls(point)) for verdict in answer]
        logits = observation.load(json.dumps(point.to_json()), root, ("logits",)).arrays["logits"]
        row = _row(point, data, split, kinds, logits, found)
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
    models, targets = catalog.make("protocols", point.protocol.name, point.protocol.knobs).shape
    return _empty(point, state, " ".join(f"{kind}: {error}".split())[:500], models, targets)


def apply(point: Point) -> list[Part]:
    """The attacks that can be made on what the recipe releases: where it is no network, none that is white-box."""
    if not defense.recipe(point.recipe).owns("assemble"):
        return list(point.attacks)
    return [part for part in point.attacks if "white_box" not in attacks.make(part).conditions]


def calls(point: Point) -> list[Call]:
    """Every attack on every target that a trial makes, in the order of its columns."""
    every = tuple(range(catalog.make("protocols", point.protocol.name, point.protocol.knobs).shape[1]))
    return [
        Call(point, group, part, plain)
        for plain in (False, True)[: 1 if point.attacker == "adaptive" else 2]
        for part in apply(point)
        for group in ([every] if attacks.make(part).fused else [(t,) for t in every])
    ]


def judge(root: Path, call: Call) -> list[Verdict]:
    """One attack on its targets, from the signals on disk."""
    point, attack = call.point, attacks.make(call.attack)
    signals = _signals(point, root, attack)
    others = _signals(replace(point, recipe=(), attacker="adaptive"), root, attack) if call.plain else None
    kinds = observation.canaries(point, len(signals.labels))
    return verdicts(attack, call.column, signals, call.targets, (point.seed, point.replicate), others, kinds)


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
    views = [signals.view(t, attack.queries, attack.informed, others) for t in targets]

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
    if not len(stand_in.member) and attack.conditions & {"in_shadows", "out_shadows"}:
        return None
    return metrics.best_threshold(attack.score(stand_in, rng), known)


def _signals(point: Point, root: Path, attack: Attack) -> Signals:
    return observation.load(json.dumps(point.to_json()), root, tuple(sorted(attack.queries)))


def _row(point: Point, data: Data, split: Split, kinds: canaries.Kinds, logits: Array, verdicts: list[Verdict]) -> Row:
    member, whole = split.member[split.targets], split
    split = replace(split, judged=split.judged & (kinds == 0))
    right = logits[split.targets].argmax(-1) == data.y
    columns = list(dict.fromkeys(v.column for v in verdicts))
    scores = {c: np.stack([v.scores for v in verdicts if v.column == c]) for c in columns}
    knowing = {column(p) for p in point.attacks if attacks.make(p).informed}
    smaller = {c: split.judged & ~split.known for c in columns if c.removesuffix("@plain") in knowing}
    # house rule: attacks that know members count if they were asked for by name, the plain attacker never does
    counts = [column(p) for p in point.attacks if attacks.counts(p) and column(p) in columns]
    summary = metrics.summarise(scores, member, split.judged, split.half, counts, smaller)
    train = metrics.accuracy_interval(right, split.judged & member).rate
    test = metrics.accuracy_interval(right, split.judged & ~member).rate
    _check_baseline(right, member, split)
    recipe = defense.recipe(point.recipe)
    members = len(split.members(int(split.targets[0])))
    numbers = {
        "train_accuracy": train.value,
        "test_accuracy": test.value,
        "test_accuracy_lo": test.lo,
        "test_accuracy_hi": test.hi,
        **summary.numbers(),
        **recipe.facts(members, recipe.training(point.training)),
    }
    audited = {c: whole.judged & ~whole.known if c in smaller else whole.judged for c in columns}
    numbers |= canaries.numbers(scores, member, audited, kinds, summary.worst_attack)
    if summary.chosen and (numbers.get("epsilon") is not None or kinds.any()):
        chosen = summary.chosen[0]
        on = audited[chosen] & (kinds > 0 if kinds.any() else kinds == 0)
        numbers |= _epsilon_bounds(scores[chosen], member, on, split.half, numbers.get("delta") or 0.0)
    numbers |= _means(verdicts)
    if recipe.share:
        numbers["held"] = float(split.held[split.targets[0]].sum())
    if "reference" in recipe.wants:  # what the defense costs in records that nothing is trained on
        numbers["reference_records"] = float(len(split.reference(int(split.targets[0]))))
    return replace(
        _empty(point, "done", "", split.models, len(split.targets)),
        members=int((split.judged & member)[0].sum()),
        nonmembers=int((split.judged & ~member)[0].sum()),
        numbers=numbers,
        worst_attack=summary.worst_attack,
        attacks=[{"target": int(split.targets[v.target]), "attack": v.column, **v.line} for v in verdicts],
        notes=[*_about_epsilon(recipe.voids, numbers), *_notes(point, columns, verdicts)],
    )


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
    extras = [v.extra for v in verdicts if not v.column.endswith("@plain")]
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


def _empty(point: Point, state: str, reason: str, models: int, targets: int) -> Row:
    return Row(
        trial=-1,
        digest=point.digest(),
        signals=observation.signals_key(point),
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
