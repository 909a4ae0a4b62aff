"""The fronts of two folders in one figure."""

from collections.abc import Iterator, Sequence

from raymia.report.page import front, svg
from raymia.report.page.points import Points
from raymia.results.row import Row

DASHES = ("", "7 4")  # the stairs of A, of B
CAPTION = (
    "Right and down is better. Filled marks on solid stairs are the front of A, hollow ones on "
    "dashed stairs that of B; the same defense has the same mark on both. Bars are 95% intervals. "
    "The star is without defense, also where it is on no front. A cross is what training again "
    "with fresh seeds gave, tied to the point that was found."
)


def figure(sides: Sequence[Points], size: tuple[int, int]) -> str:
    """Both fronts and the undefended points; empty where no point has both numbers."""
    shown = [(points, _drawn(points)) for points in sides]
    if not any(rows for _, rows in shown):
        return ""
    x, y = front.axes(shown, size)
    measure, guess = sides[0].measure, y.at(front.guessing(sides[0]))
    inside = [
        svg.axes(x, y, "test accuracy", measure, (5, 5) if size == front.NARROW else (8, 6)),
        svg.line(x.start, guess, x.end, guess, "guess"),
        svg.text(x.end, guess + 14, "guessing", "end", "small"),
    ]
    for side, (points, rows) in enumerate(shown):
        inside += [front.steps(points, x, y, DASHES[side]), *_marks(points, rows, x, y, side)]
        inside += front.again(points, x, y)
    many = [f"{len(points.front)} points of {n}" for n, points in zip("AB", sides, strict=True)]
    label = f"Test accuracy against {measure}: {' and '.join(many)}; the tables below say all"
    return svg.figure(*size, label, inside, "wide" if size == front.WIDE else "narrow")


def _drawn(points: Points) -> list[Row]:
    return [row for row in points.shown if None not in row.values]


def _marks(
    points: Points, rows: Sequence[Row], x: svg.Axis, y: svg.Axis, side: int
) -> Iterator[str]:
    for row in rows:
        accuracy, leakage = front.both(row)
        yield front.intervals(points, row, x, y)
        yield mark(x.at(accuracy), y.at(leakage), points.marks[row.defense], side)


def mark(x: float, y: float, which: int, side: int) -> str:
    """Of A filled; of B hollow and larger, so that of two in one place both are seen."""
    if side == 0:
        return svg.mark(x, y, which)
    place = f' transform="translate({svg.n(x)} {svg.n(y)}) scale(1.4)"'
    return svg.mark(0, 0, which, "open around", place)


def key(side: int) -> str:
    """The stairs of a side with a mark on them, for the legend."""
    inside = svg.path([(1, 8), (39, 8)], "stairs", DASHES[side])
    inside += mark(20, 8, 1, side).replace(svg.colour(1), svg.colour(0))
    return f'<svg viewBox="0 0 40 16" class="key long" aria-hidden="true">{inside}</svg>'
