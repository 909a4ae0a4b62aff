"""The further figures: ROC, confidences, knobs, epsilon."""

from collections.abc import Mapping, Sequence
from typing import Any

from raymia.point import columns
from raymia.point.objectives import ACCURACY
from raymia.report.page import svg, words
from raymia.report.page.front import guessing, moved
from raymia.report.page.points import Points
from raymia.results.row import Row

SIZE = (400, 300)
LARGE = (470, 360)
LEAST = 10  # non-members above a threshold, or its FPR is not resolved: `verdict.low_fpr`


def roc(seen: Sequence[Mapping[str, Any]]) -> str:
    """Curves of the pooled scores on log axes. `seen`: of `evidence.of`."""
    resolved = min(LEAST / one["others"] for one in seen)
    lowest = min(1 / one["others"] for one in seen)
    x = svg.Axis(lowest, 1.0, 62, LARGE[0] - 16, log=True)
    y = svg.Axis(min(lowest, 0.01), 1.0, LARGE[1] - 50, 34, log=True)
    left, right = x.at(lowest), x.at(min(resolved, 1.0))
    inside = [
        f'<rect class="unresolved" x="{svg.n(left)}" y="{svg.n(y.end)}" '
        f'width="{svg.n(right - left)}" height="{svg.n(y.start - y.end)}"/>',
        svg.axes(x, y, "false positive rate", "true positive rate"),
        svg.path([(x.at(v), y.at(v)) for v in (max(x.low, y.low), 1.0)], "guess"),
        svg.text((left + right) / 2, y.end + 14, "not resolved", kind="small"),
    ]
    for i, one in enumerate(seen):
        way = [(x.at(f), y.at(t)) for f, t in one["roc"] if t >= y.low]
        inside.append(svg.path(way, f"roc {svg.colour(one['mark'])}", svg.DASHES[i]))
    label = "ROC on logarithmic axes: " + ", ".join(one["name"] for one in seen)
    return svg.figure(*LARGE, label, inside)


def key(i: int, mark: int) -> str:
    """The line of a curve, for its legend."""
    inside = svg.path([(1, 8), (39, 8)], f"roc {svg.colour(mark)}", svg.DASHES[i])
    return f'<svg viewBox="0 0 40 16" class="key" aria-hidden="true">{inside}</svg>'


def mark(which: int) -> str:
    """The mark of an arm, for tables and legends."""
    inside = svg.mark(8, 8, which)
    return f'<svg viewBox="0 0 16 16" class="key mark" aria-hidden="true">{inside}</svg>'


def confidences(shares: Sequence[Sequence[float]], name: str, top: float) -> str:
    """Shares of members (filled) and of non-members (outlined) by the probability of their true
    class, in bins of equal width.
    """
    members, others = shares
    x, y = svg.Axis(0.0, 1.0, 48, SIZE[0] - 10), svg.Axis(0.0, top, SIZE[1] - 48, 30)
    width = 1 / len(members)
    inside = [svg.axes(x, y, "probability of the true class", "share of records", (5, 4))]
    for i, share in enumerate(members):
        a, b = x.at(i * width), x.at((i + 1) * width)
        inside.append(
            f'<rect class="members" x="{svg.n(a)}" y="{svg.n(y.at(share))}" '
            f'width="{svg.n(b - a)}" height="{svg.n(y.start - y.at(share))}"/>'
        )
    way = [(x.at(0), y.start)]
    for i, share in enumerate(others):
        way += [(x.at(i * width), y.at(share)), (x.at((i + 1) * width), y.at(share))]
    inside.append(svg.path([*way, (x.at(1), y.start)], "others"))
    return svg.figure(*SIZE, f"Confidence of members and of non-members: {name}", inside)


def knobs(points: Points) -> list[dict[str, Any]]:
    """For every arm and numeric knob that was moved: accuracy and leakage over it."""
    found = []
    for defense, which in points.marks.items():
        mine = [row for row in points.useful if row.defense == defense]
        free = [name for name in moved(mine) if all(_is_number(r.knobs.get(name)) for r in mine)]
        for name in free if len(mine) > 2 else ():
            other = [one for one in moved(mine) if one != name]
            found.append(
                {
                    "arm": words.arm(defense),
                    "knob": name,
                    "svg": _knob(points, mine, name, which, other),
                    "other": ", ".join(other),
                }
            )
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _knob(points: Points, rows: Sequence[Row], name: str, which: int, other: Sequence[str]) -> str:
    """Accuracy (upper marks) and leakage over one knob, with intervals. A line joins them where
    no other knob moves; where one other takes few values, a line for each.
    """
    values = sorted({row.knobs[name] for row in rows})
    log = values[0] > 0 and values[-1] / values[0] > 20
    room = 0.0 if log else (values[-1] - values[0]) * 0.05
    x = svg.Axis(values[0] - room, values[-1] + room, 48, SIZE[0] - 12, log)
    measures = (ACCURACY.column, points.metric)
    ends = [
        end
        for row in rows
        for measure in measures
        for column in columns.with_ends(measure)
        if (end := row.numbers.get(column)) is not None
    ]
    low, high = svg.around([*ends, guessing(points)])
    y = svg.Axis(max(low, 0.0), min(high, 1.02), SIZE[1] - 48, 30)
    inside = [svg.axes(x, y, name, f"accuracy (filled), {points.measure} (open)", (5, 5))]
    lines = sorted({str([row.knobs.get(one) for one in other]) for row in rows})
    for kind, measure in zip(("", "open"), measures, strict=True):
        for i, each in enumerate(lines if len(lines) <= 4 else []):
            mine = [row for row in rows if str([row.knobs.get(one) for one in other]) == each]
            way = [
                (x.at(row.knobs[name]), y.at(row.numbers[measure] or 0))
                for row in sorted(mine, key=lambda row: row.knobs[name])
            ]
            inside.append(svg.path(way, f"curve {svg.colour(which)}", svg.DASHES[i]))
        for row in rows:
            value = row.numbers[measure] or 0.0
            known = [row.numbers.get(end) for end in columns.ends(measure)]
            down = [y.at(end) for end in known if end is not None]
            place = x.at(row.knobs[name]), y.at(value)
            inside.append(svg.bars(*place, (), down if len(down) == 2 else (), which))
            inside.append(svg.mark(*place, which, kind))
    return svg.figure(*SIZE, f"Accuracy and {points.measure} over {name}", inside)


def budgets(points: Points) -> str:
    """Accuracy over epsilon of the points that have one; empty where fewer than two do."""
    rows = [row for row in points.useful if (row.numbers.get("epsilon") or 0) > 0]
    if len(rows) < 2:
        return ""
    values = [row.numbers["epsilon"] or 0 for row in rows]
    x = svg.Axis(min(values) / 1.3, max(values) * 1.3, 52, LARGE[0] - 16, log=True)
    ends = [
        end
        for row in rows
        for column in columns.with_ends(ACCURACY.column)
        if (end := row.numbers.get(column)) is not None
    ]
    bare = points.bare.numbers.get(ACCURACY.column) if points.bare else None
    low, high = svg.around([*ends, *([] if bare is None else [bare])])
    y = svg.Axis(max(low, 0.0), min(high, 1.02), LARGE[1] - 100, 34)
    inside = [svg.axes(x, y, "epsilon (smaller is stronger)", "test accuracy")]
    if bare is not None:
        inside.append(svg.line(x.start, y.at(bare), x.end, y.at(bare), "guess"))
        inside.append(svg.text(x.end, y.at(bare) - 5, "without defense", "end", "small"))
    for row in rows:
        which, value = points.marks[row.defense], row.numbers[ACCURACY.column] or 0.0
        place = x.at(row.numbers["epsilon"] or 1), y.at(value)
        known = [row.numbers.get(end) for end in columns.ends(ACCURACY.column)]
        down = [y.at(end) for end in known if end is not None]
        inside.append(svg.bars(*place, (), down if len(down) == 2 else (), which))
        inside.append(svg.mark(*place, which))
    return svg.figure(LARGE[0], LARGE[1] - 50, "Test accuracy over epsilon", inside)
