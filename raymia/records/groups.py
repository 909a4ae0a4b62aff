"""Groups of people by a column of the user's. No model and no attack sees them: they say whom a
number is of.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from raymia.errors import SweepError

MOST = 20  # groups: more lines than that nobody reads, and chance finds one that stands out
FEWEST = 10  # records of a group: of fewer no number is shown, they could be told one by one
OTHER = "(other)"


@dataclass(frozen=True, eq=False)
class Groups:
    """`column`: what they are by. `names` [K]: their values as texts. `code` [N], int64 in
    0..K-1: the group of each record.
    """

    column: str
    names: tuple[str, ...]
    code: npt.NDArray[np.int64]

    def only(self, chosen: npt.NDArray[np.int64]) -> "Groups":
        """Those of some of the records."""
        return replace(self, code=self.code[chosen])

    def counts(self) -> dict[str, int]:
        """name -> records."""
        found = np.bincount(self.code, minlength=len(self.names)).tolist()
        return dict(zip(self.names, found, strict=True))


def by(column: str, values: Sequence[str], numbers: bool, dataset: str) -> Groups:
    """The groups of records by a value [N] each, numbers in their order, texts in theirs. Of more
    than 20 texts the 19 with the most records are groups, and the others one more, `(other)`.

    Raises SweepError, one line, where they are more than 20 numbers, or texts of which hardly any
    has 10 records.
    """
    named, code, records = np.unique(np.array(values, str), return_inverse=True, return_counts=True)
    names = named.tolist()
    if len(names) > MOST:
        said = f"dataset {dataset}: groups: {column!r} has {len(names)}"
        if numbers:
            raise SweepError(
                f"{said} numbers; at most {MOST} are groups: name a column of bins (30-39, ...)"
            )
        if int((records >= FEWEST).sum()) < 2:
            raise SweepError(
                f"{said} texts, and fewer than 2 of them have {FEWEST} records: names or "
                "identifiers? Name a column of categories"
            )
        kept = np.argsort(-records, kind="stable")[: MOST - 1]
        return _ordered(column, [n if i in kept else OTHER for i, n in enumerate(names)], code)
    return _ordered(column, names, code)


def _ordered(column: str, names: Sequence[str], code: npt.NDArray[Any]) -> Groups:
    """`names` of each code; equal ones become one group."""
    order = sorted(set(names), key=_place)
    place = {name: i for i, name in enumerate(order)}
    return Groups(column, tuple(order), np.array([place[n] for n in names], np.int64)[code])


def _place(name: str) -> tuple[bool, float, str]:
    try:
        value = float(name)
    except ValueError:
        value = math.inf
    return name == OTHER, value if math.isfinite(value) else math.inf, name
