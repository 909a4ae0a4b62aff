"""What the kept signals of a point say beyond its row: the ROC, confidences, classes, groups, and
single records. Attacks are made again; they are deterministic.

The attack is the strongest of the row among those that train no network, so that a page costs
seconds; the page names it.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from raymia.attack import attack as attacks
from raymia.attack.attack import column
from raymia.attack.learned import Learned
from raymia.errors import RaymiaError, SweepError
from raymia.point import catalog, columns
from raymia.point.point import Point
from raymia.records.groups import Groups
from raymia.results.row import Row
from raymia.signals import observe
from raymia.signals.view import log_odds, log_truth
from raymia.trial import record_scores
from raymia.trial.record_scores import Made
from raymia.verdict import grouped, low_fpr, metrics

Array = np.ndarray[Any, Any]
Seen = Mapping[str, Any]
BINS = 20
RATES = (0.001, 0.01, 0.05, 0.1)
EXPOSED = 10  # records that are named
LEAST = 10  # members, and others, of a class, or its AUC says nothing


def of(row: Row, signals: Path) -> dict[str, Any]:
    """Plain numbers of one point. Raises SweepError where its signals were not kept, or nothing
    can be made of them.
    """
    from threadpoolctl import threadpool_limits

    name = strongest(row)
    with threadpool_limits(1):  # the same bytes wherever the page is written
        made = list(record_scores.made(row, signals, name))
        world = made[0].world
        scores = np.stack([one.verdict.common for one in made])
        member = world.split.member[world.split.targets]
        on = np.isfinite(scores) & (world.kinds == 0)
        said = observe.load(world, signals, ("logits",))
        logits = said.arrays["logits"][world.split.targets]
        truth = np.exp(np.stack([log_truth(log_odds(one, said.labels)) for one in logits]))
        right = logits.argmax(-1) == said.labels
        return {
            "attack": name,
            "members": int((on & member).sum()),
            "others": int((on & ~member).sum()),
            "roc": curve(scores[on], member[on]),
            "rates": _rates(scores, member, on),
            "confidence": [_shares(truth[on & who]) for who in (member, ~member)],
            "classes": list(_classes(scores, member, on, right, said.labels)),
            "groups": _groups(scores, member, on, right, made[0].groups),
            "exposed": _exposed(made, said.labels),
        }


def strongest(row: Row) -> str:
    """The attack of the row with the largest AUC of those that count and train no network.
    Raises SweepError where there is none.
    """
    try:
        parts = Point.from_json(row.point).attacks
    except (KeyError, TypeError) as error:
        raise SweepError(f"trial {row.trial} does not say what it was ({error!r})") from None
    able = [
        column(part)
        for part in parts
        if attacks.traits(part).counts
        and not issubclass(catalog.find("attacks", part.name), Learned)
        and row.numbers.get(columns.auc(column(part))) is not None
    ]
    if not able:
        raise SweepError(f"trial {row.trial} has no attack that is made again in seconds")
    return max(able, key=lambda name: row.numbers[columns.auc(name)] or 0.0)


def curve(score: Array, member: Array) -> list[tuple[float, float]]:
    """(FPR, TPR) of the pooled scores: the largest TPR at an FPR of at most each of 60 rates, from
    one non-member on to all, evenly on a log scale; each pair once.
    """
    down = np.sort(score[~member])[::-1]
    above = np.sort(-score[member])
    counts = np.unique(np.round(np.geomspace(1, len(down), 60)).astype(int))
    found = []
    for allowed in counts.tolist():
        # at or above this threshold lie at most so many non-members
        cut = down[allowed] if allowed < len(down) else -np.inf
        hits = int(np.searchsorted(above, -cut, side="left")) if allowed < len(down) else len(above)
        found.append((allowed / len(down), hits / len(above)))
    return found


def _rates(scores: Array, member: Array, on: Array) -> list[tuple[float, metrics.Rate]]:
    """The pooled TPR at each FPR that so many non-members resolve."""
    weights = low_fpr.drawn(scores.shape[1])
    found = ((fpr, low_fpr.tpr(scores, member, on, fpr, weights)) for fpr in RATES)
    return [(fpr, one[0]) for fpr, one in found if one is not None]


def _shares(truth: Array) -> list[float]:
    counts = np.histogram(truth, BINS, (0.0, 1.0))[0]
    return [float(share) for share in counts / max(len(truth), 1)]


def _classes(
    scores: Array, member: Array, on: Array, right: Array, labels: Array
) -> Iterator[dict[str, Any]]:
    """By class the accuracy on non-members and how well members are told, pooled over targets."""
    for label in np.unique(labels).tolist():
        here = on & (labels == label)
        inside, outside = here & member, here & ~member
        able = min(inside.sum(), outside.sum()) >= LEAST
        yield {
            "label": label,
            "members": int(inside.sum()),
            "others": int(outside.sum()),
            "accuracy": float(right[outside].mean()) if outside.any() else None,
            "auc": metrics.auc(scores[here], member[here]) if able else None,
        }


def _groups(
    scores: Array, member: Array, on: Array, right: Array, groups: Groups | None
) -> dict[str, Any] | None:
    """The same by group, with intervals, and those that are clearly more exposed than the rest."""
    if groups is None:
        return None
    found = grouped.numbers(scores, member, on, right, groups.code, len(groups.names))
    more = grouped.clearly_more(scores, member, on, groups.code, len(groups.names))
    return {
        "column": groups.column,
        "lines": list(zip(groups.names, found, strict=True)),
        "more": [(groups.names[k], *both) for k, both in more.items()],
    }


def _exposed(made: Sequence[Made], labels: Array) -> dict[str, Any]:
    """The records that the attack tells best, by their numbers in the file."""
    try:
        found = record_scores.exposed(made)
    except SweepError as error:
        return {"why": str(error).removeprefix("--attack: ")}
    return {
        "share": record_scores.share(found),
        "records": len(found),
        "most": [
            {
                "row": one.row,
                "label": int(labels[one.record]),
                "ratio": one.ratio,
                "low": None if one.evidence_lo is None else float(np.exp(one.evidence_lo)),
                "targets": one.targets,
            }
            for one in found[:EXPOSED]
        ],
    }


def several(rows: Sequence[Row], signals: Any) -> tuple[list[tuple[Row, Seen]], str]:
    """Of each row that kept what is needed; and why others are left out, in one sentence."""
    if not isinstance(signals, Path):
        return [], "signals are read from a folder on a disk: copy it here and write the page again"
    found: list[tuple[Row, Seen]] = []
    why = ""
    for row in rows:
        try:
            found.append((row, of(row, signals)))
        except RaymiaError as error:
            why = why or str(error)
    return found, why
