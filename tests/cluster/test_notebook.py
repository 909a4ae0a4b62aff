"""README's lines of Python do what they say, twice in one process as in a notebook."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.cluster
ROOT = Path(__file__).parents[2]


def test_readmes_lines_run_twice_in_one_process(tmp_path: Path) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (tmp_path / "sweeps").mkdir()
    shipped = (ROOT / "sweeps" / "quickstart.yaml").read_text()
    (tmp_path / "sweeps" / "quickstart.yaml").write_text(shipped)
    small = '"training.epochs=2", "search.trials=2", "attacks=[loss, lira]", '
    assert 'raymia.load("sweeps/quickstart.yaml", ' in block
    block = block.replace('quickstart.yaml", ', f'quickstart.yaml", {small}', 1)
    block = re.sub(r', "search.trials=\d+"\)', ")", block)
    told = "assert len(run.trials) == 2 and len(run.front), run.trials\n"
    text = f"{block}\n{told}before = run.trials\n{block}\n{told}assert before.equals(run.trials)\n"
    done = subprocess.run(
        [sys.executable, "-c", text], cwd=tmp_path, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.rglob("report.html"))
