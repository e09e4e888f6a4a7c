"""Torch made ready: the cores that we may use, memory that is kept, the same bits each time."""

import resource

import pytest
import torch

from malaria.core.workers import count_cores
from malaria.model.hardware import count_threads, describe_device, prepare


def test_the_threads_are_the_cores_that_we_may_use_and_of_several_processes_a_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    prepare(0)
    assert torch.get_num_threads() == count_cores()
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(count_cores()))
    prepare(0)
    assert torch.get_num_threads() == 1
    monkeypatch.delenv("LOCAL_WORLD_SIZE")
    prepare(0)


def test_omp_num_threads_is_heeded_unless_torchrun_may_have_set_it(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    for asked, threads in (("3", 3), ("0", count_cores()), ("many", count_cores()), ("", count_cores())):
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
        assert count_threads() == threads
        assert describe_device(cpu).startswith(f"{'' if threads == count_cores() else '3 threads on '}{count_cores()} ")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(2 * count_cores()))
    assert count_threads() == 1
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert count_threads() == max(1, count_cores() // 2)


def test_the_seed_decides_and_what_has_no_deterministic_way_is_refused() -> None:
    prepare(3)
    first = torch.rand(2)
    prepare(3)
    assert torch.equal(torch.rand(2), first)
    assert torch.are_deterministic_algorithms_enabled()


def test_memory_that_is_freed_is_kept_for_the_next_step() -> None:
    prepare(0)
    torch.ones(2**24)  # 64 MB
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(2**24)
    fetched = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    assert fetched < 20 * 16384 / 2  # its pages each time would be all of this; kept, it takes a few to settle
