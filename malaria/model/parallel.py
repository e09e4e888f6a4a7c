"""Training by several processes under torchrun, with torch's DistributedDataParallel.

Each process takes its share of every batch and gradients are averaged, so that a step is that of one process on the
whole batch. Batch norm is the exception: each process normalises by its own share of a batch, and the running
statistics are those of the first process; leave each some 32 cells a step or more.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from malaria.core.errors import UserError

TIMEOUT = timedelta(minutes=10)  # how long to wait for another process that is alive and does not answer


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Join the processes of torchrun, if it started this one.

    Raises:
        UserError: another process cannot be reached any more.
    """
    if not dist.is_torchelastic_launched():
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
    """This process's share of some rows."""
    return rows[rank() :: world_size()]


def gather(part: Tensor, total: int) -> Tensor:
    """The results for all rows, on the CPU, of which each process has those of its share."""
    if world_size() == 1:
        return part
    full = torch.zeros(total, dtype=part.dtype, device=_communication_device())
    full[rank() :: world_size()] = part.to(full.device)
    dist.all_reduce(full)  # a sum, in which the others have 0
    return full.cpu()


def agree(number: int) -> bool:
    """Whether each process has the same number, and it is not 0."""
    if world_size() == 1:
        return number > 0
    ends = torch.tensor([number, -number], device=_communication_device())
    dist.all_reduce(ends, dist.ReduceOp.MIN)
    least, most = ends[0].item(), -ends[1].item()
    return least == most > 0


def first_here() -> bool:
    """Whether this is the first process on its machine."""
    return int(os.environ.get("LOCAL_RANK", 0)) == 0


def _communication_device() -> torch.device:
    """Where tensors have to be for the processes to exchange them."""
    return torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")


def broadcast(tensors: Iterable[Tensor]) -> None:
    """Give each process the first one's values."""
    if world_size() > 1:
        for tensor in tensors:
            dist.broadcast(tensor, 0)


def mean(value: Tensor) -> Tensor:
    """The mean of what each process has."""
    if world_size() > 1:
        dist.all_reduce(value)
    return value / world_size()


def distribute(model: nn.Module) -> nn.Module:
    """The model with its gradients averaged over the processes; to be called again when other weights train."""
    return model if world_size() == 1 else DistributedDataParallel(model)
