"""Real Ray nodes, started as people start them: `ray start` on loopback, with a token, in
folders and on ports of their own.
"""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from .conftest import ROOT, until

RAY = [sys.executable, "-c", "from ray.scripts.scripts import main; main()"]
RAYMIA = [sys.executable, "-m", "raymia.cli"]


def free_ports(count: int) -> list[int]:
    """Ports above those that Ray gives to its workers (10002 to 19999) and below those that the
    kernel gives away.
    """
    found: list[int] = []
    while len(found) < count:
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as one, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", port))
            found.append(port)
    return list(dict.fromkeys(found)) if len(set(found)) == count else free_ports(count)


class Cluster:
    """A head, and nodes that join it. `environment` is what a client needs to talk to it."""

    def __init__(self, auth: str = "token", host: str = "127.0.0.1") -> None:
        # short: Ray's sockets lie below it
        self.folder = Path(tempfile.mkdtemp(prefix="rm", dir="/tmp"))
        self.gcs, self.dashboard, self._client = free_ports(3)
        self._host, self.address, self.door = (
            host,
            f"{host}:{self.gcs}",
            f"http://127.0.0.1:{self.dashboard}",
        )
        self._nodes: list[subprocess.Popen[bytes]] = []
        (self.folder / "home").mkdir(mode=0o700)
        token = self.folder / "token"
        token.touch(mode=0o600)
        token.write_text(secrets.token_hex(32))
        kept = {
            k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "TUNE_", "RAYMIA_"))
        }
        self.environment = kept | {
            "RAY_AUTH_MODE": auth,
            "RAY_AUTH_TOKEN_PATH": str(token),
            "RAY_TMPDIR": str(self.folder),
            "RAY_USAGE_STATS_ENABLED": "0",
            "HOME": str(self.folder / "home"),
            "MPLCONFIGDIR": str(self.folder / "matplotlib"),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),
            # A node that is gone is found gone in seconds, not in half a minute.
            "RAY_health_check_period_ms": "1000",
            "RAY_health_check_timeout_ms": "2000",
            "RAY_health_check_failure_threshold": "3",
        }

    def head(
        self, cpus: int, *more: str, before: tuple[str, ...] = (), **environment: str
    ) -> subprocess.Popen[bytes]:
        ports = [
            f"--port={self.gcs}",
            f"--dashboard-port={self.dashboard}",
            f"--ray-client-server-port={self._client}",
        ]
        one = self._start(
            ["--head", "--dashboard-host=127.0.0.1", *ports, f"--num-cpus={cpus}", *more],
            environment,
            before,
        )
        until(self.answers, 120.0)
        return one

    def join(
        self,
        cpus: int,
        *more: str,
        before: tuple[str, ...] = (),
        host: str = "127.0.0.1",
        **environment: str,
    ) -> subprocess.Popen[bytes]:
        """Another node. `before`: a command that runs it, as `unshare` does."""
        for _ in range(3):  # Ray gives a node 30 s to start, which a busy machine may not keep
            one = self._start(
                [f"--address={self.address}", f"--num-cpus={cpus}", *more],
                environment,
                before,
                host,
            )
            log = self.folder / f"node-{len(self._nodes) - 1}.log"
            until(
                lambda one=one, log=log: (
                    one.poll() is not None or "block forever" in log.read_text()
                ),
                120.0,
            )  # type: ignore[misc]
            if one.poll() is None:
                return one
        raise AssertionError(self.said())

    def _start(
        self,
        arguments: list[str],
        environment: dict[str, str],
        before: tuple[str, ...],
        host: str = "",
    ) -> subprocess.Popen[bytes]:
        agents = [
            f"--{name}={port}" for name, port in zip(_AGENTS, free_ports(len(_AGENTS)), strict=True)
        ]
        place = [f"--temp-dir={self.folder}"] if "--head" in arguments else []
        size = [
            "--object-store-memory=100000000",
            f"--node-ip-address={host or self._host}",
            "--block",
        ]
        log = open(self.folder / f"node-{len(self._nodes)}.log", "wb")
        one = subprocess.Popen(
            [*before, *RAY, "start", *arguments, *size, *agents, *place],
            env=self.environment | environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        log.close()
        self._nodes.append(one)
        return one

    def answers(self) -> bool:
        assert self._nodes[0].poll() is None, self.said()
        door = (self._host, self.dashboard if self._host == "127.0.0.1" else self.gcs)
        with contextlib.suppress(OSError), socket.create_connection(door, timeout=1.0):
            return True
        return False

    def said(self) -> str:
        return "".join(path.read_text() for path in sorted(self.folder.glob("node-*.log")))

    def run(
        self, command: list[str], cwd: Path, seconds: float = 150.0, /, **environment: str
    ) -> tuple[int, str]:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=self.environment | environment,
            timeout=seconds,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return done.returncode, done.stdout

    def job(self, *arguments: str, cwd: Path, **environment: str) -> tuple[int, str]:
        return self.run(
            [*RAY, "job", *arguments], cwd, RAY_API_SERVER_ADDRESS=self.door, **environment
        )

    def lose(self, node: subprocess.Popen[bytes]) -> None:
        """As when a machine is taken away: every process of the node at once, with nothing said
        to anybody.
        """
        for pid in [node.pid, *_children(node.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        node.wait()

    @contextlib.contextmanager
    def prepared(self, *arguments: str, **environment: str) -> Iterator[Callable[[], int]]:
        """A `ray` command that has started and waits to be told to go on: importing Ray takes
        seconds.
        """
        code = "import sys; from ray.scripts.scripts import main; sys.stdin.readline() and main()"
        one = subprocess.Popen(
            [RAY[0], "-c", code, *arguments],
            env=self.environment | environment,
            stdin=subprocess.PIPE,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            text=True,
        )

        def go() -> int:
            one.communicate("go\n", timeout=120.0)
            return one.returncode

        try:
            yield go
        finally:
            if one.stdin is not None:
                one.stdin.close()  # one that nobody told to go on ends
            one.wait(60.0)

    def drivers(self, out: Path) -> list[int]:
        """The processes that run `raymia run` into a folder."""
        return [pid for pid in _mentioning(str(out)) if _arguments(pid)[:3] == RAYMIA]

    def stop(self) -> None:
        for node in reversed(self._nodes):
            children = _children(node.pid)
            if node.poll() is None:
                node.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    node.wait(15.0)
            for pid in [node.pid, *children] if node.poll() is None else children:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            node.wait()
        for pid in _mentioning(str(self.folder)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)


_AGENTS = (
    "dashboard-agent-listen-port",
    "dashboard-agent-grpc-port",
    "metrics-export-port",
    "runtime-env-agent-port",
)


@contextlib.contextmanager
def cluster(auth: str = "token", host: str = "127.0.0.1") -> Iterator[Cluster]:
    one = Cluster(auth, host)
    try:
        yield one
    finally:
        one.stop()


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _children(pid: int) -> list[int]:
    """All descendants of a process."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        if fields := _stat(int(entry.name)):
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found, todo = [], [pid]
    while todo:
        below = parents.get(todo.pop(), [])
        found += below
        todo += below
    return found


def _arguments(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def _mentioning(text: str) -> list[int]:
    """Processes whose command line names our private folder: nobody else's do."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if text.encode() in (entry / "cmdline").read_bytes() and int(entry.name) != os.getpid():
                found.append(int(entry.name))
    return found
