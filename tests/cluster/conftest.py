"""A sweep of seconds, and a driver in a process of its own: what is tested here is what happens
to processes.
"""

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TABLES = ("trials.csv", "attacks.csv", "pareto.csv")
TINY = """
name: tiny
dataset: {digits: {records: 120}}
network: mlp
protocol: {coin: {models: 4, targets: 2, reserve: 0.2}}
defenses:
  - []
  - [relaxloss: {alpha: {low: 0.0, high: 2.0}}]
  - [label_smoothing]
attacks: [baseline, loss]
training: {epochs: 4, batch_size: 8}
search: {trials: 9, seed: 0, lag: 4}
"""


class Driver:
    """`raymia run` on the tiny sweep, with a home and a temporary folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sweep = folder / "tiny.yaml"
        self.sweep.write_text(TINY)
        self._env = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "TUNE_"))}
        self._env |= {"HOME": str(folder / "home"), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        # not behind everything else on the machine, as Ray has its workers
        self._env |= {"MPLCONFIGDIR": str(folder / "matplotlib"), "RAY_worker_niceness": "0"}
        (folder / "home").mkdir()
        self._started: list[subprocess.Popen[str]] = []

    def start(self, out: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        return self.command(
            "run", str(self.sweep), "--out", str(self.folder / out), *arguments, **environment
        )

    def command(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        code = "import sys; from raymia.cli import main; main(sys.argv[1:])"
        command = [sys.executable, "-P", "-c", code, *arguments]  # -P: as the command is installed
        process = subprocess.Popen(
            command,
            env=self._env | environment,
            cwd=self.folder,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._started.append(process)
        return process

    def run(self, out: str, *arguments: str, **environment: str) -> tuple[int, str]:
        process = self.start(out, *arguments, **environment)
        said, _ = process.communicate(timeout=120)
        return process.returncode, said

    def stop(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()

    def rows(self, out: str) -> list[Path]:
        return sorted((self.folder / out / "trials").glob("*.json"))

    def wait_for_rows(self, process: subprocess.Popen[str], out: str, count: int) -> None:
        until(lambda: len(self.rows(out)) >= count or process.poll() is not None)
        assert process.poll() is None, process.stdout and process.stdout.read()

    def tables(self, out: str) -> dict[str, str]:
        return {
            name: hashlib.sha256((self.folder / out / name).read_bytes()).hexdigest()
            for name in TABLES
        }

    def models(self, out: str) -> dict[Path, tuple[int, int]]:
        """Every trained model: file -> (inode, time of change); training it again would change
        both.
        """
        found = (self.folder / out / "signals").rglob("model-*.safetensors")
        return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in found}


def until(condition: Callable[[], bool], seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    one = Driver(tmp_path_factory.mktemp("drive"))
    yield one
    one.stop()
