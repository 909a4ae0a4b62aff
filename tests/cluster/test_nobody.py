"""One sweep in which much goes wrong: nobody gets in meanwhile, nothing that is secret gets out,
each fault is a row, and what Ray says of it is not said to the user.
"""

import os
import re
import signal
import socket
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from raymia.cluster import scratch
from raymia.results.folder import Folder
from raymia.results.row import Row, best

from .clusters import _children
from .conftest import Driver, until

pytestmark = pytest.mark.cluster

SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "canary-of-the-cloud-5f1b",
    "AWS_SESSION_TOKEN": "canary-of-the-session-77ab",
    "HF_TOKEN": "canary-of-a-hub-90cd",
    "RAYMIA_PASSWORD": "canary-of-ours-13ef",
}
PARTS = '''
import os
import time
from dataclasses import dataclass

import numpy as np

from raymia.attack.attack import Attack
from raymia.training.defense import Defense


@dataclass(frozen=True)
class Trouble(Defense):
    """Makes trouble of a kind.

    Source: this test.
    """

    kind: str = ""

    def penalty(self, outputs, reference, batch, extra, clock):
        if self.kind == "hangs":
            time.sleep(3600)
        if self.kind == "raises":
            raise ValueError("no such penalty")
        return outputs.logits.sum(-1) * float("nan")


@dataclass(frozen=True)
class Flat(Defense):
    """Releases nothing.

    Source: this test.
    """

    def release(self, owned):
        return np.zeros_like


@dataclass(frozen=True)
class Touchy(Attack):
    """Its process ends where nothing is released.

    Source: this test.
    """

    def score(self, view, rng):
        if np.ptp(view.log_p) == 0:
            os._exit(1)
        return view.log_p[view.asked].max(-1)
'''
SWEEP = """
name: trouble
dataset: {digits: {records: 120}}
network: {mlp: {width: 8}}
protocol: {coin: {models: 4, targets: 2}}
defenses:
  - []
  - ['parts.py:Trouble': {kind: hangs}]
  - ['parts.py:Flat']
  - ['parts.py:Trouble': {kind: raises}]
  - ['parts.py:Trouble': {kind: nan}]
  - [label_smoothing]
attacks: [loss, 'parts.py:Touchy']
training: {epochs: 1}
search: {trials: 6, lag: 6}
resources: {time_limit: 20}
"""


@dataclass(frozen=True)
class Seen:
    """What was seen of a run: the command of each process that listens and where, the modes of
    private files, what was printed, and where a secret stood.
    """

    listen: dict[str, set[str]]
    modes: dict[str, int]
    code: int
    said: str
    leaks: list[str]
    rows: dict[str, Row]


def listening(pids: list[int]) -> dict[str, set[str]]:
    """Command -> the addresses on which these processes take connections, from /proc alone."""
    open_, found = {}, dict[str, set[str]]()
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":  # LISTEN
                words = bytes.fromhex(fields[1].partition(":")[0])  # each of four bytes, reversed
                address = b"".join(words[i : i + 4][::-1] for i in range(0, len(words), 4))
                open_[f"socket:[{fields[9]}]"] = socket.inet_ntop(family, address)
    for pid in pids:
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
            links = [os.readlink(one) for one in Path(f"/proc/{pid}/fd").iterdir()]
        except OSError:
            continue
        name = command.replace("\0", " ").strip()
        found.setdefault(name, set()).update(open_[one] for one in links if one in open_)
    return {name: addresses for name, addresses in found.items() if addresses}


def leaks(*places: Path) -> list[str]:
    files = (p for place in places for p in place.rglob("*") if p.is_file() and not p.is_symlink())
    found = []
    for path in files:
        try:
            content = path.read_bytes()
        except OSError:  # gone meanwhile
            continue
        found += [f"{path}: {name}" for name, value in SECRETS.items() if value.encode() in content]
    return found


@pytest.fixture(scope="module")
def seen(driver: Driver) -> Iterator[Seen]:
    (driver.folder / "parts.py").write_text(PARTS)
    driver.sweep.write_text(SWEEP)
    out, here = driver.folder / "out", scratch.place(driver.folder / "out")
    process = driver.start("out", **SECRETS)
    driver.wait_for_rows(process, "out", 1)
    listen = listening([process.pid, *_children(process.pid)])
    private = [here, here / "token", *here.glob("ray"), here.with_suffix(".log")]
    modes = {
        path.name.removeprefix(here.name): stat.S_IMODE(path.stat().st_mode) for path in private
    }
    during = leaks(here)
    said, _ = process.communicate(timeout=180)
    during += leaks(out, driver.folder / "home", here.parent)
    during += [name for name, value in SECRETS.items() if value in said]
    rows = {str(row.knobs.get("trouble.kind", row.defense)): row for row in Folder(out).rows()}
    yield Seen(listen, modes, process.returncode, said, during, rows)


def test_nothing_listens_but_on_loopback(seen: Seen) -> None:
    """In 2.60 Ray listens on every interface, and asks for a token there."""
    servers = " ".join(seen.listen)
    for name in ("gcs_server", "raylet/raylet", "ray::Attacker", "raymia"):
        assert name in servers, servers
    addresses = set[str]().union(*seen.listen.values())
    assert addresses <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}, seen.listen


def test_what_is_private_is_for_its_owner_alone(seen: Seen) -> None:
    assert seen.modes[""] == 0o700  # all else lies below it
    assert seen.modes["token"] == 0o600 and seen.modes[".log"] == 0o600


def test_no_secret_of_the_environment_is_written_or_said(seen: Seen) -> None:
    assert seen.leaks == []


def test_each_fault_is_a_row_and_the_sweep_goes_on(seen: Seen) -> None:
    assert seen.code == 1, seen.said
    states = {kind: row.state for kind, row in seen.rows.items()}
    assert states == {
        "none": "done",
        "label_smoothing": "done",
        "hangs": "failed",
        "flat": "failed",
        "raises": "failed",
        "nan": "invalid",
    }
    reasons = {kind: row.reason for kind, row in seen.rows.items()}
    assert "time limit: not finished after 20 s" in reasons["hangs"]
    assert "no such penalty" in reasons["raises"] and "Diverged" in reasons["nan"]
    killed = r"AttackerLost: touchy, target \d: its process ended each of 4 times"
    assert re.search(killed, reasons["flat"]), reasons["flat"]
    assert {row.defense for row in best(list(seen.rows.values()))} <= {"none", "label_smoothing"}
    assert "4 trials have no numbers:" in seen.said.splitlines()


def test_what_ray_says_is_not_said_to_the_user(seen: Seen) -> None:
    for of_ray in ("(raylet)", "[state-dump]", "Traceback", "core_worker", "ActorDied"):
        assert of_ray not in seen.said, seen.said


@pytest.mark.parametrize("victim", ["raylet/raylet", "gcs_server"])
def test_a_ray_that_is_gone_is_exit_3_and_one_line(victim: str, driver: Driver) -> None:
    out = f"gone-{victim[:3]}"
    process = driver.start(out, "--set", "training.epochs=400")
    register = scratch.place(driver.folder / out) / "processes"
    until(lambda: any("trial" in p.read_text() for p in register.glob("*")))
    pids = [pid for pid in _children(process.pid) if victim in _command(pid)]
    os.kill(pids[0], signal.SIGKILL)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 3, said
    last = said.strip().splitlines()[-1]
    assert last.startswith("raymia: Ray is gone: its ") and "the same command goes on" in last
    for of_ray in ("(raylet)", "[state-dump]", "Traceback"):
        assert of_ray not in said, said


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()
    except OSError:
        return ""
