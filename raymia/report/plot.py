"""The picture of a front, as an SVG element whose bytes depend on the rows alone."""

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

from raymia.point import columns
from raymia.point.objectives import ACCURACY, AUC, GUESSING
from raymia.results.row import Row
from raymia.verdict.learning import MAJORITY

_MARKERS = "osD^vP<>Xph"
CAPTION = (
    "Every finished trial; bars are 95% intervals over records. Better is to the right and down. "
    "The line is the front; stars are without a defense; the dashed line is guessing, and the plus "
    "on it what everybody has for free, the classifier that always says the most frequent class; "
    "crosses are confirmations with fresh seeds."
)


def plot(rows: Sequence[Row], front: Sequence[Row], confirmed: Mapping[str, Row]) -> str:
    """The front as an inline SVG element, the same bytes for the same rows."""
    import matplotlib
    from matplotlib.figure import Figure

    text = io.StringIO()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(
            {"svg.hashsalt": "raymia", "svg.fonttype": "none", "font.size": 10}
        )
        figure = Figure(figsize=(9, 5.5), layout="constrained")
        _draw(figure.add_subplot(), rows, front, confirmed)
        figure.savefig(
            text,
            format="svg",
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
        )
    return _inline(text.getvalue())


def _draw(
    axes: Any, rows: Sequence[Row], front: Sequence[Row], confirmed: Mapping[str, Row]
) -> None:
    whole = [row for row in rows if row.state == "done" and _point(row)]
    for i, defense in enumerate(sorted({row.defense for row in whole})):
        mine = [row for row in whole if row.defense == defense]
        bare = defense == "none"
        style = {
            "marker": "*" if bare else _MARKERS[i % len(_MARKERS)],
            "color": "black" if bare else f"C{i % 10}",
        }
        _scatter(
            axes,
            mine,
            label="no defense" if bare else _plain(defense),
            markersize=13 if bare else 6,
            **style,
        )
    points = [point for row in front if (point := _point(row))]
    # between two points nothing is promised
    steps = {"where": "post", "color": "black", "linewidth": 1, "zorder": 1}
    axes.step([x for x, _ in points], [y for _, y in points], label="front", **steps)
    again = [
        confirmed[row.digest]
        for row in front
        if row.digest in confirmed and _point(confirmed[row.digest])
    ]
    if again:
        _scatter(axes, again, label="confirmed", marker="x", color="crimson", markersize=8)
    guessing = GUESSING.get(_measure(rows), 0.0)
    axes.axhline(guessing, color="grey", linestyle="--", linewidth=1)
    constant = [share for row in whole if (share := row.numbers.get(MAJORITY)) is not None]
    if constant:
        label = "a constant answer"
        axes.plot(constant[:1], [guessing], "+", color="grey", markersize=11, label=label)
    axes.set_xlabel("test accuracy")
    axes.set_ylabel(_measure(rows).replace("_", " "))
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)


def _measure(rows: Sequence[Row]) -> str:
    """What stands on the y axis."""
    return rows[0].objective if rows else AUC.column


def _point(row: Row) -> tuple[float, float] | None:
    x, y = (row.numbers.get(name) for name in row.measures[:2])
    return None if x is None or y is None else (x, y)


def _plain(text: str) -> str:
    # matplotlib takes $ for mathematics and hides labels that begin with _
    return text.replace("$", r"\$").lstrip("_")


def _scatter(axes: Any, rows: Sequence[Row], **style: Any) -> None:
    x, y = zip(*[point for row in rows if (point := _point(row))], strict=True)
    bars = {"xerr": _bars(rows, ACCURACY.column, x), "yerr": _bars(rows, _measure(rows), y)}
    axes.errorbar(x, y, **bars, linestyle="none", elinewidth=0.6, alpha=0.8, **style)


def _bars(rows: Sequence[Row], name: str, values: Sequence[float]) -> list[list[float]]:
    """How far each interval reaches below and above its value; 0 where there is none."""
    low, high = ([row.numbers.get(end) for row in rows] for end in columns.ends(name))
    below = [0.0 if end is None else max(v - end, 0.0) for v, end in zip(values, low, strict=True)]
    return [
        below,
        [0.0 if end is None else max(end - v, 0.0) for v, end in zip(values, high, strict=True)],
    ]


def _inline(svg: str) -> str:
    """The <svg> element alone: inside HTML it needs neither prologue nor name spaces, and so no
    address of anyone.
    """
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", svg).replace("xlink:href", "href")
    return svg.replace(
        "<svg", '<svg role="img" aria-label="test accuracy against the attacks\' strength"', 1
    ).strip()
