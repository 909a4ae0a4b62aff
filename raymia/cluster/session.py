"""Ray for one run: the cluster that `RAY_ADDRESS` names is joined, else one is started here and
taken down again.
"""

import contextlib
import logging
import os
import signal
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from raymia.cluster import local
from raymia.cluster.aside import aside
from raymia.cluster.capacity import Node, at_once, reachable
from raymia.cluster.interrupt import Stop, Stopped, no_signal_lost, still_heard
from raymia.cluster.vigil import Vigil
from raymia.errors import EnvironmentFault, RaymiaError, SweepError
from raymia.study.sweep import Resources


@dataclass(frozen=True)
class Session:
    """A cluster that is there: its nodes at its largest, and the register of the processes of
    this run, None where the cluster is not ours.
    """

    nodes: tuple[Node, ...]
    register: str | None

    @property
    def cpus(self) -> int:
        return max(1, int(sum(node.get("CPU", 0) for node in self.nodes)))


@contextlib.contextmanager
def session(
    asked: Resources, folder: Path, data_bytes: int, stop: Stop | None = None
) -> Iterator[Session]:
    """A running Ray that can schedule a trial; `stop` learns where it is gone.

    Raises SweepError where it never could, EnvironmentFault where the cluster cannot be
    reached, Stopped where a SIGTERM came before the caller took the signals again.
    """
    address, was_running = os.environ.get("RAY_ADDRESS", ""), ray.is_initialized()
    ours = address in ("", "local") and not was_running
    environment = local.environment(folder) if ours else {}
    settings = local.settings(asked, folder, data_bytes) if ours else {}
    with (
        aside(folder.with_suffix(".log")),
        local.surrounded(environment | local.TUNE),
        local.on_loopback() if ours else contextlib.nullcontext(),
        contextlib.ExitStack() as later,
    ):
        try:
            if not was_running:
                watch = later.enter_context(Vigil(stop, folder, ours))
                later.callback(_leave)
                later.callback(watch.rest)
                _start(settings, address, folder)
            # what went wrong stands in the rows
            logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
            yield Session(_nodes(asked, ours), str(folder / "processes") if ours else None)
        except SystemExit:  # Ray's own handler of SIGTERM, which stands from the start of Ray on
            raise Stopped(signal.SIGTERM) from None
        except (ConnectionError, ray.exceptions.AuthenticationError) as error:
            reason = " ".join(str(error).split())[:300]
            raise EnvironmentFault(
                f"the Ray cluster at {address or 'this machine'} cannot be used: {reason}"
            ) from error


def _leave() -> None:
    with still_heard(signal.SIGTERM):
        ray.shutdown()


def _nodes(asked: Resources, ours: bool) -> tuple[Node, ...]:
    """Those that are there, and those that an autoscaler may add. Raises SweepError where a
    trial could never start.
    """
    present = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    nodes, growing = (tuple(present), False) if ours else reachable(present, asked)
    try:
        at_once(asked, nodes, growing)
    except SweepError as refusal:
        if ours or growing:
            raise
        hint = "if the cluster grows by itself, say how far: RAYMIA_MAX_NODES=8:CPU=4,GPU=1"
        raise SweepError(f"{refusal}; {hint}") from None
    return nodes


def _start(settings: Mapping[str, Any], address: str, folder: Path) -> None:
    """Ray puts the current folder on the workers' path, where a statistics.py of the user would
    stand before Python's own: so it is started in an empty one.
    """
    _answers(address)
    empty = folder / "empty"
    empty.mkdir(exist_ok=True)
    logging.getLogger("ray").setLevel(logging.ERROR)  # says that the token is on
    try:
        with no_signal_lost(signal.SIGTERM), contextlib.chdir(empty):
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **settings)
    except RaymiaError:
        raise
    except Exception as error:  # of a node that is late Ray says it by a bare Exception
        reason = " ".join(str(error).split())[:300]
        what = (
            f"the Ray cluster at {address} cannot be joined"
            if address
            else "Ray cannot be started here"
        )
        raise EnvironmentFault(f"{what}: {reason}") from error


def _answers(address: str) -> None:
    """Ray tries a dead address for minutes, in silence. Raises EnvironmentFault where nobody
    listens there.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():  # "auto", say, which Ray resolves
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise EnvironmentFault(
            f"RAY_ADDRESS is {address}, and no cluster answers there ({why}); unset it to start "
            "Ray here, or give the address of a cluster that runs"
        ) from None
