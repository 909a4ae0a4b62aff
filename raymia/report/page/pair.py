"""Two folders on one page: what was set otherwise, both fronts, the differences, and what the
numbers do not say. One file that needs nothing else, not even a script.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from raymia.point import columns
from raymia.point.objectives import ACCURACY, AUC
from raymia.report import beside
from raymia.report.page import figures, front, fronts, svg, words
from raymia.report.page.points import Points, line
from raymia.report.page.setting import template, text
from raymia.results.tables import trial_line
from raymia.verdict import learning

PAIRS = ("defense", "strength", "number", "A", "B", "B less A", "note")
Lines = Sequence[tuple[str, Sequence[str]]]  # of each line the defense, for its mark, and the cells


def html(a: beside.Side, b: beside.Side) -> str:
    """The bytes depend on the rows, the settings and the names of the two folders alone."""
    from markupsafe import Markup

    settings, found, sides = beside.differing(a, b), list(beside.pairs(a, b)), _sides(a, b)
    marks = sides[0].marks
    shown = {row.defense for points in sides for row in points.shown}
    return str(
        template("pair.html.j2").render(
            sides=[(name, side.name, len(side.rows)) for name, side in _named(a, b)],
            settings=settings,
            warnings=list(_warnings(a, b)),
            drawn=[Markup(fronts.figure(sides, size)) for size in (front.WIDE, front.NARROW)],
            legend=[
                (Markup(figures.mark(which)), words.arm(name))
                for name, which in marks.items()
                if name in shown
            ],
            keys=[(Markup(fronts.key(i)), name) for i, name in enumerate("AB")],
            caption=fronts.CAPTION,
            measure=sides[0].measure,
            objectives=[objective for side in (a, b) for objective in _objectives(side)],
            fronts=_fronts(sides),
            pairs=_table(PAIRS, [(pair.defense, _cells(pair)) for pair in found]),
            alone=[("A", beside.alone(a, b)), ("B", beside.alone(b, a))],
            limits=list(_limits(a, b, sides, found)),
            mark=lambda defense: Markup(figures.mark(marks[defense])),
            arm=words.arm,
            symbols=Markup(svg.symbols()),
            style=Markup(text("style.css")),
        )
    )


def _named(a: beside.Side, b: beside.Side) -> tuple[tuple[str, beside.Side], ...]:
    return ("A", a), ("B", b)


def _objectives(side: beside.Side) -> list[str]:
    return sorted({row.objective for row in side.rows})


def _sides(a: beside.Side, b: beside.Side) -> list[Points]:
    """Both judged by one measure: what both were searched by, else the AUC, which all rows have.
    The same arm has the same mark on both.
    """
    metrics = {*_objectives(a), *_objectives(b)}
    metric = metrics.pop() if len(metrics) == 1 else AUC.column
    both = [
        Points([replace(row, objective=metric) for row in side.rows], side.confirmed)
        for side in (a, b)
    ]
    names = sorted({row.defense for points in both for row in points.rows} - {"none"})
    for points in both:
        points.marks = {"none": 0} | {name: i + 1 for i, name in enumerate(names)}
    return both


def _warnings(a: beside.Side, b: beside.Side) -> Iterator[str]:
    for name, side in _named(a, b):
        if said := learning.warning(map(trial_line, side.rows)):
            yield f"{name}: {said}"


def _fronts(sides: Sequence[Points]) -> dict[str, Any]:
    """The points of the figure."""
    names = list(dict.fromkeys((ACCURACY.column, sides[0].metric, AUC.column)))
    head = ["folder", "trial", "defense", "strength", *map(words.measure, names)]
    head += [f"confirmed {words.measure(name)}" for name in names]
    lines = []
    for name, points in zip("AB", sides, strict=True):
        for row in points.shown:
            again = points.again[row.digest].numbers if row.digest in points.again else {}
            cells = [words.interval(numbers, n) for numbers in (row.numbers, again) for n in names]
            lines.append((row.defense, [name, *line(points, row), *cells]))
    return _table(head, lines)


def _table(head: Sequence[str], lines: Lines) -> dict[str, Any]:
    """Columns that are empty everywhere are left out."""
    kept = [i for i in range(len(head)) if any(cells[i] for _, cells in lines)]
    rows = [(defense, [cells[i] for i in kept]) for defense, cells in lines]
    return {"head": [head[i] for i in kept], "rows": rows}


def _cells(pair: beside.Pair) -> list[str]:
    a, b = pair.a, pair.b
    at = a.knobs if a.knobs == b.knobs else f"A: {a.knobs or 'none'}; B: {b.knobs or 'none'}"
    note = pair.note if pair.difference[0] is not None else f"no interval; {pair.note}".rstrip("; ")
    cells = [words.arm(pair.defense), at, words.measure(pair.column), _mean(a), _mean(b)]
    return [*cells, _difference(pair), note]


def _mean(one: beside.Mean) -> str:
    name = ACCURACY.column  # `interval` wants columns
    runs = f", {one.runs} runs" if one.runs > 1 else ""
    return words.interval(columns.interval(name, one.value, one.low, one.high), name) + runs


def _difference(pair: beside.Pair) -> str:
    """`+0.012 (-0.030 to +0.054)`"""
    value, low, high = pair.difference
    return "" if value is None else f"{value:+.3f} ({low:+.3f} to {high:+.3f})"


def _limits(
    a: beside.Side, b: beside.Side, sides: Sequence[Points], found: Sequence[beside.Pair]
) -> Iterator[str]:
    differ = {name for name, *_ in beside.differing(a, b)}
    if "data" in differ:
        yield (
            "A and B read other data (their hashes differ): a difference may be of the records, "
            "whatever the defense does. Its interval takes the two for independent, which holds "
            "where no record is in both."
        )
    else:
        yield (
            "A and B read the same data. The intervals of the differences take the two for "
            "independent, which runs on the same records are not: they are wider than they had "
            "to be."
        )
    if len(differ) > 1:
        yield (
            f"{len(differ)} settings differ at once, and no number says of which of them a "
            "difference is. Change one thing at a time."
        )
    others = "; in A and B others ran, and more attacks find more" * ("attacks" in differ)
    yield f"An AUC is that of the attacks that ran, not of every attack there could be{others}."
    open_ = [sum(row.digest not in points.again for row in points.front) for points in sides]
    counted = " and ".join(
        f"{missing} of the {len(points.front)} points on the front of {name}"
        for name, missing, points in zip("AB", open_, sides, strict=True)
    )
    yield (
        "Found, not confirmed: the differences are of what the searches found, and points stand on "
        "a front partly because they were lucky (the winner's curse). "
        + (
            f"{counted} were not trained again: `raymia confirm` does."
            if any(open_)
            else "Both fronts were trained again with fresh seeds: the table of the fronts has it."
        )
    )
    if any(
        len(runs) > 1 for side in (a, b) for arm in side.points.values() for runs in arm.values()
    ):
        yield (
            "Some points have several runs. On the fronts stands each by itself, the luckiest "
            "first; the differences are of their means."
        )
    if len(found) > 1:
        yield (
            f"{len(found)} differences stand above. Where nothing differs, about one 95% interval "
            "in twenty leaves out 0 all the same."
        )
