"""Processor cores, and pools of processes that use them."""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import wait
from pathlib import Path
from signal import SIG_IGN, SIGINT, signal
from threading import Thread


def count_cores() -> int:
    """Processor cores this process may use: the smaller of its CPU affinity and its control group's quota."""
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


def start_pool(workers: int) -> ProcessPoolExecutor:
    """A pool of processes that ignore Ctrl-C and end when their parent does, even if it is killed.

    They are spawned: a fork would copy locks that other threads, such as torch's, may hold.
    """
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _follow_parent)


def _follow_parent() -> None:
    signal(SIGINT, SIG_IGN)
    Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        wait([parent.sentinel])
        os._exit(1)
