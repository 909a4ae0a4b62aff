"""The figure of the first screen: accuracy against what the strongest attack finds."""

from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

from raymia.point import columns
from raymia.point.objectives import ACCURACY, GUESSING
from raymia.report.page import svg, words
from raymia.report.page.points import PRIVATE, Points
from raymia.results.row import Row
from raymia.verdict.front import front
from raymia.verdict.learning import MAJORITY

FEW = 12  # points of an arm that a line over its knob still leads through
WIDE, NARROW = (840, 500), (380, 430)
CAPTION = (
    "Right and down is better. Bold marks are on the front: no other trial is at once more "
    "accurate and less exposed; faint ones are beaten by one that is. Bars are 95% intervals. "
    "The star is without defense. A thin line leads through an arm as its knob changes; of an "
    "arm with several free knobs, or many points, through its best points. A cross is what "
    "training again with fresh seeds gave, tied to the point that was found. A ring marks "
    "DP-SGD, which alone comes with a guarantee. The plus is what everybody has for free, the "
    "classifier that always says the most frequent class: nobody's membership, and no use. The "
    "shaded area is above the bar that you set."
)


def figure(points: Points, size: tuple[int, int], most: float, least: float) -> str:
    """The front with everything beside it; empty where no trial has both numbers."""
    rows = points.useful or points.done
    if not rows:
        return ""
    x, y = axes([(points, rows)], size)
    inside = [
        svg.axes(x, y, "test accuracy", points.measure, (5, 5) if size == NARROW else (8, 6)),
        _bars(x, y, most, least),
        *_guessing(points, x, y),
        *_curves(points, rows, x, y),
        steps(points, x, y),
        *_marks(points, rows, x, y),
        *again(points, x, y),
    ]
    label = (
        f"Test accuracy against {points.measure} of {len(rows)} points; the tables below say all"
    )
    return svg.figure(*size, label, inside, "live wide" if size == WIDE else "live narrow").replace(
        "<svg ",
        f'<svg data-y="{y.low:.6g} {y.high:.6g} {svg.n(y.start)} {svg.n(y.end)}" '
        f'data-x="{x.low:.6g} {x.high:.6g} {svg.n(x.start)} {svg.n(x.end)}" ',
        1,
    )


def guessing(points: Points) -> float:
    return GUESSING.get(points.metric, 0.0)


def axes(
    shown: Sequence[tuple[Points, Sequence[Row]]], size: tuple[int, int]
) -> tuple[svg.Axis, svg.Axis]:
    """Axes that hold these rows of each folder with their intervals, what was confirmed of them,
    and guessing. The folders are judged by the same measure.
    """
    width, height = size
    across, up = [], [guessing(points) for points, _ in shown]
    for points, rows in shown:
        across += [end for row in rows for end in _ends(row, ACCURACY.column)]
        up += [end for row in rows for end in _ends(row, points.metric)]
        for row in rows:
            if row.digest in points.again:
                values = points.again[row.digest].numbers
                across += [v for v in [values.get(ACCURACY.column)] if v is not None]
                up += [v for v in [values.get(points.metric)] if v is not None]
    low, high = svg.around(across)
    bottom, top = svg.around(up)
    x = svg.Axis(max(low, 0.0), min(high, 1.005), 52, width - 14)
    return x, svg.Axis(max(bottom, 0.0), top, height - 50, 34)


def _ends(row: Row, name: str) -> list[float]:
    known = (row.numbers.get(column) for column in columns.with_ends(name))
    return [value for value in known if value is not None]


def both(row: Row) -> tuple[float, float]:
    first, second = row.values
    assert first is not None and second is not None
    return first, second


def _bars(x: svg.Axis, y: svg.Axis, most: float, least: float) -> str:
    """What lies beyond the two bars; the script moves it."""
    top = min(max(y.at(most), y.end), y.start)
    left = min(max(x.at(least), x.start), x.end)
    return (
        f'<rect class="beyond most" x="{svg.n(x.start)}" y="{svg.n(y.end)}" '
        f'width="{svg.n(x.end - x.start)}" height="{svg.n(top - y.end)}"/>'
        f'<rect class="beyond least" x="{svg.n(x.start)}" y="{svg.n(y.end)}" '
        f'width="{svg.n(left - x.start)}" height="{svg.n(y.start - y.end)}"/>'
    )


def _guessing(points: Points, x: svg.Axis, y: svg.Axis) -> Iterator[str]:
    at = guessing(points)
    yield svg.line(x.start, y.at(at), x.end, y.at(at), "guess")
    yield svg.text(x.end, y.at(at) + 14, "guessing", "end", "small")
    shares = (row.numbers.get(MAJORITY) for row in points.done)
    share = next((s for s in shares if s is not None), None)
    if share is not None:
        outside = share < x.low
        place = x.start + 9 if outside else min(x.at(share), x.end)
        said = f"constant answer{f': accuracy {share:.3f}, to the left' if outside else ''}"
        yield f'<path d="M-6,0H6M0,-6V6" transform="translate({svg.n(place)} {svg.n(y.at(at))})" '
        yield 'class="constant"/>'
        end = "start" if place < (x.start + x.end) / 2 else "end"
        yield svg.text(place, y.at(at) - 9, said, end, "small")


def _curves(points: Points, rows: Sequence[Row], x: svg.Axis, y: svg.Axis) -> Iterator[str]:
    """Each arm's way over its knob."""
    for defense, which in points.marks.items():
        mine = [row for row in rows if row.defense == defense]
        free = moved(mine)
        if len(mine) > 1 and which:
            if len(free) == 1 and len(mine) <= FEW:
                mine.sort(key=lambda row: row.knobs[free[0]])
            else:
                mine = own_front(mine)
            way = [(x.at(a), y.at(b)) for a, b in map(both, mine)]
            yield svg.path(way, f"curve {svg.colour(which)}", svg.dash(which))


def moved(rows: Sequence[Row]) -> list[str]:
    """The numeric knobs that are not the same everywhere."""
    names = sorted({name for row in rows for name in row.knobs})
    return [name for name in names if len({_number(row.knobs.get(name)) for row in rows}) > 1]


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def own_front(rows: Sequence[Row]) -> list[Row]:
    """The rows that no other of these beats, most accurate first."""
    return [rows[i] for i in front([row.values for row in rows])]


def steps(points: Points, x: svg.Axis, y: svg.Axis, dash: str = "") -> str:
    """Between two points of the front nothing is promised: stairs."""
    way: list[tuple[float, float]] = []
    for a, b in map(both, points.front):
        if way:
            way.append((x.at(a), way[-1][1]))
        way.append((x.at(a), y.at(b)))
    return svg.path(way, "stairs", dash)


def _marks(points: Points, rows: Sequence[Row], x: svg.Axis, y: svg.Axis) -> Iterator[str]:
    """Faint ones first, so that those on the front lie above them."""
    bare = points.bare.trial if points.bare else None
    for row in sorted(rows, key=lambda row: (row.trial in points.on_front, row.trial == bare)):
        a, b = both(row)
        which, strong = points.marks[row.defense], row.trial in points.on_front or row.trial == bare
        if strong:
            yield intervals(points, row, x, y)
        faint = "" if strong else " faint"
        if PRIVATE in row.defense.split("+"):
            place = f'cx="{svg.n(x.at(a))}" cy="{svg.n(y.at(b))}"'
            yield f'<circle {place} r="10" class="ring{faint}"/>'
        said = f"trial {row.trial}: {words.named(row)}"
        more = f' data-trial="{row.trial}"'
        if strong:
            said += (
                f", test accuracy {words.interval(row.numbers, ACCURACY.column)}, "
                f"{points.measure} {words.interval(row.numbers, points.metric)}"
            )
            more += f' tabindex="0" role="button" aria-label="{escape(said)}"'
        yield svg.mark(x.at(a), y.at(b), which, "" if strong else "faint", more)


def intervals(points: Points, row: Row, x: svg.Axis, y: svg.Axis) -> str:
    """The bars of a point, as far as the axes go."""
    (a, b), which = both(row), points.marks[row.defense]
    across, down = (
        [axis.at(min(max(end, axis.low), axis.high)) for end in _ends(row, name)[1:]]
        for axis, name in ((x, ACCURACY.column), (y, points.metric))
    )
    return svg.bars(x.at(a), y.at(b), across, down, which)


def again(points: Points, x: svg.Axis, y: svg.Axis) -> Iterator[str]:
    """What was confirmed, tied to what was found."""
    for row in points.shown:
        numbers = points.again[row.digest].numbers if row.digest in points.again else {}
        a, b = numbers.get(ACCURACY.column), numbers.get(points.metric)
        if a is None or b is None:
            continue
        (before, below), kind = both(row), svg.colour(points.marks[row.defense])
        yield svg.line(x.at(before), y.at(below), x.at(a), y.at(b), f"tie {kind}")
        place = f'transform="translate({svg.n(x.at(a))} {svg.n(y.at(b))})"'
        yield f'<path d="M-5,-5L5,5M5,-5L-5,5" {place} class="again {kind}"/>'
