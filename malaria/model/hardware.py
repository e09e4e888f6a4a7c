"""The hardware that torch computes on: device, precision, threads, determinism."""

import ctypes
import os
import platform
import re
from pathlib import Path
from typing import Literal

import torch

from malaria.core.workers import count_cores
from malaria.params import Precision

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


def pick_device() -> torch.device:
    """CUDA where available, under torchrun the device of this process's local rank; else the CPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))


def describe_device(device: torch.device) -> str:
    """The hardware in words: "2 cores of AMD EPYC 9B14", or the name of the GPU.

    A number of threads other than that of the cores is named too, since the last bits of the weights depend on it.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = count_threads() * _processes()
    return f"{'' if threads == count_cores() else f'{threads} threads on '}{count_cores()} cores of {_name_processor()}"


def _name_processor() -> str:
    """The model of the processor on Linux, elsewhere its architecture."""
    listed = Path("/proc/cpuinfo")
    name = re.search(r"^model name\s*: (.+)$", listed.read_text(), re.MULTILINE) if listed.exists() else None
    return name[1] if name else platform.processor() or platform.machine()


def pick_precision(wanted: Literal["auto"] | Precision, device: torch.device) -> Precision:
    """The precision that is wanted, or for "auto" bf16 where the hardware multiplies it at full speed."""
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    able = torch.cpu.get_capabilities()
    return "bf16" if able.get("avx512_bf16") or able.get("amx_bf16") else "fp32"


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """A context in which convolutions and matrix products run in bf16, if that is the precision."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def count_threads() -> int:
    """Threads of this process: OMP_NUM_THREADS, else one a core.

    Processes of torchrun divide the cores among them: it sets OMP_NUM_THREADS to 1 by itself.
    """
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if _processes() == 1 and asked.isdecimal() and int(asked) > 0:
        return int(asked)
    return max(1, count_cores() // _processes())


def _processes() -> int:
    """Processes of this training on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1))


def prepare(seed: int) -> None:
    """Set up torch: threads, memory that is kept between steps, determinism, the seed."""
    torch.set_num_threads(count_threads())
    _keep_memory()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # or cuBLAS refuses to be deterministic
    torch.manual_seed(seed)
    torch.set_deterministic_debug_mode("error")  # use_deterministic_algorithms imports torch's compiler too: 2 seconds
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # costs time
    torch.backends.cudnn.benchmark = False


def _keep_memory() -> None:
    """Have glibc keep what one step frees for the next, which would otherwise fault it in page by page."""
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, 2**30)  # bytes, from which a piece is mapped alone and unmapped when freed
        libc.mallopt(_M_TRIM_THRESHOLD, -1)  # never
