"""What does a prediction cost, by architecture and size? `uv run python bench/inference.py`

Times the forward pass in fp32 of each architecture, one cell at a time and many at once, and prints how many times
cheaper a cell is among many. Writes malaria/report/inference.csv, which the report shows: timings are committed from a
run of this script, because a stage that measured them would never make the same bytes twice.
"""

from pathlib import Path

import pandas as pd
import torch

from bench.timing import fastest
from malaria.core.artifacts import write_csv
from malaria.model.hardware import describe_device, pick_device, prepare
from malaria.model.network import build_model, normalisation
from malaria.params import modules_in

TABLE = Path("malaria/report/inference.csv")
SIZES = (64, 96, 128, 224)  # px
MANY = 64  # cells at once


@torch.inference_mode()
def time_network(arch: str, size: int, device: torch.device) -> tuple[float, float]:
    """Milliseconds of a cell alone, and of one among many."""
    model = build_model(arch, size, "balance", *normalisation(arch)).to(device).eval()
    cells = torch.rand(MANY, 3, size, size, device=device)
    alone, many = (1000 * fastest(lambda batch=batch: model(batch).cpu()) for batch in (cells[:1], cells))
    return alone, many / MANY


def main() -> None:
    prepare(0)
    hardware = describe_device(device := pick_device())
    print(f"{hardware}\n{'arch':<20}{'px':>5}{'ms alone':>10}{f'ms of {MANY}':>10}{'ratio':>8}")
    rows = []
    for arch in modules_in("architectures"):
        for size in SIZES:
            alone, many = time_network(arch, size, device)
            print(f"{arch:<20}{size:>5}{alone:>10.2f}{many:>10.2f}{alone / many:>8.1f}", flush=True)
            rows.append({"arch": arch, "size": size, "hardware": hardware, "ms_alone": alone, "ms_of_many": many})
    write_csv(TABLE, pd.DataFrame(rows).round(2))


if __name__ == "__main__":
    main()
