"""How many trials two workers on two cores finish, for each that one worker on one core does.

    python benchmarks/packing.py [--case digits] [--case cnn] [--trials 24] [--rounds 3]

A sweep of undefended trials with seeds of their own, through Ray; each run is a process that may
use so many cores. The rate is that of the trials after the first four, when all workers are up.
Wall time, alternating: on a machine that does nothing else. Needs Linux.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from raymia.cluster import driver
from raymia.cluster.progress import Progress
from raymia.results.row import Row
from raymia.study import sweep as sweeps

UP = 4  # trials after which all workers are there
CASES = {"digits": ("mlp", 60), "cnn": ("cnn", 3)}
SWEEP = """
name: packing
dataset: digits
network: %s
protocol: {coin: {models: 8, targets: 2}}
defenses: [[label_smoothing: {epsilon: {low: 0.01, high: 0.2}}]]
attacks: [loss, lira]
training: {epochs: %d}
search: {trials: %d, sampler: random, lag: 4}
resources: {cpu: 1}
"""


class Times(Progress):
    """Says nothing but when trials ended."""

    def __init__(self) -> None:
        super().__init__()
        self.ended: list[float] = []

    def say(self, text: str) -> None: ...

    def finished(self, row: Row) -> None:
        assert row.state == "done", row.reason
        self.ended.append(time.monotonic())


def run(case: str, trials: int, cores: int) -> None:
    """In a process of its own: prints trials a second."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    os.environ["RAY_worker_niceness"] = "0"
    times = Times()
    with tempfile.TemporaryDirectory() as folder:
        asked = sweeps.parse(SWEEP % (*CASES[case], trials))
        driver.run(asked, Path(folder) / "out", fly=False, progress=times)
    print(json.dumps((trials - UP) / (times.ended[-1] - times.ended[UP - 1])))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", choices=CASES, action="append")
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cores", type=int, help=argparse.SUPPRESS)  # of the process that runs
    asked = parser.parse_args()
    if asked.cores:
        return run(asked.case[0], asked.trials, asked.cores)
    for case in asked.case or CASES:
        found: dict[int, list[float]] = {1: [], 2: []}
        for _ in range(asked.rounds):
            for cores, rates in found.items():
                how = ["--case", case, "--trials", str(asked.trials), "--cores", str(cores)]
                command = [sys.executable, __file__, *how]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                rates.append(float(done.stdout.splitlines()[-1]))
        each = [two / one for one, two in zip(found[1], found[2], strict=True)]
        rates = {cores: f"{statistics.median(rate):.2f}" for cores, rate in found.items()}
        print(
            f"{case}: trials a second {rates[1]} on one core, {rates[2]} on two: "
            f"{statistics.median(each):.2f} times [{min(each):.2f}, {max(each):.2f}]",
            flush=True,
        )


if __name__ == "__main__":
    main()
