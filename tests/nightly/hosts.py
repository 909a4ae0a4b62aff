"""Three hosts with addresses and disks of their own (network and mount namespaces; needs root):
one is cut off in the middle.

python tests/nightly/hosts.py

The head (10.78.0.10) runs no trials and holds the results; the workers (.11, .12) see another,
empty disk there. While the sweep runs, the cable of .12 is pulled: its processes live on, and
nobody reaches them. Exits 1 where the bytes differ from a local run.
"""

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from cluster.clusters import RAYMIA, cluster  # noqa: E402
from cluster.conftest import TABLES, TINY, until  # noqa: E402

BRIDGE = "rmbr0"
LONGER = ("--set", "training.epochs=300", "--set", "training.lanes=1")


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


@contextlib.contextmanager
def network(count: int) -> Iterator[list[str]]:
    """`count` namespaces rmns0.. on one bridge; their addresses."""
    hosts = [f"10.78.0.{10 + i}" for i in range(count)]
    try:
        ip("link", "add", BRIDGE, "type", "bridge")
        ip("addr", "add", "10.78.0.1/24", "dev", BRIDGE)
        ip("link", "set", BRIDGE, "up")
        for i, host in enumerate(hosts):
            ip("netns", "add", f"rmns{i}")
            ip(
                "link",
                "add",
                f"rmv{i}",
                "type",
                "veth",
                "peer",
                "name",
                "eth0",
                "netns",
                f"rmns{i}",
            )
            ip("link", "set", f"rmv{i}", "master", BRIDGE, "up")
            ip("-n", f"rmns{i}", "addr", "add", f"{host}/24", "dev", "eth0")
            for name in ("lo", "eth0"):
                ip("-n", f"rmns{i}", "link", "set", name, "up")
        yield hosts
    finally:
        for i in range(count):
            subprocess.run(
                ["ip", "netns", "del", f"rmns{i}"], check=False, stderr=subprocess.DEVNULL
            )
        subprocess.run(["ip", "link", "del", BRIDGE], check=False, stderr=subprocess.DEVNULL)


def main() -> int:
    with network(3) as hosts, cluster(host=hosts[0]) as one:
        (one.folder / "tiny.yaml").write_text(TINY)
        disk = one.folder / "disk"
        disk.mkdir()
        hide = ("unshare", "-m", "sh", "-c", f'mount -t tmpfs none {disk} && exec "$@"', "sh")
        inside = [("ip", "netns", "exec", f"rmns{i}") for i in range(3)]
        one.head(0, before=inside[0])
        for i in (1, 2):
            one.join(1, before=(*inside[i], *hide), host=hosts[i])
        count = (
            "import ray; ray.init(address='%s', logging_level=40); print(sum(n['Alive'] for n in "
            "ray.nodes()))"
        )
        ask = [*inside[0], RAYMIA[0], "-c", count % one.address]
        until(lambda: one.run(ask, one.folder)[1].split()[-1] == "3", 120.0)
        command = [
            *inside[0],
            *RAYMIA,
            "run",
            str(one.folder / "tiny.yaml"),
            "--out",
            str(disk / "out"),
            *LONGER,
        ]
        log = open(one.folder / "run.log", "w")
        begin = time.monotonic()
        driver = subprocess.Popen(
            command,
            env=one.environment | {"RAY_ADDRESS": one.address},
            cwd=one.folder,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        rows = disk / "out" / "trials"
        until(lambda: driver.poll() is not None or len(list(rows.glob("*.json"))) >= 3, 240.0)
        ip("link", "set", "rmv2", "down")
        done = len(list(rows.glob("*.json")))
        print(
            f"{time.monotonic() - begin:.1f} s: {done} trials are done; the cable of {hosts[2]} is "
            "pulled"
        )
        code = driver.wait(400.0)
        said = (one.folder / "run.log").read_text()
        print(said)
        print(f"{time.monotonic() - begin:.1f} s: exit code {code}")
        alone, told = one.run(
            [*RAYMIA, "run", "tiny.yaml", "--out", "alone", *LONGER], one.folder, 400.0
        )
        same = alone == 0 and all(
            (one.folder / "alone" / n).read_bytes() == (disk / "out" / n).read_bytes()
            for n in TABLES
        )
        checks = {
            "the run ended well": code == 0,
            "the bytes are those of a local run": same,
            "the signals travelled": "signals travel through Ray" in said,
            "the loss was seen": "was lost; it runs again" in said,
        }
    for what, held in checks.items():
        print("yes" if held else "NO ", what)
    return int(not all(checks.values()))


if __name__ == "__main__":
    sys.exit(main())
