"""Real kills of real processes, at random moments: what is lost, made twice, different or left.

python tests/nightly/kills.py [--driver 100] [--worker 100] [--attacker 50] [--term 50] [--int 30]
                              [--node 20] [--json FILE]

The tiny sweep of tests/cluster, again and again, each run hit by several of these until it is
through. kill -9: the driver, a trial's worker, an attacker, a node of a cluster of two (all of its
processes). SIGTERM and SIGINT go to the driver. After each: every row that was there is there, in
the same bytes; a model of a written row was not trained again. After the last: the tables have the
sha256 of a run that nothing happened to, the exit codes were those of the contract within 10 s (of
a machine of one's own), and no process, socket, temporary file or shared memory is left. Exits 1
where anything of that is not so.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from cluster.clusters import _mentioning, cluster  # noqa: E402
from cluster.conftest import Driver, until  # noqa: E402

from raymia.cluster import scratch  # noqa: E402
from raymia.results.folder import Folder  # noqa: E402

ROWS = 9  # of the tiny sweep
LONGER = ("--set", "training.epochs=150")  # a second a trial, so that there is something to hit
CODES = {"driver": -signal.SIGKILL, "term": 143, "int": 130}
SIGNALS = {"driver": signal.SIGKILL, "term": signal.SIGTERM, "int": signal.SIGINT}
ROLES = {"worker": "trial", "attacker": "attacker"}


class Campaign:
    """Kills that are still to be made, and what came of those that were."""

    def __init__(self, driver: Driver, wanted: Counter[str]) -> None:
        self.driver, self.left, self.rng = driver, Counter(wanted), random.Random(0)
        self.made: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.seconds: list[float] = []  # from a signal to the end of the driver
        code, said = driver.run("calm", *LONGER)
        assert code == 0, said
        self.calm = driver.tables("calm")

    def bad(self, out: str, said: str) -> None:
        self.wrong.append(f"{out}: {said}")
        print(self.wrong[-1], flush=True)

    def one(self, number: int, **environment: str) -> None:
        """A sweep from its beginning to its end."""
        out, tries = f"run{number}", 0
        while True:
            kinds = self._next(tries)
            before = self._state(out)
            process = self.driver.start(out, *LONGER, **environment)
            hits, codes = [k for i, k in enumerate(kinds) if self._hit(process, out, k, i > 0)], {0}
            if hits and hits[0] in CODES:  # while the last two rows are made, it comes too late
                late = len(self.driver.rows(out)) >= ROWS - 2
                codes = {CODES[hits[0]]} | ({0} if late else set())
            said = self._end(process, out)
            for kind in hits:
                self.made[kind] += 1
                self.left[kind] -= 1
                print(f"{out}: {kind} with {len(before[0])} rows before", flush=True)
            if process.returncode not in codes:
                self.bad(out, f"{hits}: exit code {process.returncode}, not of {codes}: {said}")
            if "Traceback" in said:
                self.bad(out, f"{hits}: {said}")
            self._kept(out, before)
            tries += 1
            if process.returncode == 0 or tries > 30:
                break
        if self.driver.tables(out) != self.calm:
            self.bad(out, "other bytes in the tables")
        self._nothing_left(out)
        shutil.rmtree(self.driver.folder / out)

    def _next(self, tries: int) -> list[str]:
        """What one process of the driver suffers: an end, or the loss of up to three others, which
        is as often as a trial and an attack are tried again.
        """
        there = [kind for kind, n in self.left.items() if n > 0 and kind != "node"]
        if not there or tries >= 8:
            return []
        first = self.rng.choice(there)
        if first in CODES:
            return [first]
        more = [*(Counter({kind: self.left[kind] for kind in ROLES}) - Counter([first])).elements()]
        return [first, *self.rng.sample(more, min(2, len(more)))]

    def _hit(self, process: "subprocess.Popen[str]", out: str, kind: str, soon: bool) -> bool:
        """Whether the process or its child was there to be hit. `soon`: not only after a row."""
        place = scratch.place(self.driver.folder / out)
        rows = len(self.driver.rows(out)) + (0 if soon else self.rng.randint(0, 3))
        if kind in ROLES or rows < ROWS:
            until(
                lambda: (
                    process.poll() is not None
                    or (place.exists() and len(self.driver.rows(out)) >= rows)
                ),
                600.0,
            )
        time.sleep(self.rng.random() * 1.5)  # any moment, not only those after a row
        if kind in ROLES:
            until(lambda: process.poll() is not None or bool(_alive(place, ROLES[kind])))
            try:
                os.kill(self.rng.choice(_alive(place, ROLES[kind])), signal.SIGKILL)
            except (IndexError, ProcessLookupError):
                return False
            return True
        if kind != "driver":
            until(lambda: process.poll() is not None or _hears(process.pid, SIGNALS[kind]))
        if process.poll() is not None:
            return False
        process.send_signal(SIGNALS[kind])
        return True

    def _end(self, process: "subprocess.Popen[str]", out: str) -> str:
        begin = time.monotonic()
        said, _ = process.communicate(timeout=900)
        if process.returncode in (130, 143):
            self.seconds.append(time.monotonic() - begin)
        return said

    def _state(self, out: str) -> tuple[dict[Path, bytes], dict[Path, tuple[int, int]]]:
        """Rows, and the models of their trials."""
        rows = {path: path.read_bytes() for path in self.driver.rows(out)}
        kept = {row.signals for row in Folder(self.driver.folder / out).rows()} if rows else set()
        models = self.driver.models(out) if rows else {}
        return rows, {path: seen for path, seen in models.items() if path.parent.name in kept}

    def _kept(
        self, out: str, before: tuple[dict[Path, bytes], dict[Path, tuple[int, int]]]
    ) -> None:
        rows, models = before
        lost = [p.name for p, data in rows.items() if not p.exists() or p.read_bytes() != data]
        if lost:
            self.bad(out, f"rows lost or changed: {lost}")
        now = self.driver.models(out)
        if again := [str(path) for path, seen in models.items() if now.get(path) != seen]:
            self.bad(out, f"trained twice: {again}")

    def _nothing_left(self, out: str) -> None:
        place = scratch.place(self.driver.folder / out)
        try:
            until(lambda: not place.exists() and not _mentioning(str(place)), 20.0)
        except AssertionError:
            self.bad(out, f"left: {place.exists()}, processes {_mentioning(str(place))}")
        if left := [str(p) for p in (self.driver.folder / out).rglob(".*.tmp")]:
            self.bad(out, f"left: {left}")


def nodes(campaign: Campaign) -> None:
    """A node of two goes while it works; another comes."""
    with cluster() as one:
        one.head(1)
        number = 0
        while campaign.left["node"] > 0:
            node, out = one.join(1), f"node{number}"
            process = campaign.driver.start(
                out, *LONGER, RAY_ADDRESS=one.address, **_token(one.environment)
            )
            rows = campaign.rng.randint(1, ROWS - 3)
            until(
                lambda p=process, o=out, n=rows: (  # type: ignore[misc]
                    p.poll() is not None or len(campaign.driver.rows(o)) >= n
                ),
                600.0,
            )
            hit = process.poll() is None
            one.lose(node)
            said = campaign._end(process, out)
            if process.returncode != 0:
                campaign.bad(out, f"node: exit code {process.returncode}: {said}")
            elif campaign.driver.tables(out) != campaign.calm:
                campaign.bad(out, "other bytes in the tables")
            campaign.made["node"] += hit
            campaign.left["node"] -= hit
            number += 1
            shutil.rmtree(campaign.driver.folder / out, ignore_errors=True)


def _alive(place: Path, role: str) -> list[int]:
    """The processes of a run that do this; what has ended has no command line any more."""
    found = []
    for path in (place / "processes").glob("*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if (
                role in path.read_text().split()
                and Path("/proc", path.name, "cmdline").read_bytes()
            ):
                found.append(int(path.name))
    return found


def _hears(pid: int, number: int) -> bool:
    """Whether a process has a handler of its own: Python, while it starts, has none."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        status = Path(f"/proc/{pid}/status").read_text()
        return bool(int(status.split("SigCgt:")[1].split()[0], 16) >> (number - 1) & 1)
    return False


def _token(environment: dict[str, str]) -> dict[str, str]:
    return {k: v for k, v in environment.items() if k.startswith("RAY_AUTH")}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    asked = {"driver": 100, "worker": 100, "attacker": 50, "term": 50, "int": 30, "node": 20}
    for kind, count in asked.items():
        parser.add_argument(f"--{kind}", type=int, default=count)
    parser.add_argument("--json", type=Path)
    given = vars(parser.parse_args())
    begin, shared = time.monotonic(), set(os.listdir("/dev/shm"))
    with tempfile.TemporaryDirectory(prefix="rk", dir="/tmp") as folder:
        driver = Driver(Path(folder))
        campaign = Campaign(driver, Counter({kind: given[kind] for kind in asked}))
        try:
            number = 0
            while any(n > 0 for kind, n in campaign.left.items() if kind != "node"):
                campaign.one(number)
                number += 1
            if campaign.left["node"] > 0:
                nodes(campaign)
        except KeyboardInterrupt:
            print("stopped before the end; what was made until then:")
        finally:
            driver.stop()
    if left := set(os.listdir("/dev/shm")) - shared:
        campaign.bad("after all", f"shared memory left: {sorted(left)}")
    found = {
        "kills": dict(campaign.made),
        "wrong": campaign.wrong,
        "longest_stop_s": round(max(campaign.seconds, default=0.0), 1),
        "minutes": round((time.monotonic() - begin) / 60, 1),
    }
    print(json.dumps(found, indent=1))
    if given["json"]:
        given["json"].write_text(json.dumps(found, indent=1) + "\n")
    return int(bool(campaign.wrong))


if __name__ == "__main__":
    sys.exit(main())
