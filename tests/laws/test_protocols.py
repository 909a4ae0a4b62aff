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
COUNTS = {"members": 120, "judged": 80, "pool": 150, "reference": 110}
NAMES = catalog.names("protocols")


@pytest.mark.parametrize("law", protocols.LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("name", NAMES)
def test_law(law: Callable[..., None], name: str) -> None:
    law(name, SMALL.get(name, {}))


@pytest.mark.parametrize("law", protocols.LAWS, ids=lambda law: law.__name__)
def test_law_of_sizes_in_counts(law: Callable[..., None]) -> None:
    law("overlap", SMALL["overlap"] | COUNTS)
