"""What a trial's models say of single records, without any attack: what the papers' figures of
members beside non-members are drawn from. Nothing of this is stored.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from raymia.errors import SweepError
from raymia.point.point import Point
from raymia.records import canaries, data
from raymia.records.canaries import KINDS
from raymia.results.row import Row
from raymia.signals import observe
from raymia.signals.view import log_odds, log_softmax, log_truth
from raymia.signals.world import World
from raymia.trial.record_scores import lost

Array = np.ndarray[Any, Any]
NORM = "feature_norm"


@dataclass(frozen=True)
class Signal:
    """What one target says of one record, as it is released.

    `target`, `record`, `member`, `canary`, `row`: as in `record_scores.Score`. `p_true`: the
    probability of the label; `loss`: the cross-entropy, -log p_true; `margin`: the largest
    probability less the second, the distance to the decision boundary of SRCM's figure 1 and
    CRL's figures 1 and 6. `feature_norm`: the l2 norm of the input of the head, their distance
    to the origin; None where it was not asked.
    """

    target: int
    record: int
    member: bool
    canary: str
    row: int
    p_true: float
    loss: float
    margin: float
    feature_norm: float | None


def signals(row: Row, root: Path, planted: bool = False, norms: bool = False) -> Iterator[Signal]:
    """Of all judged records, by target and record.

    `root`: the folder that holds signals/<key>/ of the results folder; with `planted`, planted
    records alone; with `norms`, the networks that the trial kept are asked for their features.
    Raises SweepError where the trial is not done, or what is needed was not kept.
    """
    if row.state != "done":
        raise SweepError(f"trial {row.trial} is {row.state}: it has no signals")
    point = Point.from_json(row.point)
    try:
        world, rows, _ = observe.kept(point, root)
        said = observe.load(world, root, ("logits", NORM))
        released = said.arrays["logits"]
        kept = said.arrays.get(NORM)
        asked = _norms(world, root) if norms and kept is None else kept
    except (FileNotFoundError, KeyError):
        raise lost(row, root) from None
    for t, m in enumerate(world.split.targets.tolist()):
        logits = released[m]
        log_p = log_truth(log_odds(logits, said.labels))
        second, first = np.sort(np.exp(log_softmax(logits)), -1)[:, -2:].T
        on = world.split.judged[t] & ((world.kinds > 0) | (not planted))
        for record in np.flatnonzero(on).tolist():
            yield Signal(
                m,
                record,
                bool(world.split.member[m, record]),
                ("", *KINDS)[world.kinds[record]],
                rows[record],
                float(np.exp(log_p[record])),
                float(-log_p[record]),
                float(first[record] - second[record]),
                None if asked is None else float(asked[m, record]),
            )


def _norms(world: World, root: Path) -> Array:
    """Of the targets' features [M, S], NaN for the other models. Raises SweepError where there is
    no network to ask, or the records are others.
    """
    point, targets = world.point, world.split.targets.tolist()
    if "white_box" not in world.offers:
        raise SweepError(
            f"--norms: {point.network.name} under {point.defense} is no one network: there "
            "are no features"
        )
    records = data.load(point.dataset, point.seed)
    if records.sha256() != point.data:
        raise SweepError(
            f"dataset {point.dataset.name}: its records are not those of the sweep; put the right "
            "ones in place"
        )
    records = canaries.plant(records, world.kinds, point.seed, point.replicate)
    found = np.full(world.split.member.shape, np.nan)
    for m in targets:
        found[m] = observe.asked_again(world, records, root, m, NORM)[NORM]
    return found
