"""What takes minutes: `make nightly`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.nightly


@pytest.mark.parametrize("script", ["simulate.py", "autoscale.py", "hosts.py"])
def test_script(script: str) -> None:
    if script == "hosts.py" and os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    done = subprocess.run([sys.executable, str(Path(__file__).with_name(script))], capture_output=True, text=True, timeout=3600)
    assert done.returncode == 0, done.stdout + done.stderr
