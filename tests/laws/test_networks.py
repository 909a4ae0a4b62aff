"""Every network keeps the laws."""

from collections.abc import Callable
from typing import Any

import pytest

from raymia.laws import networks
from raymia.point import catalog

SMALL: dict[str, dict[str, Any]] = {
    "mlp": {"width": 8},
    "cnn": {"width": 4},
    "resnet18": {"width": 4},
    "resnet20": {"width": 4},
    "resnet110": {"width": 4},
    "vgg11": {"width": 4},
    "vgg16": {"width": 4},
    "alexnet": {"width": 4},
    "densenet_bc": {"depth": 10, "growth": 4},
    "kaya_vgg": {"layers": 4},
    "mobilenetv3_large": {"width": 0.25},
    "han": {"width": 4},
    "forest": {"trees": 20},
    "boosted_trees": {"iterations": 20, "leaf": 2},
}


EACH = [(law, name) for name in catalog.names("networks") for law in networks.laws(name)]


@pytest.mark.parametrize(("law", "name"), EACH, ids=lambda one: getattr(one, "__name__", one))
def test_law(law: Callable[..., None], name: str) -> None:
    law(name, SMALL.get(name, {}))
