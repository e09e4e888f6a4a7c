"""Where and how torch computes: device, precision, threads, determinism."""

import os
import platform
import re
from pathlib import Path

import torch

from malaria.machine import count_cores


def pick_device() -> torch.device:
    """CUDA when there is one, of several the one that torchrun gave this process, else the processor."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))


def describe_device(device: torch.device) -> str:
    """What a reader should know of the hardware: "2 cores of AMD EPYC 9B14", or the name of the GPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{count_cores()} cores of {_name_processor()}"


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


def make_deterministic(seed: int) -> None:
    """Seed torch and have it take only algorithms that give the same bits each time, on all the cores we may use.

    Processes that torchrun has started here divide the cores among them.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # or cuBLAS refuses to be deterministic
    torch.set_num_threads(max(1, count_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", 1))))
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
