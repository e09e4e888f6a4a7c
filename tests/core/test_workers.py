"""Cores are those we may use, and the precision is one the hardware has."""

import os
import re
import subprocess
import sys

import pytest
import torch

from malaria.core import workers as machine
from malaria.core.workers import count_cores
from malaria.model.hardware import describe_device, pick_device, pick_precision


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux has affinity")
def test_a_process_bound_to_one_core_counts_one() -> None:
    code = "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]); from malaria.core import workers as machine as m; "
    run = subprocess.run([sys.executable, "-c", code + "print(m.count_cores())"], capture_output=True, text=True)
    assert run.stdout == "1\n", run.stderr


@pytest.mark.parametrize(("quota", "cores"), [(None, 4), (2, 2), (8, 4), (0, 1)])
def test_a_quota_lowers_the_count_to_one_at_least(
    quota: int | None, cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(machine, "_cgroup_cores", lambda: quota)
    assert count_cores() == cores


def test_precision_is_as_wanted_or_what_the_processor_has() -> None:
    cpu = torch.device("cpu")
    assert [pick_precision(wanted, cpu) for wanted in ("fp32", "bf16")] == ["fp32", "bf16"]
    assert pick_precision("auto", cpu) in ("fp32", "bf16")
    assert pick_device().type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_the_hardware_is_named_with_the_cores_that_it_lets_us_use() -> None:
    assert re.fullmatch(rf"{count_cores()} cores of \w.+", describe_device(torch.device("cpu")))
