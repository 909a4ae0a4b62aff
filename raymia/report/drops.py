"""What each defense costs in accuracy, relative to none, and what its best setting leaks."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from raymia.errors import SweepError
from raymia.report import query
from raymia.verdict.learning import Cells

BELOW, RAD = "rad_below", "rad"


def limit(given: float) -> float:
    """Raises SweepError for what is no share of an accuracy."""
    if not 0 < given <= 1:
        raise SweepError(f"--rad: got {given:g}; a fraction is allowed, more than 0, at most 1")
    return given


def drops(
    trials: Sequence[Cells], among: Sequence[int], metric: str, limits: Sequence[float]
) -> list[tuple[int, dict[str, Any]]]:
    """Of each defense, in the order of their first trials: its most accurate trial `among` these
    places, then for each limit, the lowest first, the one with the lowest metric of those whose
    relative accuracy drop is below it. A defense without one has no line there.

    RAD = (accuracy of none - accuracy) / accuracy of none; that of none is the mean over the
    undefended of all `trials` that are done. Places, each with its `rad_below` (None: the most
    accurate) and `rad`. Raises SweepError where no undefended trial has an accuracy above 0.

    Source: Kaya, Hong & Dumitras, arXiv:2006.05336, section 3 and tables 3 to 5 (Max, < 5%,
    < 15%).
    """
    bare = [t[query.ACCURACY] for t in trials if (t["defense"], t["state"]) == ("none", "done")]
    known = [accuracy for accuracy in bare if accuracy is not None]
    base = float(np.mean(known)) if known else 0.0
    if not base > 0:
        raise SweepError(
            "--rad: no undefended trial (the arm [] of a sweep) is done, with an accuracy above 0; "
            "one is needed to compare with"
        )
    numbers = query.eligible(trials, metric)
    # of equal ones the first trial
    able = sorted(
        (i for i in among if not any(map(math.isnan, numbers[i]))),
        key=lambda i: trials[i]["trial"],
    )
    rad = {i: (base - numbers[i][0]) / base for i in able}
    best = sorted(able, key=lambda i: (-numbers[i][0], numbers[i][1]))
    least = sorted(able, key=lambda i: (numbers[i][1], -numbers[i][0]))
    chosen = []
    for below, order in ((None, best), *((one, least) for one in sorted(set(limits)))):
        for name in dict.fromkeys(trials[i]["defense"] for i in able):
            own = [i for i in order if trials[i]["defense"] == name]
            own = [i for i in own if below is None or rad[i] < below]
            chosen += [(i, {BELOW: below, RAD: rad[i]}) for i in own[:1]]
    return chosen
