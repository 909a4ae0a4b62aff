"""raymia from Python, without Ray: what there is to load and to read."""

import subprocess
import sys
from pathlib import Path

import pytest

import raymia
from raymia.errors import SweepError

FILE = Path(__file__).parents[1] / "sweeps" / "quickstart.yaml"


def test_a_mapping_is_a_file() -> None:
    body = raymia.load(FILE).resolved()
    assert raymia.load(body) == raymia.load(FILE)
    assert raymia.load(str(FILE), "search.trials=3").search.trials == 3


def test_what_is_wrong_says_where() -> None:
    with pytest.raises(SweepError, match="training.epochs"):
        raymia.load({**raymia.load(FILE).resolved(), "training": {"epochs": "many"}})
    with pytest.raises(SweepError, match="no sweep.yaml"):
        raymia.open("no/such/folder")


def test_importing_it_imports_nothing_else() -> None:
    said = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, raymia; print(*(m for m in sys.modules if m.startswith('raymia')))",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.split() == ["raymia"]
    assert set(raymia.__all__) < set(dir(raymia))
    with pytest.raises(AttributeError, match="no attribute 'audti'"):
        raymia.audti  # type: ignore[attr-defined]  # noqa: B018
