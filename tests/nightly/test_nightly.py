"""What takes minutes: `make nightly`."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from cluster.clusters import RAY, RAYMIA, cluster  # noqa: E402
from cluster.conftest import ROOT, TABLES  # noqa: E402

pytestmark = pytest.mark.nightly


@pytest.mark.parametrize("script", ["simulate.py", "autoscale.py", "hosts.py"])
def test_script(script: str) -> None:
    if script == "hosts.py" and os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name(script))],
        capture_output=True,
        text=True,
        timeout=3600,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_quickstart_as_a_job(tmp_path: Path) -> None:
    with cluster() as one:
        one.head(2)
        work = one.folder / "work"
        work.mkdir()
        shutil.copy(ROOT / "sweeps" / "quickstart.yaml", work)
        run = [*RAYMIA, "run", "quickstart.yaml", "--out"]
        submit = [*RAY, "job", "submit", "--working-dir", str(work), "--"]
        code, said = one.run(
            [*submit, *run, str(tmp_path / "job")], work, 3600.0, RAY_API_SERVER_ADDRESS=one.door
        )
        assert code == 0, said
        code, said = one.run([*run, str(tmp_path / "here")], work, 3600.0)
        assert code == 0, said
    for name in TABLES:
        assert (tmp_path / "job" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()
