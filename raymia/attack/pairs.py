"""What attacks that learn are fitted on: pairs of a record and a shadow."""

from typing import Annotated

import numpy as np

from raymia.attack.attack import Array, Rng
from raymia.point.space import Range
from raymia.signals.view import View

# most (record, shadow) pairs to fit on; 0: all
Pairs = Annotated[int, Range(1_000, 100_000, log=True, least=0)]


def draw_pairs(view: View, most: int, rng: Rng) -> tuple[Array, Array]:
    """(shadow, record) of every pair that may be fitted, at most `most` of them (0: all),
    members and non-members alike.
    """
    record, shadow = np.nonzero(view.fit.T)
    if most and len(shadow) > most:
        chosen = np.sort(rng.choice(len(shadow), most, replace=False))
        shadow, record = shadow[chosen], record[chosen]
    return shadow, record


def draw_matched(view: View, most: int, rng: Rng) -> tuple[Array, Array]:
    """The same, where some must be left out: a member and a non-member of a record together, as
    far as there are both.
    """
    shadow, record = draw_pairs(view, 0, rng)
    if most and len(shadow) > most:
        drawn = rng.permutation(len(shadow))
        of = record[drawn]
        couple = of * len(view.member) + _nth(2 * of + view.member[shadow[drawn], of])
        place = np.unique(couple, return_inverse=True)[1]
        rank = rng.permutation(place.max() + 1)[place]
        chosen = np.sort(drawn[np.argsort(rank, kind="stable")[:most]])
        shadow, record = shadow[chosen], record[chosen]
    return shadow, record


def _nth(values: Array) -> Array:
    """Of each value [P], how many equal ones stand before it."""
    order = np.argsort(values, kind="stable")
    of = values[order]
    out = np.empty(len(of), np.int64)
    out[order] = np.arange(len(of)) - np.searchsorted(of, of)
    return out
