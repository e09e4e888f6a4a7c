"""Torch made ready: the cores that we may use, memory that is kept, the same bits each time."""

import resource

import pytest
import torch

from malaria.compute import prepare
from malaria.machine import count_cores


def test_the_threads_are_the_cores_that_we_may_use_and_of_several_processes_a_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prepare(0)
    assert torch.get_num_threads() == count_cores()
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(count_cores()))
    prepare(0)
    assert torch.get_num_threads() == 1
    monkeypatch.delenv("LOCAL_WORLD_SIZE")
    prepare(0)


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
