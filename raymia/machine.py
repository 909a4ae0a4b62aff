"""What this machine has."""

import math
import os
from pathlib import Path


def cpus() -> int:
    """The CPUs that this process may use: those it is pinned to, less what its container
    withholds.
    """
    pinned = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(pinned, math.floor(int(quota) / int(period))))
    except (OSError, ValueError):  # no such file, or "max"
        return pinned


def here() -> dict[str, int]:
    """The CPUs and NVIDIA GPUs that this process may use; asks no driver, so that it costs
    nothing.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = sum(path.name[6:].isdigit() for path in Path("/dev").glob("nvidia*"))
    return {
        "cpu": cpus(),
        "gpu": gpus
        if visible is None
        else min(gpus, len([v for v in visible.split(",") if v.strip()])),
    }
