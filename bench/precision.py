"""What do bf16, the layout and torch.compile give? `uv run python bench/precision.py`

Times training steps of the network that params.yaml asks for on one batch, forward, backward and optimizer, in each
precision and layout and compiled, by turns. Prints milliseconds and the ratio to the way train has it, and after how
many steps compiling would have paid for the time that it takes.
"""

import time
from collections.abc import Callable
from statistics import median

import torch
from torch import nn

from malaria.model import hardware as compute
from malaria.model.trainer import make_optimizer
from malaria.model.weights import build_from_config, make_config
from malaria.params import load_params

TURNS = 25
LAYOUTS = {"channels last": torch.channels_last, "channels first": torch.contiguous_format}


def stepper(model: nn.Module, trained: nn.Module, precision: str) -> Callable[[], None]:
    """A function that makes one step."""
    params = load_params()
    size, device = params.preprocess.size, next(model.parameters()).device
    batch = torch.rand(params.train.batch_size, 3, size, size, device=device)
    labels = (torch.arange(len(batch), device=device) % 2).float()
    optimizer = make_optimizer(model, params.train)

    def step() -> None:
        with compute.autocast(batch.device, precision):
            logits = trained(batch).float()
        loss = nn.functional.binary_cross_entropy_with_logits(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()

    return step


def seconds(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    params, device = load_params(), compute.pick_device()
    compute.prepare(0)
    ways: dict[str, Callable[[], None]] = {}
    for precision in ("bf16", "fp32"):
        config = make_config(params.train, params.preprocess, precision)
        for name, layout in LAYOUTS.items():
            model = build_from_config(config).to(device).to(memory_format=layout)
            ways[f"{precision}, {name}"] = stepper(model, model, precision)
    reference_quantiles = f"{compute.pick_precision('auto', device)}, channels last"
    model = build_from_config(config).to(device)
    ways["the first of these, compiled"] = stepper(model, torch.compile(model), compute.pick_precision("auto", device))
    first = {name: seconds(step) for name, step in ways.items()}
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(TURNS):
        for name, step in ways.items():
            taken[name].append(seconds(step))
    steps = {name: median(times) for name, times in taken.items()}
    print(f"{params.train.arch}, {params.train.batch_size} cells, on {compute.describe_device(device)}")
    for name, each in steps.items():
        print(
            f"{name:<30}{1e3 * each:7.1f} ms{each / steps[reference_quantiles]:7.2f}   first step {first[name]:5.1f} s"
        )
    *_, compiled = ways
    if (saved := steps[reference_quantiles] - steps[compiled]) > 0:
        print(f"compiling pays after {first[compiled] / saved:.0f} steps")


if __name__ == "__main__":
    main()
