"""Every data set keeps the laws."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from raymia.laws import datasets
from raymia.point import catalog

# the authors' own files alone are read: checked in tests/datasets
FOREIGN = ("cifar10", "cifar100", "svhn", "mnist", "fashion_mnist")
FOREIGN += ("purchase100", "texas100", "location30", "ch_mnist", "arxiv10")


@pytest.mark.parametrize("law", datasets.LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("name", [n for n in catalog.names("datasets") if n not in FOREIGN])
def test_law(law: Callable[..., None], name: str, tmp_path: Path) -> None:
    law(name, datasets.SAMPLES[name](tmp_path) if name in datasets.SAMPLES else {})


def test_cifar10_refuses_damaged_files(tmp_path: Path) -> None:
    batch: Any = tmp_path / "root" / "cifar-10-batches-py" / "data_batch_1"
    batch.parent.mkdir(parents=True)
    batch.write_bytes(b"\x80\x04")
    datasets.damaged_files_are_refused("cifar10", {"root": str(tmp_path / "root")})
