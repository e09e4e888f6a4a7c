"""Where and how torch computes: device, precision, threads, determinism."""

import ctypes
import os
import platform
import re
from pathlib import Path

import torch

from malaria.machine import count_cores

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


def pick_device() -> torch.device:
    """CUDA when there is one, of several the one that torchrun gave this process, else the processor."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))


def describe_device(device: torch.device) -> str:
    """What a reader should know of the hardware: "2 cores of AMD EPYC 9B14", or the name of the GPU.

    Where OMP_NUM_THREADS asks for another number, that too: on it the last bits of the weights depend.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = count_threads() * _processes()
    return f"{'' if threads == count_cores() else f'{threads} threads on '}{count_cores()} cores of {_name_processor()}"


def _name_processor() -> str:
    """As Linux names it; elsewhere the kind."""
    listed = Path("/proc/cpuinfo")
    name = re.search(r"^model name\s*: (.+)$", listed.read_text(), re.MULTILINE) if listed.exists() else None
    return name[1] if name else platform.processor() or platform.machine()


def pick_precision(wanted: str, device: torch.device) -> str:
    """`bf16` or `fp32`: what was wanted, or for "auto" bf16 where the hardware multiplies it at full speed."""
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    able = torch.cpu.get_capabilities()
    return "bf16" if able.get("avx512_bf16") or able.get("amx_bf16") else "fp32"


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """A context in which convolutions and matrix products run in bf16, or one that changes nothing."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def count_threads() -> int:
    """Threads of this process: as many as OMP_NUM_THREADS asks for, else one a core that we may use.

    Processes that torchrun has started here divide the cores among them; it sets OMP_NUM_THREADS to 1, unasked.
    """
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if _processes() == 1 and asked.isdecimal() and int(asked) > 0:
        return int(asked)
    return max(1, count_cores() // _processes())


def _processes() -> int:
    """How many torchrun has started on this machine, or this one."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1))


def prepare(seed: int) -> None:
    """Make torch ready: all the cores we may use, memory that is kept, the same bits from the same seed."""
    torch.set_num_threads(count_threads())
    _keep_memory()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # or cuBLAS refuses to be deterministic
    torch.manual_seed(seed)
    torch.set_deterministic_debug_mode("error")  # use_deterministic_algorithms imports torch's compiler too: 2 seconds
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # costs time
    torch.backends.cudnn.benchmark = False


def _keep_memory() -> None:
    """Have glibc keep what one step frees for the next, which otherwise gets it back page by page."""
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, 2**30)  # bytes, from which a piece is mapped alone and unmapped when freed
        libc.mallopt(_M_TRIM_THRESHOLD, -1)  # never
