"""What must be read before any number."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from raymia.point import columns
from raymia.point.objectives import LEAST_OTHERS, TPR
from raymia.report.page import words
from raymia.report.page.points import Points
from raymia.results.row import Row
from raymia.results.tables import trial_line
from raymia.verdict import learning

MEANINGLESS = 100  # an epsilon above it promises nothing: `columns.epsilon` says why


class Warned(NamedTuple):
    """`grave`: no number of the page may be used before it is mended."""

    grave: bool
    text: str


def warnings(points: Points) -> list[Warned]:
    """The gravest first; none where there is nothing to say."""
    said = [Warned(True, text) for text in [learning.warning(map(trial_line, points.runs))] if text]
    idle = [row for row in points.done if any("did nothing here" in n for n in row.notes)]
    if idle:
        arms = ", ".join(sorted({words.arm(row.defense) for row in idle}))
        said.append(
            Warned(False, f"A part of {arms} did nothing in {_trials(idle)}: see their notes.")
        )
    weak = [row for row in points.done if (row.numbers.get("epsilon") or 0) > MEANINGLESS]
    if weak:
        said.append(
            Warned(
                False,
                f"The epsilon of {_trials(weak)} is above {MEANINGLESS}: as a promise it is "
                "meaningless. What holds of these points is what was measured.",
            )
        )
    if leaky := [row for row in points.front if _leaks(points, row)]:
        arms = ", ".join(dict.fromkeys(map(words.named, leaky)))
        said.append(
            Warned(False, f"More exposed than without defense, although on the front: {arms}.")
        )
    few = [row for row in points.done if _few(row)]
    if few:
        said.append(
            Warned(
                False,
                f"Too few records to say how many members are found at a false alarm in a hundred: "
                f"{LEAST_OTHERS[TPR.column]:,} non-members over all targets are needed, "
                f"{_pooled(few[0]):,} were judged.",
            )
        )
    absent = [row for row in points.rows if row.state != "done"]
    if absent:
        said.append(
            Warned(
                False, f"{_count(len(absent))} gave no numbers; the table of all trials says why."
            )
        )
    return said


def groups(seen: Sequence[tuple[Row, Mapping[str, Any]]]) -> Iterator[Warned]:
    """Whose groups are clearly more exposed than the rest, a line each point. `seen`: of
    `evidence.several`.
    """
    for row, one in seen:
        if one["groups"] and one["groups"]["more"]:
            each = (
                f"{name} (AUC {words.rate(own)}, the rest {words.rate(rest)})"
                for name, own, rest in one["groups"]["more"]
            )
            yield Warned(
                False,
                f"Clearly more exposed than the rest, by {one['groups']['column']}, with "
                f"{words.named(row)}: {'; '.join(each)}. An average over all records hides that; "
                "these intervals hold for all groups together.",
            )


def _leaks(points: Points, row: Row) -> bool:
    bare = points.bare
    if bare is None or row.trial == bare.trial:
        return False
    own, other = (points.deciding(one).get(points.metric) for one in (row, bare))
    return own is not None and other is not None and own > other


def _pooled(row: Row) -> int:
    return (row.nonmembers or 0) * row.targets


def _few(row: Row) -> bool:
    measured = any(
        name.startswith(f"{columns.measured('tpr_at_fpr_0.01', '')}") for name in row.numbers
    )
    return row.nonmembers is not None and not measured and _pooled(row) < LEAST_OTHERS[TPR.column]


def _count(trials: int) -> str:
    return "1 trial" if trials == 1 else f"{trials} trials"


def _trials(rows: Sequence[Row]) -> str:
    """`trial 3`, `trials 3, 5 and 8`; of many how many."""
    if len(rows) > 6:
        return _count(len(rows))
    *first, last = (str(row.trial) for row in rows)
    return f"trials {', '.join(first)} and {last}" if first else f"trial {last}"
