"""Every protocol keeps the laws."""

from collections.abc import Callable
from typing import Any

import pytest

from raymia.laws import protocols
from raymia.point import catalog

SMALL: dict[str, dict[str, Any]] = {
    "overlap": {"targets": 2, "shadows": 4},
    "official": {"train": 400, "reserve": 0.2},
}
NAMES = catalog.names("protocols")


@pytest.mark.parametrize("law", protocols.LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("name", NAMES)
def test_law(law: Callable[..., None], name: str) -> None:
    law(name, SMALL.get(name, {}))
