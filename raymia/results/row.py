"""One finished trial, and the file that it is kept in."""

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from raymia.errors import EnvironmentFault
from raymia.point import objectives
from raymia.point.point import Point
from raymia.results.sealed import opened, sealed
from raymia.verdict import learning
from raymia.verdict.front import Values, front

_DIGEST = re.compile(r"[0-9a-f]{8,64}")

STATES = ("done", "failed", "invalid", "stopped")


@dataclass(frozen=True)
class Row:
    """Everything that is kept of one finished trial.

    `point` is enough to run it again; `knobs` maps `part.knob` to a scalar; `numbers` holds
    every numeric column of `trials.csv`, None where unknown; `attacks` the lines of
    `attacks.csv`; `timing` seconds, which go into `timing.csv` alone. Units: fractions in [0,
    1]. Raises ValueError on a state, digest or number that cannot stand in a row.
    """

    trial: int
    digest: str
    signals: str
    state: str
    reason: str
    point: Mapping[str, Any]
    dataset: str
    network: str
    defense: str
    knobs: dict[str, Any]
    seed: int
    models: int
    targets: int
    members: int | None = None
    nonmembers: int | None = None
    numbers: dict[str, float | None] = field(default_factory=dict)
    worst_attack: str = ""
    attacks: Sequence[dict[str, Any]] = field(default_factory=list)
    timing: dict[str, float] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    account: str = ""  # the digest of what was read of the data, in account.json
    objective: str = objectives.AUC.column  # what its sweep weighs the accuracy against

    def __post_init__(self) -> None:
        if not _DIGEST.fullmatch(self.digest):
            raise ValueError(f"a digest is 8 to 64 hexadecimal digits, got {self.digest!r}")
        if self.state not in STATES:
            raise ValueError(
                f"row {self.digest[:12]}: state {self.state!r} is none of {', '.join(STATES)}"
            )
        cells = [self.numbers, self.knobs, self.timing, *self.attacks]
        for cell in cells:  # of a thousand rows a million numbers
            for name, value in cell.items():
                if isinstance(value, float) and not math.isfinite(value):
                    raise ValueError(
                        f"row {self.digest[:12]}: {name} is {value}; finite numbers are allowed, "
                        "or None"
                    )

    @cached_property
    def as_point(self) -> Point:
        """The point that `point` spells."""
        return Point.from_json(self.point)

    @cached_property
    def digest_now(self) -> str:
        """The digest that its point has here: another one where parts have new revisions."""
        return self.as_point.digest()

    @property
    def values(self) -> Values:
        """Its value of each objective; none where it is not done."""
        first, second = (
            self.numbers.get(name) if self.state == "done" else None for name in self.measures[:2]
        )
        return first, second

    @property
    def measures(self) -> tuple[str, ...]:
        """The columns that it is judged by, the two objectives first; the AUC is always shown."""
        names = (objectives.ACCURACY.column, self.objective, objectives.AUC.column)
        return tuple(dict.fromkeys(names))

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Row":
        """Raises TypeError or ValueError where `data` is not a row."""
        return cls(**data)


def best(rows: Sequence[Row]) -> list[Row]:
    """The rows on the front, most accurate first; none that a constant answer beats."""
    rows = sorted(rows, key=lambda row: row.trial)
    nothing: Values = (None, None)
    return [
        rows[i]
        for i in front([nothing if learning.useless(row.numbers) else row.values for row in rows])
    ]


def encode(row: Row) -> bytes:
    """The file of a row."""
    return sealed(row.to_json())


def decode(data: bytes, where: str) -> Row:
    """The row in a file. Raises EnvironmentFault naming the file where its bytes are not what
    was written.
    """
    cure = "restore it, or delete it to have it made again"
    body = opened(data, where, cure)
    try:
        return Row.from_json(body)
    except (ValueError, TypeError) as error:
        raise EnvironmentFault(f"{where} is of another version ({error}); {cure}") from None
