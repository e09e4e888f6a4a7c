"""What this machine lets a stage use."""

import os
from pathlib import Path


def count_cores() -> int:
    """Processor cores this process may use: by its affinity and its control group, not by what the host has."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cgroup_cores()
    return affinity if quota is None else max(1, min(affinity, quota))


def _cgroup_cores() -> int | None:
    """Whole cores of the control group's quota (Linux, cgroup v2), or None where there is none."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return None
    return None if quota == "max" else int(quota) // int(period)
