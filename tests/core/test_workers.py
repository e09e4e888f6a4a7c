"""Cores are those we may use; worker processes begin with nothing of their parent's and end with it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from malaria.core import workers
from malaria.core.workers import count_cores, start_pool
from tests.support.scratch import ROOT, wait_for

POOL = """
import os, time
from malaria.core.workers import start_pool
if __name__ == "__main__":
    pool = start_pool(1)
    print(pool.submit(os.getpid).result(), flush=True)
    pool.submit(time.sleep, 600)
    time.sleep(600)
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux has affinity")
def test_a_process_bound_to_one_core_counts_one() -> None:
    bound = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, [min(bound)])
        assert count_cores() == 1
    finally:
        os.sched_setaffinity(0, bound)


@pytest.mark.parametrize(("quota", "cores"), [(None, 4), (2, 2), (8, 4), (0, 1)])
def test_a_quota_lowers_the_count_to_one_at_least(
    quota: int | None, cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(workers, "_cgroup_cores", lambda: quota)
    assert count_cores() == cores


def test_workers_are_spawned_not_forked_and_ignore_ctrl_c() -> None:
    with start_pool(1) as pool:
        assert not pool.submit(eval, "'pytest' in __import__('sys').modules").result()  # as a fork's would be
        os.kill(pool.submit(os.getpid).result(), signal.SIGINT)
        assert pool.submit(abs, -1).result() == 1


@pytest.mark.skipif(not Path("/proc").exists(), reason="needs Linux's /proc")
def test_a_worker_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(POOL)
    command, environment = [sys.executable, tmp_path / "main.py"], os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        worker = int(parent.stdout.readline())
        assert _runs(worker)
        parent.kill()
    wait_for(lambda: not _runs(worker), seconds=20)


def _runs(pid: int) -> bool:
    """Whether there is such a process, and it has not ended without anybody having asked how."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
