"""The front: the points that no other beats on both objectives."""

import math
from collections.abc import Sequence

from raymia.point.objectives import OBJECTIVES

# what a point has of the two objectives; None where unknown
Values = tuple[float | None, float | None]


def front(points: Sequence[Values]) -> list[int]:
    """The places of the points that no other beats on both, best on the first objective first;
    of equal ones the first.

    Only points with both values, finite, can stand on it.
    """
    one, other = OBJECTIVES
    known = [(i, a, b) for i, (a, b) in enumerate(points) if a is not None and b is not None]
    gains = [
        (one.gain(a), other.gain(b), i)
        for i, a, b in known
        if math.isfinite(a) and math.isfinite(b)
    ]
    best, most = [], -math.inf
    for _, second, i in sorted(gains, key=lambda gain: (-gain[0], -gain[1], gain[2])):
        if second > most:
            best.append(i)
            most = second
    return best


def hypervolume(points: Sequence[Values], reference: tuple[float, float] = (0.0, 1.0)) -> float:
    """The area that the front dominates, seen from `reference` (accuracy, AUC): 1 for a perfect
    point, 0 for none.
    """
    area, covered = 0.0, 0.0
    for i in front(points):
        gains = [
            o.gain(v) - o.gain(r)
            for o, v, r in zip(OBJECTIVES, points[i], reference, strict=True)
            if v is not None
        ]
        if gains[0] > 0 and gains[1] > covered:  # each next point adds the strip beyond the last
            area += gains[0] * (gains[1] - covered)
            covered = gains[1]
    return area
