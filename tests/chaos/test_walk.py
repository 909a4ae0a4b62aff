"""A run that is broken at any thing that it asks of the disk loses nothing: tests/chaos/walk.py."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("walk.py")


@pytest.mark.parametrize(
    "asked",
    [
        ("--sample", "60", "--kills", "30"),
        pytest.param(("--kills", "1000"), marks=pytest.mark.nightly),
    ],
    ids=["some", "all"],
)
def test_a_broken_disk_or_a_killed_process_costs_no_row(asked: tuple[str, ...]) -> None:
    done = subprocess.run([sys.executable, str(SCRIPT), *asked], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "seconds" in done.stdout
