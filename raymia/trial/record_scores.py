"""The score of every single record, on request: a row keeps averages, which hide the few
records that are exposed.

Nothing of this is stored. Attacks are deterministic, so they are made again on the signals that
the trial kept.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from raymia.errors import SweepError
from raymia.point.point import Point
from raymia.records.canaries import KINDS
from raymia.results.row import Row
from raymia.signals import observe
from raymia.trial import run as trial


@dataclass(frozen=True)
class Score:
    """What one attack said of one record at one target; higher means member.

    `target`: the index of the model, as in attacks.csv; `record`: its place among the sweep's
    records; `canary`: the kind of a planted one, empty for one of the data.
    """

    target: int
    record: int
    member: bool
    canary: str
    attack: str
    score: float


def scores(row: Row, signals: Path, canaries: bool = False) -> Iterator[Score]:
    """The scores of all judged records of a trial, by attack, target and record, as its row was
    made from them.

    `signals`: the folder that holds signals/<key>/ of the results folder; with `canaries`,
    planted records alone. Attacks are made as they are asked for: the first lines come before
    the last attack is made. Raises SweepError where the trial is not done, or its signals were
    not kept.
    """
    if row.state != "done":
        raise SweepError(f"trial {row.trial} is {row.state}: it has no scores")
    point = Point.from_json(row.point)
    try:
        world = observe.kept(point, signals)
        kinds, split = world.kinds, world.split
        for call in trial.calls(world):
            for verdict in trial.judge(signals, call):
                target = int(split.targets[verdict.target])
                for record in np.flatnonzero(
                    np.isfinite(verdict.scores) & ((kinds > 0) | (not canaries))
                ).tolist():
                    member, kind = bool(split.member[target, record]), ("", *KINDS)[kinds[record]]
                    yield Score(
                        target, record, member, kind, verdict.column, float(verdict.scores[record])
                    )
    except (FileNotFoundError, KeyError):
        where = f"{signals}/{row.signals}"
        raise SweepError(
            f"trial {row.trial}: {where} does not hold its signals; run with keep_signals: all"
        ) from None
