"""How the tests of data sets read, and are refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from raymia.errors import SweepError
from raymia.point.space import Part
from raymia.records.data import Data, load


def read(name: str, **knobs: Any) -> Data:
    return load(Part(name, knobs), seed=0)


def refused(name: str, *words: str, **knobs: Any) -> None:
    """The data set raises SweepError, one line, that holds every word."""
    with pytest.raises(SweepError) as error:
        read(name, **knobs)
    text = str(error.value)
    assert "\n" not in text
    for word in words:
        assert word in text, text


def some(n: int = 10, **changes: Any) -> Data:
    x = np.arange(n * 3, dtype=np.float32).reshape(n, 3)
    body: dict[str, Any] = dict(
        name="some", x=x, y=np.arange(n, dtype=np.int64) % 2, classes=2, image=False
    )
    return Data(**(body | changes))


def paint(path: Path, value: int, size: tuple[int, int] = (4, 4), mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, (value, 0, 255) if mode == "RGB" else value).save(path)
