"""`raymia doctor`: what there is to run on, who may talk to it, and whether results can be
written; changes nothing.
"""

import contextlib
import json
import os
import platform
import secrets
import socket
import time
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from raymia import machine
from raymia.cluster.authentication import (
    ask,
    asks_for_a_token,
    authentication,
    job_server,
    own_token,
)
from raymia.cluster.finding import Finding
from raymia.errors import EnvironmentFault
from raymia.results.location import Location
from raymia.results.remote import Remote, storage

_LIBRARIES = (
    "torch",
    "numpy",
    "ray",
    "optuna",
    "pandas",
    "pyarrow",
    "obstore",
    "scikit-learn",
    "torchvision",
    "safetensors",
)
# seconds between two clocks that nobody need care about; a lease on object storage is 60 s
_SKEW = 5.0
_LOOK = 60.0  # seconds for a node's first answer: it may have to start a process and import torch


def examine(out: Path | Location | None = None, insecure: bool = False) -> list[Finding]:
    """Everything, in the order of the table. A bad finding makes `raymia doctor` exit 3.

    `out`: a results folder to write a probe into, and to look for it on every node. `insecure`:
    a cluster that answers without a token is noted, not refused.
    """
    found = [*_versions(), *authentication()]
    jobs = job_server()
    if jobs:
        found += asks_for_a_token(jobs, insecure)
    # nothing is sent to a cluster that anybody may use
    if any(one.state == "bad" for one in found):
        return [*found, *_storage(out)]
    address = os.environ.get("RAY_ADDRESS", "")
    if address and not address.startswith("http") and address != "local":
        with _joined(address) as cluster:
            if not jobs and cluster:
                found += asks_for_a_token(f"http://{cluster}", insecure)
            if any(one.state == "bad" for one in found):
                return [*found, *_storage(out)]
            return [*found, *_inside(out)]
    if jobs:
        return [*found, *_outside(jobs), *_storage(out)]
    return [*found, *_machine(), *_storage(out)]


def _versions() -> Iterator[Finding]:
    yield Finding("raymia", metadata.version("raymia"))
    yield Finding("python", platform.python_version())
    yield Finding("system", platform.platform())
    for library in _LIBRARIES:
        try:
            yield Finding(library, metadata.version(library))
        except metadata.PackageNotFoundError:
            yield Finding(library, "not installed", "bad", "install raymia again")


# ---- nodes -------------------------------------------------------------------------------------


def _machine() -> Iterator[Finding]:
    """This machine, where no cluster is named."""
    here = machine.here()
    yield Finding(
        "cluster", "none is named: `raymia run` starts Ray here", advice="or set RAY_ADDRESS"
    )
    yield Finding("CPUs", str(here["cpu"]))
    yield _gpus("GPUs", here["gpu"], look(None))


def _outside(jobs: str) -> Iterator[Finding]:
    """What the job server says of its nodes."""
    status, body = ask(jobs, "/api/v0/nodes?detail=1", own_token())
    try:
        nodes = json.loads(body)["data"]["result"]["result"]
    except (ValueError, KeyError, TypeError):
        yield Finding("nodes", f"the job server does not say ({status})", "note")
        return
    for node in nodes:
        if node.get("state") == "ALIVE":
            has = node.get("resources_total", {})
            yield Finding(
                f"node {node.get('node_ip')}",
                f"{has.get('CPU', 0):g} CPU, {has.get('GPU', 0):g} GPU",
            )
    yield Finding(
        "GPUs, clocks", "not seen from here", "note", "ray job submit -- raymia doctor --out DIR"
    )


class _joined:
    """Joins a cluster and leaves it; gives the host and port of its dashboard, empty where it
    has none.
    """

    def __init__(self, address: str) -> None:
        self._address = address

    def __enter__(self) -> str:
        import logging

        import ray

        logging.getLogger("ray").setLevel(logging.ERROR)
        try:
            self._context = ray.init(
                address=self._address, log_to_driver=False, logging_level=logging.ERROR
            )
        except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            reason = " ".join(str(error).split())[:300]
            raise EnvironmentFault(
                f"the Ray cluster at {self._address} cannot be joined: {reason}"
            ) from error
        return str(self._context.dashboard_url or "")

    def __exit__(self, *error: object) -> None:
        import ray

        ray.shutdown()


def _inside(out: Path | Location | None) -> Iterator[Finding]:
    """Every node of the cluster that was joined, asked by a task of its own that takes no CPU
    from anybody.
    """
    with _Probe(out) as probe:
        yield from probe.findings
        yield from _nodes(probe)


def _nodes(probe: "_Probe") -> Iterator[Finding]:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On

    seeing = ray.remote(num_cpus=0, max_retries=0)(look)
    for node in (node for node in ray.nodes() if node["Alive"]):
        has, name = node["Resources"], f"node {node['NodeManagerAddress']}"
        there = seeing.options(scheduling_strategy=On(node["NodeID"], soft=False))
        try:
            ray.get(there.remote(None), timeout=_LOOK)  # starts the process
            begin = time.time()
            seen = ray.get(there.remote(probe.path), timeout=_LOOK)
        except ray.exceptions.RayError as error:
            yield Finding(
                name,
                f"does not answer: {str(error).strip().splitlines()[0][:120]}",
                "bad",
                "see `ray logs`",
            )
            continue
        apart, unsure = seen["clock"] - (begin + time.time()) / 2, (time.time() - begin) / 2
        late = abs(apart) - unsure > _SKEW
        clock = f"clock {apart:+.1f} s" if late else "clock right"
        what = f"{seen['host']}: {has.get('CPU', 0):g} CPU, ray {seen['ray']}, {clock}"
        wrong = [] if not late else ["set its clock (NTP)"]
        if seen["ray"] != ray.__version__ or seen["raymia"] != metadata.version("raymia"):
            wrong.append("install the same ray and raymia on every node")
        yield Finding(name, what, "bad" if wrong else "ok", "; ".join(wrong))
        if has.get("GPU") or seen["gpus"]:
            yield _gpus(f"  its GPUs ({has.get('GPU', 0):g} in Ray)", int(has.get("GPU", 0)), seen)
        if probe.path and seen["probe"] != probe.nonce:
            yield Finding(
                "  the folder",
                "it does not see it",
                "note",
                "its signals will travel through Ray's object store",
            )


def look(probe: str | None) -> dict[str, Any]:
    """What one node is: run there."""
    import ray
    import torch

    gpus, fault = 0, ""
    for i in range(torch.cuda.device_count()):
        try:
            gpus += int(torch.ones(2, device=f"cuda:{i}").sum().item() == 2.0)
        except RuntimeError as error:
            fault = str(error).splitlines()[0][:100]
    try:
        content = Path(probe).read_text() if probe else ""
    except OSError:
        content = ""
    facts = {
        "clock": time.time(),
        "host": socket.gethostname(),
        "ray": ray.__version__,
        "raymia": metadata.version("raymia"),
    }
    return {**facts, "gpus": gpus, "fault": fault, "probe": content}


def _gpus(what: str, seen: int, found: Mapping[str, Any]) -> Finding:
    usable = found["gpus"]
    if usable >= seen:
        return Finding(what, f"{usable} usable")
    return Finding(
        what,
        f"{seen} seen, {usable} usable",
        "bad",
        found["fault"] or "does torch match the driver? nvidia-smi",
    )


# ---- storage -----------------------------------------------------------------------------------


class _Probe:
    """A small file written into the results folder, read back, and removed again."""

    def __init__(self, out: Path | Location | None) -> None:
        self.nonce, self.path = secrets.token_hex(8), ""
        self.findings = [Finding("storage", "not looked at", advice="--out DIR")]
        self._store = storage(out) if out is not None else None
        self._made = out if isinstance(out, Path) and not out.exists() else None
        if out is None or self._store is None:
            return
        begin = time.monotonic()
        try:
            self._store.replace(".doctor/probe", self.nonce.encode())
            back = self._store.read(".doctor/probe")
        except EnvironmentFault as fault:
            self.findings = [Finding("storage", str(fault)[:200], "bad")]
            return
        if back != self.nonce.encode():
            self.findings = [
                Finding("storage", f"{out} does not give back what was written", "bad")
            ]
            return
        self.findings = [
            Finding("storage", f"{out} is writable ({1000 * (time.monotonic() - begin):.0f} ms)")
        ]
        if not isinstance(self._store, Remote):
            self.path = str((Path(str(out)) / ".doctor" / "probe").resolve())

    def __enter__(self) -> "_Probe":
        return self

    def __exit__(self, *error: object) -> None:
        if self._store is not None:
            self._store.delete(".doctor")
        if self._made is not None:
            with contextlib.suppress(OSError):  # there is something in it now
                self._made.rmdir()


def _storage(out: Path | Location | None) -> Iterator[Finding]:
    with _Probe(out) as probe:
        yield from probe.findings
