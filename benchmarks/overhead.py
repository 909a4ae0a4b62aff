"""What everything costs that is neither training nor attacks: the commands on a results folder of
1,000 trials, and what Ray adds to a trial.

    python benchmarks/overhead.py [--rows 1000] [--rounds 3] [--folder DIR] [--trials 20]
        [--only NAME ...] [--json FILE]

Every command is a process of its own. `cpu` is its user and system time, all threads, which other
work on the machine disturbs little; `wall` is what one waits. Both are medians over rounds that go
through all commands in turn. The folder holds so many copies of one real row of the quickstart
(points, knobs and numbers of their own), written by the driver's own writer; with `--folder` it is
kept and used again.

`ray` runs a sweep of tiny trials twice, of 4 and of 4 + `--trials`. The difference in CPU time of
all processes, less what the same trials take in this process without Ray, is what Ray and the
driver add to a trial; the smaller run, less its trials, is what a run costs before and after them.
Needs Linux (/proc).
"""

import argparse
import ctypes
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from raymia.cluster.queue import Agenda
from raymia.point.point import Point
from raymia.point.space import Domain, Range, Scalar
from raymia.records import data as datasets
from raymia.results.folder import Folder
from raymia.study import sweep as sweeps
from raymia.trial import run as trial

HERE = Path(__file__).parents[1]
PYTHON = [sys.executable, "-P", "-c"]
RAYMIA = [*PYTHON, "from raymia.cli import main; main()"]
# name -> command (DIR is the folder), and the seconds that it may take
COMMANDS: Mapping[str, tuple[list[str], float | None]] = {
    "python": ([*PYTHON, ""], None),
    "import": ([*PYTHON, "import raymia"], 0.1),
    "version": ([*RAYMIA, "--version"], None),
    "points": ([*RAYMIA, "points", "DIR/sweep.yaml"], 1.0),
    "pareto": ([*RAYMIA, "pareto", "DIR"], 0.5),
    "gate": ([*RAYMIA, "gate", "DIR", "--max-auc", "0.6"], None),
    "report": ([*RAYMIA, "report", "DIR"], None),
    "run": ([*RAYMIA, "run", "DIR/sweep.yaml", "--out", "DIR"], 5.0),
}
RAY, BAR = "ray", 0.4  # seconds of CPU that a trial may cost beyond its training and attacks
FIRST = 4  # trials of the smaller sweep: both workers are up
TINY = """
name: tiny
dataset: {digits: {records: 120}}
network: mlp
protocol: {coin: {models: 4, targets: 2, reserve: 0.2}}
defenses: [[], [relaxloss: {alpha: {low: 0.0, high: 2.0}}]]
attacks: [baseline, loss]
training: {epochs: 4, batch_size: 8}
search: {sampler: random, lag: 4}
"""


def fill(place: Path, rows: int) -> None:
    """A results folder of the quickstart whose `rows` trials are done."""
    asked = sweeps.load(HERE / "sweeps" / "quickstart.yaml", [f"search.trials={rows}"])
    data, rng, folder = datasets.load(asked.dataset, 0), np.random.default_rng(0), Folder(place)
    real = trial.run(asked.point(0, {}, 0, data), data)
    with folder.lock():
        agenda = Agenda(asked, folder, data)
        agenda.begin()
        for i in range(rows):
            arm = i % len(asked.arms)
            knobs = {name: _drawn(d, rng) for name, d in asked.space(arm).items()}
            point = asked.point(arm, knobs, i, data)
            own = replace(
                real,
                trial=i,
                digest=point.digest(),
                point=point.to_json(),
                defense=point.defense,
                knobs=dict(point.knobs),
                numbers={name: _moved(value, rng) for name, value in real.numbers.items()},
            )
            agenda.finish(own)
        folder.derive()  # the points are made up: none is of the agenda


def _drawn(domain: Domain, rng: np.random.Generator) -> Scalar:
    if not isinstance(domain, Range):
        return domain.options[int(rng.integers(len(domain.options)))]
    found = domain.low + (domain.high - domain.low) * float(rng.random())
    return domain.clip(round(found) if isinstance(domain.low, int) else found)


def _moved(value: Any, rng: np.random.Generator) -> Any:
    """A rate as another trial would have it, with as many digits."""
    if not isinstance(value, float) or not 0 < value < 1:
        return value
    return float(np.clip(value + rng.normal(0, 0.02), 1e-6, 1 - 1e-6))


def spent(command: Sequence[str]) -> tuple[float, float]:
    """(cpu, wall) seconds of a process."""
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in (0, 1):  # 1: no confirmed point
            said.seek(0)
            raise SystemExit(f"{' '.join(command[3:])}: {process.returncode}: {said.read()}")
    return used.ru_utime + used.ru_stime, time.perf_counter() - start


def commands(place: Path, names: Sequence[str], rounds: int) -> list[dict[str, Any]]:
    asked = {
        name: [word.replace("DIR", str(place)) for word in command]
        for name, (command, _) in COMMANDS.items()
        if name in names
    }
    for command in asked.values():  # the bytecode and the CSVs are there from now on
        spent(command)
    taken = [{name: spent(command) for name, command in asked.items()} for _ in range(rounds)]
    found = []
    for name in asked:
        cpu, wall = (statistics.median(one[name][i] for one in taken) for i in (0, 1))
        found.append({"what": name, "cpu": cpu, "wall": wall, "bar": COMMANDS[name][1]})
    return found


class Tree:
    """The CPU time of all processes below this one, those that have ended included, by what they
    are. Orphans become children of this process (a subreaper), so that none is lost.
    """

    def __init__(self) -> None:
        ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER
        self._seen: dict[tuple[int, str], tuple[str, float]] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> "Tree":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            self._look()

    def _look(self) -> None:
        found: dict[int, tuple[int, str, float, str]] = {}
        for one in Path("/proc").glob("[0-9]*"):
            with suppress(OSError, IndexError):
                fields = (one / "stat").read_text().rpartition(")")[2].split()
                words = (one / "cmdline").read_text().replace("\0", " ")
                seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
                found[int(one.name)] = (int(fields[1]), fields[19], seconds, words)
        for pid, (parent, since, seconds, words) in found.items():
            while parent in found and parent != os.getpid():
                parent = found[parent][0]
            if parent == os.getpid() and words:
                self._seen[pid, since] = (_kind(words), seconds)

    @property
    def seconds(self) -> dict[str, float]:
        total: dict[str, float] = defaultdict(float)
        for kind, seconds in self._seen.values():
            total[kind] += seconds
        return total


def _kind(words: str) -> str:
    if "raymia.cli" in words:
        return "driver"
    if "raylet/raylet" in words or "gcs_server" in words:
        return "ray's own"
    return "workers" if "ray::" in words or "default_worker.py" in words else "ray's own"


def ray(trials: int) -> list[dict[str, Any]]:
    """What a run costs beyond its trials, and a trial beyond its training and attacks."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "tiny.yaml")
        file.write_text(TINY)
        for n in (FIRST, FIRST + trials):
            command = [*RAYMIA, "run", str(file), "--out", f"{folder}/{n}", "--trials", str(n)]
            with Tree() as tree:
                _, wall = spent(command)
            alone = _alone(Folder(Path(folder, str(n))))
            found.append((tree.seconds, alone, wall))
    (few, mine, short), (many, all_, long) = found
    own, whole = (all_ - mine) / trials, sum(few.values())
    by = {kind: (many[kind] - few[kind]) / trials for kind in many}
    each = sum(by.values()) - own
    run = whole - mine - FIRST * each
    return [
        {"what": "ray: a run", "cpu": run, "wall": short, "bar": None, "by": dict(few)},
        {
            "what": "ray: a trial more",
            "cpu": each,
            "wall": (long - short) / trials,
            "bar": BAR,
            "training_and_attacks": own,
            "by": by,
        },
    ]


def _alone(folder: Folder) -> float:
    """CPU seconds of training and attacks of the trials of a folder, in this process."""
    points = [Point.from_json(row.point) for row in folder.rows()]
    data = datasets.load(points[0].dataset, points[0].seed)
    trial.run(points[0], data)  # imports
    start = time.process_time()
    for point in points:
        trial.run(point, data)
    return time.process_time() - start


def told(found: Sequence[Mapping[str, Any]]) -> str:
    lines = ["| what | CPU s | wall s | bar s |", "|---|---|---|---|"]
    for one in found:
        bar = "" if one["bar"] is None else f"{one['bar']:g}"
        lines.append(f"| {one['what']} | {one['cpu']:.2f} | {one['wall']:.2f} | {bar} |")
        if "by" in one:
            by = ", ".join(f"{kind} {seconds:.2f}" for kind, seconds in sorted(one["by"].items()))
            lines.append(f"| (all, of it: {by}) |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="of the rows; made where it is not there")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--only", nargs="+", choices=(*COMMANDS, RAY))
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    names, found = asked.only or [*COMMANDS, RAY], []
    with tempfile.TemporaryDirectory() as made:
        place = asked.folder or Path(made, "filled")
        if names != [RAY]:
            if not (place / "sweep.yaml").is_file():
                fill(place, asked.rows)
            found += commands(place, names, asked.rounds)
        if RAY in names:
            found += ray(asked.trials)
    print(told(found))
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
