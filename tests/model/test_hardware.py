"""Torch is set up to use the cores available, to keep memory between steps, and to compute the same each time."""

import resource

import pytest
import torch

from malaria.core.workers import count_cores
from malaria.model.hardware import count_threads, describe_device, pick_precision, prepare

CORES = count_cores()


@pytest.mark.parametrize(
    ("omp", "processes", "threads"),
    [
        (None, None, CORES),
        ("3", None, 3),
        ("0", None, CORES),
        ("many", None, CORES),
        ("", None, CORES),
        ("1", "2", max(1, CORES // 2)),  # torchrun sets it to 1 by itself
        (None, str(2 * CORES), 1),
    ],
)
def test_threads_are_the_cores_or_what_omp_num_threads_says_and_processes_share_them(
    omp: str | None, processes: str | None, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("OMP_NUM_THREADS", omp), ("LOCAL_WORLD_SIZE", processes)):
        monkeypatch.setenv(name, value) if value is not None else monkeypatch.delenv(name, raising=False)
    assert count_threads() == threads
    total = threads * int(processes or 1)
    assert describe_device(torch.device("cpu")).startswith(f"{CORES} " if total == CORES else f"{total} threads on ")
    prepare(0)
    assert torch.get_num_threads() == threads


def test_the_seed_decides_and_operations_are_deterministic() -> None:
    prepare(3)
    first = torch.rand(2)
    prepare(3)
    assert torch.equal(torch.rand(2), first)
    assert torch.are_deterministic_algorithms_enabled()


def test_memory_that_is_freed_is_kept_for_the_next_step() -> None:
    torch.ones(2**24)  # 64 MB
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(2**24)
    fetched = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    assert fetched < 20 * 16384 / 2  # its pages each time would be all of this; kept, it takes a few to settle


@pytest.mark.parametrize(
    ("able", "expected"), [({}, "fp32"), ({"avx512_bf16": True}, "bf16"), ({"amx_bf16": True}, "bf16")]
)
def test_auto_is_bf16_where_the_processor_has_it(
    able: dict[str, bool], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    assert pick_precision("auto", torch.device("cpu")) == expected
    assert pick_precision("fp32", torch.device("cpu")) == "fp32"
