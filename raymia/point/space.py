"""The domain of one knob, written beside the field that it tunes.

alpha: Annotated[float, Range(0.0, 2.0, least=0.0)] = 1.0
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Scalar = bool | int | float | str | None


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included; searched on a log scale if `log`.

    `low` and `high` say where a search looks when the sweep file does not say; `least` and
    `most` are what the knob allows at all (None: no bound). `left_out`: it is the declared one,
    where a sweep file says nothing; the data may then decide. Raises ValueError where the bounds
    are empty, inverted or, with `log`, not positive.
    """

    low: float
    high: float
    log: bool = False
    least: float | None = None
    most: float | None = None
    left_out: bool = field(default=False, compare=False)

    def __post_init__(self) -> None:
        if not (-float("inf") < self.low < self.high < float("inf")):
            raise ValueError(
                f"a range needs finite low < high, got low {self.low} and high {self.high}"
            )
        if self.log and self.low <= 0:
            raise ValueError(f"a log range needs low > 0, got {self.low}")

    def clip(self, value: float) -> float:
        return min(max(value, self.low), self.high)


@dataclass(frozen=True)
class Choice:
    """One of a few values."""

    options: tuple[Scalar, ...]

    def __post_init__(self) -> None:
        if not self.options:
            raise ValueError("a choice needs at least one option")


Domain = Range | Choice


def frozen(value: Any) -> Any:
    """Lists as tuples, all the way down."""
    return tuple(frozen(v) for v in value) if isinstance(value, list | tuple) else value


class Knobs(Mapping[str, Any]):
    """A mapping that cannot be changed, and can therefore be hashed. Lists in it become tuples.

    Two of them are equal only if their values have the same types too: to a digest 1, 1.0 and
    true are three values.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = {name: frozen(value) for name, value in values.items()}

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Knobs):
            return self._typed() == other._typed()
        return self._values == other

    def __hash__(self) -> int:
        return hash(frozenset(self._values.items()))

    def __repr__(self) -> str:
        return repr(self._values)

    def _typed(self) -> dict[str, tuple[type, Any]]:
        return {name: (type(value), value) for name, value in self._values.items()}


@dataclass(frozen=True)
class Part:
    """A named thing with its arguments: a defense of a recipe, an attack, a data set, a
    network, a protocol.

    `knobs` holds scalars once a point is drawn; in a sweep's arm a value may still be a `Range`
    or a `Choice`.
    """

    name: str
    knobs: Mapping[str, Any]

    def __post_init__(self) -> None:
        object.__setattr__(self, "knobs", Knobs(self.knobs))

    def plain(self) -> dict[str, Any]:
        """`{name: {knob: value}}`, as the sweep file spells it."""
        return {self.name: dict(self.knobs)}
