"""What a knob takes without asking pydantic, pydantic takes, too, and the other way round."""

from typing import Any, Literal

import pytest
from pydantic import ConfigDict, TypeAdapter, ValidationError

from raymia.point.catalog import Knob

ANNOTATIONS: list[Any] = [
    *(float, int, bool, str, int | None, float | None, int | float, str | bool, list[int]),
    *(Literal["a", 1], Literal[True, 0] | None, Literal["."] | None, tuple[float, ...]),
]
VALUES = [
    *(0, 1, 9**30, True, False, 1.0, 1.5, None),
    *("a", ".", "", "1", "\ud800", b"a", (), (1.0,), [1]),
]


@pytest.mark.parametrize("annotation", ANNOTATIONS, ids=str)
@pytest.mark.parametrize("value", VALUES, ids=ascii)
def test_a_knob_takes_what_pydantic_takes(annotation: Any, value: Any) -> None:
    knob = Knob("x", annotation, None, None)
    try:
        strict = ConfigDict(strict=True)
        wanted: Any = TypeAdapter(annotation, config=strict).validate_python(value)
    except ValidationError:
        with pytest.raises(ValueError, match=" is allowed"):
            knob.check(value)
    else:
        assert (knob.check(value), type(knob.check(value))) == (wanted, type(wanted))
