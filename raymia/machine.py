"""What this machine has."""

import ctypes
import math
import os
from contextlib import suppress
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


def multiplies_bf16() -> bool:
    """Whether the processor multiplies bfloat16 itself; False where nobody tells."""
    try:
        told = Path("/proc/cpuinfo").read_text()
        return "amx_bf16" in told or "avx512_bf16" in told
    except OSError:
        return False


def keep_memory() -> None:
    """Asks glibc to keep freed blocks of up to 32 MB for the next step, where it would give each
    back to the system and clear it anew: a sixth of a small network's time. Elsewhere nothing.
    """
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(-3, 32 << 20)  # M_MMAP_THRESHOLD
        libc.mallopt(-1, 256 << 20)  # M_TRIM_THRESHOLD
