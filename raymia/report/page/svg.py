"""Pieces of a figure as SVG: axes, marks, lines. Colours are classes of `style.css`, so that dark
mode and print need no second figure; shapes and dashes say the same without colour.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

# one a mark, around (0, 0), about 12 wide; the first is the star of "no defense"
SHAPES = (
    "M0,-8L2,-2.6L7.6,-2.5L3.2,1L4.7,6.5L0,3.3L-4.7,6.5L-3.2,1L-7.6,-2.5L-2,-2.6Z",
    "M5,0A5,5 0 1 1 -5,0A5,5 0 1 1 5,0Z",
    "M-4.6,-4.6H4.6V4.6H-4.6Z",
    "M0,-6L5.6,4.2H-5.6Z",
    "M0,-6.4L5,0L0,6.4L-5,0Z",
    "M0,6L5.6,-4.2H-5.6Z",
    "M-1.9,-5.6H1.9V-1.9H5.6V1.9H1.9V5.6H-1.9V1.9H-5.6V-1.9H-1.9Z",
    "M-6,0L4.2,-5.6V5.6Z",
    "M0,-5.8L5.5,-1.8L3.4,4.7H-3.4L-5.5,-1.8Z",
    "M6,0L-4.2,-5.6V5.6Z",
    "M-5,-5.2H5L-5,5.2H5Z",
    "M3,-5.2L6,0L3,5.2H-3L-6,0L-3,-5.2Z",
    "M-5.2,-5L5.2,5V-5L-5.2,5Z",
)
DASHES = ("", "7 3", "2 3", "9 3 2 3", "4 2", "1 4")
COLOURS = 8


@dataclass(frozen=True)
class Axis:
    """Values from `low` to `high` on pixels from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        low, high, value = (self._scaled(v) for v in (self.low, self.high, value))
        return self.start + (self.end - self.start) * (value - low) / ((high - low) or 1.0)

    def _scaled(self, value: float) -> float:
        return math.log10(max(value, 1e-300)) if self.log else value

    def ticks(self, about: int = 6) -> list[float]:
        if self.log:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            every = [m * 10.0**k for k in range(first, last + 1) for m in (1, 2, 5)]
            inside = [
                t for t in every if self.low <= t * (1 + 1e-9) and t <= self.high * (1 + 1e-9)
            ]
            tens = [t for t in inside if f"{t:e}".startswith("1.0")]
            return tens if len(tens) > 2 else inside
        raw = (self.high - self.low) / about or 1.0
        ten = 10.0 ** math.floor(math.log10(raw))
        step = next(m * ten for m in (1, 2, 5, 10) if m * ten >= raw * (1 - 1e-9))
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [round(i * step, 12) for i in range(first, last + 1)]


def around(values: Sequence[float], least: float = 0.02) -> tuple[float, float]:
    """Ends that hold all values with a little room."""
    low, high = min(values), max(values)
    room = max((high - low) * 0.06, least)
    return low - room, high + room


def n(value: float) -> str:
    """A coordinate: a tenth of a pixel is seen by nobody."""
    return f"{round(value, 1) or 0:g}"


def tick(value: float) -> str:
    return f"{value:g}"


def text(x: float, y: float, said: str, anchor: str = "middle", kind: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text x="{n(x)}" y="{n(y)}" text-anchor="{anchor}"{named}>{escape(said)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{n(x1)}" y1="{n(y1)}" x2="{n(x2)}" y2="{n(y2)}" class="{kind}"/>'


def path(points: Iterable[tuple[float, float]], kind: str, dash: str = "") -> str:
    places = "L".join(f"{n(x)},{n(y)}" for x, y in points)
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<path d="M{places}" class="{kind}"{dashed}/>' if places else ""


def colour(mark: int) -> str:
    """The class of a mark's colour."""
    return "bare" if mark == 0 else f"c{(mark - 1) % COLOURS}"


def dash(mark: int) -> str:
    return DASHES[mark % len(DASHES)]


def symbols() -> str:
    """Every shape once, for the `<use>` of all marks of a page."""
    every = "".join(f'<path id="m{i}" d="{shape}"/>' for i, shape in enumerate(SHAPES))
    return f'<svg class="symbols" aria-hidden="true"><defs>{every}</defs></svg>'


def mark(x: float, y: float, which: int, kind: str = "", more: str = "") -> str:
    """A point of an arm. `more`: further attributes, as they are."""
    shape = 0 if which == 0 else 1 + (which - 1) % (len(SHAPES) - 1)
    named = f"mark {colour(which)} {kind}".strip()
    return f'<use href="#m{shape}" x="{n(x)}" y="{n(y)}" class="{named}"{more}/>'


def bars(x: float, y: float, across: Sequence[float], down: Sequence[float], which: int) -> str:
    """Intervals of a point, as pixels (two ends, or nothing)."""
    found = f"M{n(across[0])},{n(y)}H{n(across[1])}" if across else ""
    found += f"M{n(x)},{n(down[0])}V{n(down[1])}" if down else ""
    return f'<path d="{found}" class="bar {colour(which)}"/>' if found else ""


def axes(x: Axis, y: Axis, across: str, up: str, ticks: tuple[int, int] = (6, 6)) -> str:
    """Both axes with grid, numbers and names. The first number of `ticks` is that across."""
    found = []
    for value in x.ticks(ticks[0]):
        found.append(line(x.at(value), y.start, x.at(value), y.end, "grid"))
        found.append(text(x.at(value), y.start + 18, tick(value)))
    for value in y.ticks(ticks[1]):
        found.append(line(x.start, y.at(value), x.end, y.at(value), "grid"))
        found.append(text(x.start - 7, y.at(value) + 4, tick(value), "end"))
    found.append(line(x.start, y.start, x.end, y.start, "axis"))
    found.append(line(x.start, y.start, x.start, y.end, "axis"))
    middle = (x.start + x.end) / 2
    found.append(text(middle, y.start + 38, across, kind="name"))
    found.append(text(x.start - 40, y.end - 12, up, "start", "name"))
    return "".join(found)


def figure(width: int, height: int, label: str, inside: Iterable[str], kind: str = "") -> str:
    """The <svg> element: inside HTML it needs no name space, and so no address of anyone. Its
    parts are no buttons where `kind` is empty: then it is one image.
    """
    role = "group" if "live" in kind else "img"
    named = f' class="{kind}"' if kind else ""
    return (
        f'<svg viewBox="0 0 {width} {height}" role="{role}" aria-label="{escape(label)}"{named}>'
        + "".join(inside)
        + "</svg>"
    )
