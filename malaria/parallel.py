"""Training on several devices or machines: a process each, and torch's DistributedDataParallel between them.

Each process takes its share of every batch, and gradients are averaged, so a batch has the same cells and the same
step as on one device. Batch norm is the exception: each process normalises by its own share of a batch, and what it
remembers for later is from the first process; so leave each some 32 cells or more.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from malaria.errors import UserError
from malaria.machine import count_cores

TIMEOUT = timedelta(minutes=10)  # how long to wait for another process that is alive and does not answer


def launched() -> bool:
    """Is this one of the processes that `launch` or torchrun started?"""
    return dist.is_torchelastic_launched()


def launch(module: str, devices: int) -> None:
    """Run `python -m module` in as many processes on this machine, as torchrun does.

    Raises:
        UserError: there are fewer devices, or a process failed or was killed; the others have then been stopped.
    """
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    found, kind = (torch.cuda.device_count(), "GPUs") if torch.cuda.is_available() else (count_cores(), "cores")
    if devices > found:
        raise UserError(f"train.devices={devices}: this machine has {found} {kind}; take as many or fewer")
    config = LaunchConfig(
        1, 1, devices, rdzv_backend="c10d", rdzv_endpoint="localhost:0", max_restarts=0, run_id="train"
    )
    try:
        elastic_launch(config, sys.executable)("-m", module)
    except ChildFailedError as error:
        # of several that failed together, one that was killed is the cause
        failure = min(error.failures.values(), key=lambda of: (of.exitcode >= 0, of.timestamp))
        how = f"signal {-failure.exitcode}" if failure.exitcode < 0 else f"status {failure.exitcode}, see above"
        raise UserError(
            f"training stopped: process {failure.local_rank} of {devices} ended with {how}; the others were stopped too"
        ) from None


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Within, this process is one of those that were launched, if any were.

    Raises:
        UserError: another one of them cannot be reached any more.
    """
    if not launched():
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=TIMEOUT)
    try:
        yield
    except RuntimeError as error:
        if "gloo" in str(error) or isinstance(error, dist.DistError):
            raise UserError(f"process {rank()} has lost another one: {error}") from None
        raise
    finally:
        dist.destroy_process_group()


def rank() -> int:
    """Which of the processes this is, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def shard(rows: Tensor) -> Tensor:
    """Those of some rows that are this process's to work on."""
    return rows[rank() :: world_size()]


def gather(part: Tensor, total: int) -> Tensor:
    """The results for all rows, of which each process gives those for its share; on the CPU."""
    if world_size() == 1:
        return part
    whole = torch.zeros(total, dtype=part.dtype, device=_meeting_place())
    whole[rank() :: world_size()] = part.to(whole.device)
    dist.all_reduce(whole)  # a sum, in which the others have 0
    return whole.cpu()


def agree(number: int) -> bool:
    """Whether each process has the same number, and it is not 0."""
    if world_size() == 1:
        return number > 0
    ends = torch.tensor([number, -number], device=_meeting_place())
    dist.all_reduce(ends, dist.ReduceOp.MIN)
    least, most = ends[0].item(), -ends[1].item()
    return least == most > 0


def first_here() -> bool:
    """Whether this is the first process on its machine."""
    return int(os.environ.get("LOCAL_RANK", 0)) == 0


def _meeting_place() -> torch.device:
    """Where tensors have to be for the processes to exchange them."""
    return torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")


def mean(value: Tensor) -> Tensor:
    """The mean of what each process has."""
    if world_size() > 1:
        dist.all_reduce(value)
    return value / world_size()


def distribute(model: nn.Module) -> nn.Module:
    """The model with its gradients averaged over the processes; made anew when other weights are to be trained."""
    return model if world_size() == 1 else DistributedDataParallel(model)
