"""The points of a front, trained again with fresh draws: what is left of a number once the luck
of having been chosen is gone.

The search saw each point of the front with replicate 0 (or the few next ones) and kept those
that looked best. Here a point is drawn again from replicate 1,000,000 on: other splits, other
initial weights, other batches. The papers' protocols (`halves`, `slices`, `overlap`) split by a
seed of their own, which moves along: else all draws would be of one split, the search's. Under
`official` the members are those of the train file; which of them are judged is drawn again.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from math import inf
from typing import Any

from raymia.attack import attack as attacks
from raymia.attack.attack import column
from raymia.errors import RaymiaError, SweepError
from raymia.point import columns
from raymia.point.objectives import ACCURACY, AUC, EPSILON, MAXIMA, PRIVACY, TPR, upper
from raymia.point.point import Point
from raymia.records.data import Data
from raymia.results.folder import Folder
from raymia.results.row import Row, best
from raymia.trial import run as trial
from raymia.verdict import learning, metrics
from raymia.verdict.maximum import largest_upper

FIRST = 1_000_000  # the replicate of the first fresh draw; a search never gets that far
SEEDS = 5
MEANS = ("train_accuracy", ACCURACY.column, *PRIVACY, "plain_max_auc", learning.MAJORITY)

# what a mean can be that is no rate
_WITHIN = {"advantage": (-1.0, 1.0), EPSILON: (0.0, inf)}

Map = Callable[..., Iterable[Any]]


def front(folder: Folder, digests: Sequence[str] | None = None) -> list[Row]:
    """The rows on the front, best accuracy first. Raises SweepError where there is none."""
    shown = folder.shown(digests)
    rows = best(shown)
    if not rows:
        done = any(row.state == "done" for row in shown)
        why = "more accurate than a constant answer" if done else "done"
        why = why if shown or not folder.rows() else "of its sweep as it is now"
        raise SweepError(f"{folder.path} has no front: no trial is {why}")
    return rows


def wanted(folder: Folder, digests: Sequence[str] | None = None) -> list[Row]:
    """The rows to confirm: those on the front, and the first undefended one, which every number
    is compared with. Raises SweepError where there is no front.
    """
    rows = front(folder, digests)
    shown = sorted(folder.shown(digests), key=lambda row: row.trial)
    bare = (row for row in shown if row.state == "done" and row.defense == "none")
    first = next(bare, None)
    return rows if first is None or first in rows else [*rows, first]


def points(row: Row, seeds: int = SEEDS) -> list[Point]:
    """The point of a row, drawn afresh `seeds` times. More seeds begin with the same ones."""
    point = Point.from_json(row.point)
    return [_afresh(point, FIRST + i) for i in range(seeds)]


def _afresh(point: Point, replicate: int) -> Point:
    knobs = dict(point.protocol.knobs)
    if "split_seed" in knobs:
        knobs["split_seed"] += replicate
    return replace(point, replicate=replicate, protocol=replace(point.protocol, knobs=knobs))


def run(
    folder: Folder,
    data: Data,
    seeds: int = SEEDS,
    map: Map = map,
    digests: Sequence[str] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> list[Row]:
    """Confirms every point of the front, and the undefended one, that is not confirmed with that
    many seeds yet, and brings the CSVs up to date.

    The caller holds the folder's lock. `map` runs whole trials and keeps their order; a
    confirmed point is written as soon as its draws are there. `say` is told how far it is.
    Returns the confirmations. Raises SweepError where there is no front, RaymiaError where no
    draw of a point has a number.
    """
    if seeds < 1:
        raise SweepError(f"--seeds: got {seeds}; 1 or more is allowed")
    held = {row.digest: row for row in folder.confirmed()}
    missing = [
        row
        for row in wanted(folder, digests)
        if row.digest not in held
        or held[row.digest].numbers["seeds"] != seeds
        or upper(TPR.column) not in held[row.digest].numbers
    ]
    fresh = [point for row in missing for point in points(row, seeds)]
    if fresh:
        say(f"{len(missing)} points x {seeds} fresh draws: {len(fresh)} trials")
    if fresh and seeds < SEEDS:
        say(f"{seeds} draws say little about the luck of one; {SEEDS} or more are advised")
    found = iter(map(partial(_attempt, data), fresh))
    try:
        for row in missing:
            made = combine(row, [next(found) for _ in range(seeds)])
            folder.confirm(made)
            known = ((name, made.numbers[name]) for name in row.measures)
            numbers = (f"{name} {value:.3f}" for name, value in known if value is not None)
            say(f"trial {row.trial} confirmed: {row.defense}: {', '.join(numbers)}")
    finally:  # where it was stopped, what is confirmed stands in the CSVs
        folder.derive(digests)
    asked = {row.digest for row in wanted(folder, digests)}
    return [row for row in folder.confirmed() if row.digest in asked]


def _attempt(data: Data, point: Point) -> Row:
    return trial.attempt(point, data)


def combine(seen: Row, fresh: Sequence[Row]) -> Row:
    """One row with the seen one's digest whose numbers are means over the fresh draws.

    Intervals are t intervals over the draws, which hold the chance of training and of drawing
    records; of one draw, its own. Every attack's draws are kept: `max_attack_auc_upper`, and those
    of the other maxima, are the largest of their upper ends. Raises RaymiaError where no draw has
    a number; those that failed are named in the notes.
    """
    done = [row for row in fresh if row.state == "done"]
    if not done:
        raise RaymiaError(
            f"trial {seen.trial}: none of {len(fresh)} fresh draws has a number; the first: "
            f"{fresh[0].reason}"
        )
    numbers: dict[str, float | None] = {"seeds": float(len(fresh))}
    counted = {
        of: [columns.measured(measure, name) for name in _counted(seen)]
        for of, measure in MAXIMA.items()
    }
    every = (name for names in counted.values() for name in names if name in done[0].numbers)
    for name in (*MEANS, *every):
        values = [value for row in done if (value := row.numbers.get(name)) is not None]
        numbers[name] = sum(values) / len(values) if values else None
        within = next((w for start, w in _WITHIN.items() if name.startswith(start)), (0.0, 1.0))
        ends = metrics.spread_interval(values, within=within) if len(values) > 1 else None
        own = [done[0].numbers.get(end) for end in columns.ends(name)]
        numbers |= dict(zip(columns.ends(name), ends or own, strict=True))
    for of, names in counted.items():
        highs = [numbers[columns.ends(name)[1]] for name in names if name in numbers]
        numbers[upper(of)] = largest_upper(highs)
    failed = [
        f"replicate {row.point['replicate']}: {row.reason}" for row in fresh if row.state != "done"
    ]
    return replace(
        seen,
        state="done",
        numbers=numbers,
        attacks=[],
        timing={},
        notes=failed,
        versions=done[0].versions,
    )


def _counted(row: Row) -> list[str]:
    """The attacks of a row that the maximum is taken over."""
    parts = Point.from_json(row.point).attacks
    return [column(part) for part in parts if attacks.traits(part).counts]


def passes(
    folder: Folder,
    max_auc: float | None = None,
    min_accuracy: float = 0.0,
    digests: Sequence[str] | None = None,
    max_tpr: float | None = None,
) -> list[Row]:
    """The confirmed points of the front that the gate lets through, most accurate first.

    The largest upper end of the confirmed attacks is at most `max_auc`, and of their TPR at 1%
    FPR at most `max_tpr`, where they are given; the confirmed test accuracy is at least
    `min_accuracy`.
    """
    most = {AUC.column: max_auc, TPR.column: max_tpr}
    on_front = {row.digest for row in front(folder, digests)}

    def good(row: Row) -> bool:
        accuracy = row.numbers.get(ACCURACY.column)
        ends = [
            (row.numbers.get(upper(name)), bound)
            for name, bound in most.items()
            if bound is not None
        ]
        return (
            all(end is not None and end <= bound for end, bound in ends)
            and accuracy is not None
            and accuracy >= min_accuracy
            and not learning.useless(row.numbers)
        )

    fit = [row for row in folder.confirmed() if row.digest in on_front and good(row)]
    return best_first(fit)


def best_first(rows: Sequence[Row]) -> list[Row]:
    """The most accurate first."""
    return sorted(rows, key=lambda row: -(row.numbers[ACCURACY.column] or 0.0))
