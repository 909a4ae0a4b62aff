"""2,000 trials that compute nothing, through the real driver: Tune, searcher, agenda, rows and
CSVs. Does the driver stay flat?

python tests/nightly/simulate.py [TRIALS] [SAMPLER]  prints, for each 10th of the run, seconds a
trial and the driver's memory, open files and processes below it, and exits 1 where the last 10th
takes more than 1.5 times the driver's CPU of the fourth one (by then the sampler is told of as
many rows as it ever will be), or since the second the driver has grown by more than 50 MB, by more
than 8 open files or by a process. Rows are as long as real ones.
"""

import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from cluster.clusters import _children  # noqa: E402

from raymia.cluster import driver, execution, worker  # noqa: E402
from raymia.cluster.progress import Progress
from raymia.point.point import Point
from raymia.results.row import Row
from raymia.study import sweep as files
from raymia.trial import run as trial

SWEEP = """
name: simulated
dataset: {digits: {records: 120}}
network: mlp
protocol: {coin: {models: 4, targets: 2, reserve: 0.2}}
defenses:
  - []
  - [relaxloss: {alpha: {low: 0.0, high: 2.0}}]
  - [srcm: {r1: {low: 3, high: 25}, d: 1}]
  - [label_smoothing]
attacks: [baseline, loss]
training: {epochs: 2}
search: {trials: %d, sampler: %s, seed: 0, lag: 32}
resources: {cpu: 1}
"""


class Nothing(worker.Trial):
    """A trial whose numbers are a hash of its point."""

    def setup(self, config: Mapping[str, Any], **_: Any) -> None:
        self.reset_config(config)

    def cleanup(self) -> None: ...

    def step(self) -> dict[str, Any]:
        point: Point = self._point
        digest = hashlib.sha256(point.digest().encode()).digest()
        numbers: dict[str, float | None] = {
            "test_accuracy": digest[0] / 255,
            "max_attack_auc": 0.5 + digest[1] / 510,
        }
        names = (
            "auc",
            "auc_lo",
            "auc_hi",
            "balanced_accuracy",
            "advantage",
            "tpr_at_fpr_0.01",
            "ppv_at_0.01",
            "ppv_at_0.5",
        )
        attacks = [
            {"target": t, "attack": f"attack{a}", **dict.fromkeys(names, 0.5 + a / 64)}
            for t in range(4)
            for a in range(8)
        ]
        empty = trial.failed(point, ValueError(""))
        row = replace(
            empty, state="done", reason="", numbers=numbers, attacks=attacks, worst_attack="loss"
        )
        return {"row": json.dumps(replace(row, trial=self._index).to_json()), "done": True}


class Clock(Progress):
    """Says nothing but how long each 10th took."""

    def __init__(self, trials: int) -> None:
        super().__init__()
        # trials so far; a trial's seconds, and the driver's own; MB; open files; processes below
        self.laps: list[tuple[int, float, float, float, int, int]] = []
        self._step, self._count, self._lap = (
            max(1, trials // 10),
            0,
            (time.monotonic(), time.process_time()),
        )

    def say(self, text: str) -> None: ...

    def running(self, trial: int, point: Point) -> None: ...

    def tick(self, force: bool = False) -> None: ...

    def finished(self, row: Row) -> None:
        self._count += 1
        if self._count % self._step == 0:
            now = (time.monotonic(), time.process_time())
            wall, own = ((new - old) / self._step for new, old in zip(now, self._lap, strict=True))
            size = (
                int(Path("/proc/self/statm").read_text().split()[1])
                * os.sysconf("SC_PAGE_SIZE")
                / 2**20
            )
            held, below = len(os.listdir("/proc/self/fd")), len(_children(os.getpid()))
            self.laps.append((self._count, wall, own, size, held, below))
            self._lap = now


def main(trials: int, sampler: str) -> int:
    execution.Trial = Nothing  # type: ignore[misc,assignment]
    clock = Clock(trials)
    with tempfile.TemporaryDirectory() as folder:
        begin = time.monotonic()
        code = driver.run(
            files.parse(SWEEP % (trials, sampler)), Path(folder) / "out", progress=clock
        )
        rows = len(list((Path(folder) / "out" / "trials").iterdir()))
        for count, wall, own, size, held, below in clock.laps:  # until here Ray has the output
            print(
                f"{count:6d} trials  {wall:.3f} s a trial, {own:.3f} s of the driver's CPU  "
                f"driver {size:.0f} MB, {held} files, {below} processes"
            )
        print(f"{rows} rows, exit code {code}, {time.monotonic() - begin:.0f} s in all")
    early, late = clock.laps[3][2], clock.laps[-1][2]
    memory = clock.laps[-1][3] - clock.laps[1][3]
    # Ray starts and ends a process now and then: what grows is more in each of the last laps
    held, below = (min(lap[i] for lap in clock.laps[-3:]) - clock.laps[1][i] for i in (4, 5))
    grown = memory > 50 or held > 8 or below > 0
    return int(code != 0 or rows != trials or late > 1.5 * early or grown)


if __name__ == "__main__":
    sys.exit(
        main(
            int(sys.argv[1]) if len(sys.argv) > 1 else 2000,
            sys.argv[2] if len(sys.argv) > 2 else "tpe",
        )
    )
