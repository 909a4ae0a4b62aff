"""A Ray of our own: what it is told, so that nobody else gets in.

Every server of it listens on loopback alone and asks for a token.
"""

import contextlib
import os
import secrets
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ray._private import ray_constants

from raymia import machine
from raymia.cluster.capacity import at_once
from raymia.study.sweep import Resources

_LEAST_STORE = 128 * 2**20  # Ray asks for 75 MB
# Without clusters, which is how Ray is on macOS and Windows, its address is 127.0.0.1 and each of
# its servers listens there; else all but a few listen on every interface.
_CLUSTERS = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"

TUNE = {
    "RAY_AIR_NEW_OUTPUT": "0",  # Tune's own tables
    # result.json, progress.csv and tfevents for each trial
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # ours commits and leaves
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",  # its snapshots are never read
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
}


def environment(folder: Path) -> dict[str, str]:
    """For a Ray of our own. A private token, unless one is given: Ray would leave one in the
    home folder.

    RAY_AUTH_MODE stays as it is: unset, `ray.init` turns tokens on itself, and setting it after
    Ray was imported does not.
    """
    out = {
        "OMP_NUM_THREADS": "1",  # more CPUs mean more processes
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # who asks for no GPU sees none
        "RAY_USAGE_STATS_ENABLED": "0",
        _CLUSTERS: "0",
    }
    if not {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys():
        token = folder / "token"
        token.touch(mode=0o600)
        token.write_text(_token())
        out["RAY_AUTH_TOKEN_PATH"] = str(token)
    return out


@cache
def _token() -> str:
    """One for this process: Ray reads its token once."""
    return secrets.token_hex(32)


def settings(asked: Resources, folder: Path, data_bytes: int) -> dict[str, Any]:
    """What `ray.init` is told. Raises SweepError before anything is started where a trial could
    never be.
    """
    here = {"CPU": float(machine.cpus()), "GPU": float(_gpus() if asked.gpu else 0)}
    at_once(asked, [here])
    return {
        "address": "local",
        "num_cpus": int(here["CPU"]),
        "num_gpus": int(here["GPU"]),
        "include_dashboard": False,
        "object_store_memory": max(_LEAST_STORE, 2 * data_bytes),
        "_temp_dir": str(folder / "ray"),  # a folder of its own: Ray opens it to everybody
    }


def _gpus() -> int:
    import torch

    return torch.cuda.device_count()


@contextlib.contextmanager
def surrounded(by: Mapping[str, str]) -> Iterator[None]:
    """With these environment variables."""
    # ray.init sets that one
    before = {key: os.environ.get(key) for key in (*by, "RAY_AUTH_MODE")}
    os.environ.update(by)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value


@contextlib.contextmanager
def on_loopback() -> Iterator[None]:
    """The same for this process, which read the variable when it imported Ray."""
    before, ray_constants.ENABLE_RAY_CLUSTER = ray_constants.ENABLE_RAY_CLUSTER, False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before
