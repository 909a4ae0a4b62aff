"""How many models are trained fused, where the sweep file says `lanes: auto`.

A pure rule read from a committed table that the benchmarks write: the answer is part of a
point's digest, so no stopwatch may decide it while a sweep runs.
"""

import csv
from functools import cache
from importlib import resources


@cache
def _table() -> tuple[tuple[str, str, int, int], ...]:
    text = resources.files("raymia.study").joinpath("lanes.csv").read_text()
    rows = csv.DictReader(text.splitlines())
    return tuple(
        (r["device"], r["network"], int(r["models_at_least"]), int(r["lanes"])) for r in rows
    )


def auto(device: str, network: str, models: int) -> int:
    """The lanes for `models` models of a network on `cpu` or `cuda`: the row with the most
    models that fits, else 1.
    """
    fits = [
        (least, lanes)
        for d, n, least, lanes in _table()
        if (d, n) == (device, network) and least <= models
    ]
    return max(fits, default=(0, 1))[1]
