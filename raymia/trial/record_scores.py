"""The score of every single record, on request: a row keeps averages, which hide the few
records that are exposed.

A run keeps them beside the rows. Attacks are deterministic: where they are not kept, they are made
again on the signals that the trial kept, and say the same.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from raymia.attack.attack import column
from raymia.errors import EnvironmentFault, RaymiaError, SweepError
from raymia.point.catalog import suggest
from raymia.point.point import Point
from raymia.records.canaries import KINDS
from raymia.records.groups import Groups
from raymia.results.local import Local
from raymia.results.row import Row
from raymia.results.store import Store
from raymia.signals import observe
from raymia.signals.world import World
from raymia.trial import kept_scores
from raymia.trial import run as trial
from raymia.trial.judge import Verdict
from raymia.verdict.metrics import spread_interval

EXPOSED = 10.0  # a likelihood ratio: ten times as probable of a member as of a non-member


@dataclass(frozen=True)
class Score:
    """What one attack said of one record at one target; higher means member.

    `target`: the index of the model, as in attacks.csv; `record`: its place among the sweep's
    records; `canary`: the kind of a planted one, empty for one of the data; `row`: its number in
    the file, from 0; `calibrated`: the score on a scale that all targets share.
    """

    target: int
    record: int
    member: bool
    canary: str
    attack: str
    score: float
    row: int
    calibrated: float


@dataclass(frozen=True)
class Exposure:
    """How much one attack knows of one record, over the targets.

    `row`: its number in the file, from 0. `evidence`: the log-likelihood ratio in favour of what
    is true (member or not), the mean over the targets that it was judged at, with its t interval
    (None of one target); `ratio`: e to that power, 1 where the attack knows nothing. `group`: its
    value in the column of groups; empty where there is none, or it is a planted record.
    """

    row: int
    record: int
    canary: str
    attack: str
    targets: int
    as_member: int
    evidence: float
    evidence_lo: float | None
    evidence_hi: float | None
    ratio: float
    group: str = ""


class Made(NamedTuple):
    """The world of a trial, its records' numbers in the file, what an attack found at a target,
    and the groups of its records, if any.
    """

    world: World
    rows: list[int]
    verdict: Verdict
    groups: Groups | None


def scores(row: Row, signals: Path, canaries: bool = False) -> Iterator[Score]:
    """The scores of all judged records of a trial, by attack, target and record, as its row was
    made from them.

    `signals`: the folder that holds signals/<key>/ of the results folder; with `canaries`,
    planted records alone. Attacks are made as they are asked for: the first lines come before
    the last attack is made. Raises SweepError where the trial is not done, or its signals were
    not kept.
    """
    for world, rows, verdict, _ in made(row, signals):
        target = int(world.split.targets[verdict.target])
        for record in _judged(world, verdict, canaries):
            yield Score(
                target,
                record,
                bool(world.split.member[target, record]),
                _kind(world, record),
                verdict.column,
                float(verdict.scores[record]),
                rows[record],
                float(verdict.common[record]),
            )


def exposures(
    row: Row, signals: Path, attack: str | None = None, canaries: bool = False
) -> list[Exposure]:
    """Every judged record's exposure to one attack, the strongest of the row by default, the
    most exposed first. Raises SweepError as `scores`, and where the attack has no likelihood
    ratio or was not made.
    """
    named = row.worst_attack if attack is None else attack
    known = [column(part) for part in Point.from_json(row.point).attacks]
    if named not in known:
        raise SweepError(f"--attack: trial {row.trial} has no {named!r}; {suggest(named, known)}")
    return exposed(list(made(row, signals, named)), canaries)


def exposed(found: Sequence[Made], canaries: bool = False) -> list[Exposure]:
    """The same, of what one attack found at all targets."""
    named = found[0].verdict.column
    if any(one.verdict.log_ratio is None for one in found):
        raise SweepError(
            f"--attack: {named} has no likelihood ratio here: no shadow could stand in for the "
            "target, or its threshold is its own; another attack is allowed"
        )
    seen: dict[int, list[tuple[float, bool]]] = {}
    for world, _, verdict, _ in found:
        member = world.split.member[world.split.targets[verdict.target]]
        for record in _judged(world, verdict, canaries):
            assert verdict.log_ratio is not None
            sign = 1 if member[record] else -1
            said = sign * float(verdict.log_ratio[record]), bool(member[record])
            seen.setdefault(record, []).append(said)
    world, rows, _, groups = found[0]
    out = []
    for record, all_said in seen.items():
        values = [value for value, _ in all_said]
        mean = float(np.mean(values))
        low, high = spread_interval(values, within=(-np.inf, np.inf)) or (None, None)
        as_member = sum(inside for _, inside in all_said)
        kind, ratio = _kind(world, record), float(np.exp(mean))
        group = "" if groups is None or kind else groups.names[groups.code[record]]
        at = (rows[record], record, kind, named, len(values), as_member)
        out.append(Exposure(*at, mean, low, high, ratio, group))
    return sorted(out, key=lambda one: (-one.evidence, one.record))


def share(found: Sequence[Exposure], ratio: float = EXPOSED) -> float:
    """The share of records that an attack tells with at least that likelihood ratio."""
    return float(np.mean([one.ratio >= ratio for one in found])) if found else 0.0


def made(row: Row, signals: Path, attack: str | None = None) -> Iterator[Made]:
    """What each attack, or the one named, found at each target. Raises SweepError as `scores`."""
    if row.state != "done":
        raise SweepError(f"trial {row.trial} is {row.state}: it has no scores")
    point = Point.from_json(row.point)
    try:
        world, rows, groups = observe.kept(point, signals)
        held = Local(signals.parent).read(kept_scores.place(row.digest))
        found = kept_scores.unpacked(held, attack) if held else []
        for verdict in found or _again(world, signals, attack):
            yield Made(world, rows, verdict, groups)
    except (FileNotFoundError, KeyError):
        raise lost(row, signals) from None


def _again(world: World, signals: Path, attack: str | None) -> Iterator[Verdict]:
    """What each attack, or the one named, finds on the signals."""
    calls = (call for call in trial.calls(world) if attack in (None, call.column))
    verdicts = (verdict for call in calls for verdict in trial.judge(signals, call))
    for own in kept_scores.by_column(verdicts):
        yield from kept_scores.rounded(own)


def lost(row: Row, signals: Path) -> RaymiaError:
    """Why the signals of a trial cannot be read: they were not kept, or are damaged."""
    where, kept = signals / row.signals, Store(Local(signals), row.signals)
    index = kept.index()
    for path in sorted(where.glob("*.*")):
        note = index.get(path.name)
        if path.name != "index.json" and (note is None or kept.read(path.name, note) is None):
            damaged = path if index else where / "index.json"
            return EnvironmentFault(
                f"trial {row.trial}: {damaged} is damaged; restore it, or delete the trial's file "
                f"({row.digest[:12]}...) in trials/ and run the sweep again: what is whole stays"
            )
    return SweepError(
        f"trial {row.trial}: {where} does not hold its signals; run with keep_signals: all"
    )


def _judged(world: World, verdict: Verdict, canaries: bool) -> list[int]:
    on = np.isfinite(verdict.scores) & ((world.kinds > 0) | (not canaries))
    judged: list[int] = np.flatnonzero(on).tolist()
    return judged


def _kind(world: World, record: int) -> str:
    return ("", *KINDS)[world.kinds[record]]
