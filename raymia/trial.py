"""The whole of a trial: draw the split, train what is missing, attack, judge, write one row. It knows no Ray."""

from __future__ import annotations

import json
import platform
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from raymia import attack as attacks
from raymia import defense, metrics, observation
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
    """Of one attack and target: scores [S] (NaN where nothing was asked) and the line of attacks.csv."""

    column: str
    target: int
    scores: Array
    line: dict[str, float | None]


def run(point: Point, data: Data, signals: Path | None = None, map: Map = map, spread: Map = map) -> Row:
    """One point from split to row. `map` runs the attacks and `spread` trains the groups of models; both keep the order.

    `signals` is the folder that keeps what the models said (None: nothing is kept). The row's `trial` is the caller's to set.
    Raises training.Diverged and metrics.ScoreError where the point has no number, RaymiaError for what a user can mend.
    """
    start = time.monotonic()
    with nullcontext(str(signals)) if signals else tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        split = observation.draw(point, len(data))
        needs = sorted({need for part in point.attacks for need in attacks.make(part).needs} | {"logits"})
        worlds = [point] if point.attacker == "adaptive" else [point, replace(point, recipe=())]
        for world in worlds:
            work = partial(observation.observe, world, data, root, needs)
            list(spread(work, observation.groups(world, split.models)))
            observation.keep_split(world, data, observation.draw(world, len(data)), root)
        trained = time.monotonic()
        calls = [c for plain in (False, True)[: len(worlds)] for c in _calls(point, len(split.targets), plain)]
        verdicts = [verdict for answer in map(partial(judge, root), calls) for verdict in answer]
        logits = observation.load(json.dumps(point.to_json()), root, ("logits",)).arrays["logits"]
        row = _row(point, data, split, logits, verdicts)
    timing = {"train": trained - start, "attack": time.monotonic() - trained, "total": time.monotonic() - start}
    return replace(row, timing=timing)


def attempt(point: Point, data: Data, signals: Path | None = None, map: Map = map, spread: Map = map) -> Row:
    """`run`, with what goes wrong as a row: `invalid` where the point has no number, `failed` otherwise."""
    start = time.monotonic()
    try:
        return run(point, data, signals, map, spread)
    except Exception as error:  # every other fault of this point: it is kept with its reason, and the sweep goes on
        state = "invalid" if isinstance(error, metrics.ScoreError) or type(error).__name__ == "Diverged" else "failed"
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        models, targets = observation.draw(point, len(data)).models, 0
        empty = _empty(point, state, reason[:500], models, targets)
        return replace(empty, timing={"total": time.monotonic() - start})


def _calls(point: Point, targets: int, plain: bool) -> list[Call]:
    every = tuple(range(targets))
    return [
        Call(point, group, part, plain)
        for part in point.attacks
        for group in ([every] if attacks.make(part).fused else [(t,) for t in every])
    ]


def judge(root: Path, call: Call) -> list[Verdict]:
    """One attack on its targets: scores from views that lack the target's membership, then the judgement."""
    point, attack = call.point, attacks.make(call.attack)
    signals = _signals(point, root, attack)
    others = _signals(replace(point, recipe=(), attacker="adaptive"), root, attack) if call.plain else None
    knows, needs = "known_members" in attack.knows, sorted(attack.needs)
    views = [signals.view(t, needs, knows, others) for t in call.targets]

    def rng(t: int, *names: object) -> np.random.Generator:
        return stream(point.seed, point.replicate, "attack", call.column, t, *names)

    scored = attack.score_all(views, [rng(t) for t in call.targets])
    return [
        _verdict(call.column, t, view, score, attack, signals.split, rng(t, "threshold"))
        for t, view, score in zip(call.targets, views, scored, strict=True)
    ]


def _verdict(column: str, t: int, view: View, score: Array, attack: Attack, split: Split, rng: np.random.Generator) -> Verdict:
    score = np.asarray(score, np.float64)
    if score.shape != view.asked.shape or not np.isfinite(score).all():
        bad = int((~np.isfinite(score)).sum())
        raise metrics.ScoreError(f"{column}, target {t}: {bad} of {score.size} scores are not finite")
    threshold = attack.threshold
    if threshold is None:
        stand_in, known = view.as_target(0)
        # with four models no shadow is left for the one that stands in: the decision stays unknown
        if len(stand_in.member) or "out_shadows" not in attack.wants:
            threshold = metrics.best_threshold(attack.score(stand_in, rng), known)
    scores = np.full(len(view.labels), np.nan)
    scores[view.asked] = score
    member = split.member[split.targets[t], view.asked]
    return Verdict(column, t, scores, metrics.judge(score, member, threshold).line())


def _signals(point: Point, root: Path, attack: Attack) -> Signals:
    return observation.load(json.dumps(point.to_json()), root, tuple(sorted(attack.needs)))


def _row(point: Point, data: Data, split: Split, logits: Array, verdicts: list[Verdict]) -> Row:
    member = split.member[split.targets]
    right = logits[split.targets].argmax(-1) == data.y
    columns = list(dict.fromkeys(v.column for v in verdicts))
    scores = {c: np.stack([v.scores for v in verdicts if v.column == c]) for c in columns}
    knowing = {column(p) for p in point.attacks if "known_members" in attacks.make(p).knows}
    smaller = {c: split.judged & ~split.known for c in columns if c.removesuffix("@plain") in knowing}
    # house rule: attacks that know members count if they were asked for by name, the plain attacker never does
    counts = [c for c in columns if not c.endswith("@plain")]
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
    if recipe.share:
        numbers["held"] = float(split.held[split.targets[0]].sum())
    return replace(
        _empty(point, "done", "", split.models, len(split.targets)),
        members=int((split.judged & member)[0].sum()),
        nonmembers=int((split.judged & ~member)[0].sum()),
        numbers=numbers,
        worst_attack=summary.worst_attack,
        attacks=[{"target": int(split.targets[v.target]), "attack": v.column, **v.line} for v in verdicts],
        notes=[recipe.voids] if recipe.voids and "epsilon" in numbers else [],
    )


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
