"""What does a prediction cost, by architecture and size? `uv run python bench/inference.py`

Times the forward pass in fp32 of each architecture, one cell at a time and many at once, and prints how many times
cheaper a cell is among many. Writes bench/inference.csv, which the report shows: timings are committed from a run of
this script, because a stage that measured them would never make the same bytes twice.
"""

import time
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn

from malaria.model.hardware import describe_device, pick_device, prepare
from malaria.model.network import ARCHITECTURES, build_model

SIZES = (64, 96, 128, 224)  # px
MANY = 64  # cells at once
SECONDS = 1.0  # to time each for, at the least


def milliseconds(model: nn.Module, batch: Tensor) -> float:
    """A cell, at the fastest of several passes: what is slower is the machine's other work."""
    times, began = [], time.perf_counter()
    while len(times) < 3 or time.perf_counter() - began < SECONDS:
        start = time.perf_counter()
        model(batch).cpu()
        times.append(time.perf_counter() - start)
    return min(times) / len(batch) * 1000


@torch.inference_mode()
def main() -> None:
    device = pick_device()
    prepare(0)
    hardware = describe_device(device)
    rows = []
    print(f"{hardware}\n{'arch':<16}{'px':>5}{'ms alone':>10}{f'ms of {MANY}':>10}{'ratio':>8}")
    for arch, architecture in ARCHITECTURES.items():
        for size in SIZES:
            model = build_model(arch, size, "balance", architecture.mean, architecture.std).to(device).eval()
            cells = torch.rand(MANY, 3, size, size, device=device)
            alone, many = milliseconds(model, cells[:1]), milliseconds(model, cells)
            print(f"{arch:<16}{size:>5}{alone:>10.2f}{many:>10.2f}{alone / many:>8.1f}", flush=True)
            rows.append({"arch": arch, "size": size, "hardware": hardware, "ms_alone": alone, "ms_of_many": many})
    Path("bench/inference.csv").write_text(pd.DataFrame(rows).round(2).to_csv(index=False), "utf-8")


if __name__ == "__main__":
    main()
