"""The sweep file that trains one point alone."""

import json
import re
from dataclasses import asdict
from functools import lru_cache

from raymia.errors import SweepError
from raymia.point import origins
from raymia.point.point import Point, plain, told
from raymia.point.space import Part
from raymia.results.row import Row
from raymia.study import sweep


def alone(row: Row, name: str) -> str:
    """YAML whose only trial is the point of this row, with its seed; empty where the row does not
    say what it was (of an older version, or of a part that is not installed).
    """
    try:
        point = Point.from_json(row.point)
        # all of it: what is left out is the data set's own, not what the point had
        training = {**plain(asdict(point.training)), "lanes": point.lanes}
        known = {
            "dataset": _spelled("datasets", point.dataset),
            "network": _spelled("networks", point.network),
            "protocol": _spelled("protocols", point.protocol),
        }
        rest = {
            "attacks": [_spelled("attacks", part) for part in point.attacks],
            "attacker": point.attacker,
            "training": training,
            "search": {"trials": 1, "seed": point.seed},
            "resources": {"gpu": 1 if point.device == "cuda" else 0},
            "canaries": dict(point.canaries),
        }
        recipe = [[_spelled("defenses", part) for part in point.recipe]]
        return (
            f"name: {stem(name)}{row.trial}\n"
            + _dumped(json.dumps(known))
            + sweep.dump({"defenses": recipe})
            + _dumped(json.dumps(rest))
        )
    except (KeyError, TypeError, ValueError, SweepError):
        return ""


def stem(name: str) -> str:
    """What the names of all these sweeps begin with: what a name of a sweep may hold."""
    able = re.sub(r"[^A-Za-z0-9._-]", "-", name)[:48].lstrip("._-")
    return f"{able or 'sweep'}-trial-"


@lru_cache(maxsize=64)
def _dumped(body: str) -> str:
    """The YAML of what hundreds of points of a sweep have in common."""
    return sweep.dump(json.loads(body))


def _spelled(kind: str, part: Part) -> object:
    """With every knob; of an attack, of which there are many, those not at their defaults."""
    spelled = origins.spelled(kind, part.name)
    knobs = told(kind, part)[part.name] if kind == "attacks" else plain(part.knobs)
    return {spelled: knobs} if knobs else spelled
