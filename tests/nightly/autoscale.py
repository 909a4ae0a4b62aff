"""A cluster that grows and shrinks for real: Ray's autoscaler v2 with its fake node provider,
and simulated GPUs.

python tests/nightly/autoscale.py

1. Eight trials of half a GPU each: the nodes grow, and two trials share a GPU. 2. Trials that
are spread over two GPUs. 3. Idle nodes go. It prints the trace of node counts and exits 1 where
one of these did not happen, or the bytes of the two runs differ. The fake provider starts real
raylets on this machine; Ray's `AutoscalingCluster` is not used: it ends every Ray there is. The
GPUs being simulated, the models train on the CPU.
"""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from cluster.clusters import RAY, Cluster, cluster  # noqa: E402
from cluster.conftest import TABLES, TINY  # noqa: E402

DRIVER = [
    *(RAY[0], "-c"),
    "import sys; from raymia.study import sweep; from raymia.cli import main; sweep.Sweep.device = "
    "'cpu'; main(sys.argv[1:])",
]
HEAD = "f" * 50 + "000000"
SIZE = 4  # nodes at the most, the head among them


def provider(address: str) -> dict[str, object]:
    """As JSON, which is YAML too."""
    worker = {
        "resources": {"CPU": 1, "GPU": 1},
        "node_config": {},
        "min_workers": 0,
        "max_workers": SIZE - 1,
    }
    return {
        "cluster_name": "fake",
        "max_workers": SIZE - 1,
        "upscaling_speed": 100.0,
        "idle_timeout_minutes": 0.2,
        "provider": {
            "type": "external",
            "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
            "gcs_address": address,
            "launch_multiple": True,
            "head_node_id": HEAD,
            "use_node_id_as_ip": True,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
        },
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            "worker": worker,
        },
        "head_node_type": "ray.head.default",
        "auth": {},
        "docker": {},
        "cluster_synced_files": [],
        "file_mounts_sync_continuously": False,
        "file_mounts": {},
        "setup_commands": [],
        "initialization_commands": [],
        "head_setup_commands": [],
        "worker_setup_commands": [],
        "head_start_ray_commands": [],
        "worker_start_ray_commands": [],
    }


class Trace(threading.Thread):
    """(seconds, nodes alive, trials running) each time one of them changes."""

    def __init__(self, one: Cluster) -> None:
        super().__init__(daemon=True)
        code = (
            "import json, logging, time, ray\n"
            f"ray.init(address='{one.address}', logging_level=40, log_to_driver=False)\n"
            "while True:\n"
            "    alive = [n for n in ray.nodes() if n['Alive']]\n"
            "    gpus = sum(n['Resources'].get('GPU', 0) for n in alive)\n"
            "    free = ray.available_resources().get('GPU', 0)\n"
            "    print(json.dumps([len(alive), gpus, gpus - free]), flush=True)\n"
            "    time.sleep(0.5)\n"
        )
        self._process = subprocess.Popen(
            [RAY[0], "-c", code], env=one.environment, stdout=subprocess.PIPE, text=True
        )
        self._begin = time.monotonic()
        self.seen: list[tuple[float, int, float, float]] = []

    def run(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("["):
                nodes, gpus, used = json.loads(line)
                if not self.seen or self.seen[-1][1:] != (nodes, gpus, used):
                    self.seen.append((time.monotonic() - self._begin, nodes, gpus, used))
                    print(
                        f"{self.seen[-1][0]:6.1f} s  {nodes} nodes, {gpus:g} GPUs, {used:g} of "
                        "them taken",
                        flush=True,
                    )

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()


def sweep(one: Cluster, out: str, *arguments: str, **environment: str) -> str:
    longer = [
        "--set",
        "training.epochs=400",
        "--set",
        "training.lanes=1",
        "--set",
        "search.lag=8",
        "--trials",
        "8",
    ]
    command = [
        *DRIVER,
        "run",
        str(one.folder / "tiny.yaml"),
        "--out",
        str(one.folder / out),
        *longer,
        *arguments,
    ]
    code, said = one.run(command, one.folder, 400.0, **environment)
    assert code == 0, said
    return said


def own_address() -> str:
    """A head that scales does not take 127.0.0.1 for its address, whatever it is told."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.connect(("10.255.255.255", 1))
        return str(one.getsockname()[0])


def main() -> int:
    with cluster(host=own_address()) as one:
        (one.folder / "tiny.yaml").write_text(TINY)
        config = one.folder / "fake.yaml"
        config.write_text(json.dumps(provider(one.address)))
        fake = {
            "RAY_FAKE_CLUSTER": "1",
            "AUTOSCALER_UPDATE_INTERVAL_S": "1",
            "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD,
            "RAY_CLOUD_INSTANCE_ID": HEAD,
            "RAY_enable_autoscaler_v2": "1",
        }
        one.head(0, f"--autoscaling-config={config}", **fake)
        joined = {"RAY_ADDRESS": one.address, "RAYMIA_MAX_NODES": f"{SIZE - 1}:CPU=1,GPU=1"}
        trace = Trace(one)
        trace.start()
        halves = ("--set", "resources.gpu=0.5", "--set", "resources.cpu=0.5")
        refused, said = one.run(
            [
                *DRIVER,
                "run",
                str(one.folder / "tiny.yaml"),
                "--out",
                str(one.folder / "no"),
                "--set",
                "resources.gpu=2",
            ],
            one.folder,
            60.0,
            **joined,
        )
        sweep(one, "packed", *halves, **joined)
        packed = list(trace.seen)
        sweep(one, "spread", "--set", "resources.gpu=1", "--set", "resources.spread=2", **joined)
        deadline = time.monotonic() + 90.0
        while trace.seen[-1][1] > 1 and time.monotonic() < deadline:
            time.sleep(0.5)
        trace.stop()
        tables = {
            out: [(one.folder / out / name).read_bytes() for name in TABLES]
            for out in ("packed", "spread")
        }
        checks = {
            "what can never be is refused, with what the cluster can grow to": refused == 2
            and "can grow to" in said,
            "it began with the head alone": packed[0][1] == 1,
            f"it grew to {SIZE} nodes": max(nodes for _, nodes, _, _ in packed) == SIZE,
            "two trials shared a GPU": any(
                used * 2 > gpus > 0 and used == int(used) for _, _, gpus, used in packed
            ),
            "one trial spread over two": any(
                used >= 2 for _, _, _, used in trace.seen[len(packed) :]
            ),
            "idle nodes went away": trace.seen[-1][1] == 1,
            "the bytes are the same": tables["packed"] == tables["spread"],
        }
    for what, held in checks.items():
        print("yes" if held else "NO ", what)
    return int(not all(checks.values()))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
