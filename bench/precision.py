"""What do bf16, the memory layout and torch.compile give? `uv run python bench/precision.py`

Times training steps of the network that params.yaml asks for on one batch, forward, backward and optimizer, in each
precision and layout and compiled, by turns. Prints milliseconds and the ratio to what train does, and after how many
steps compiling would have paid for the time that it takes.
"""

from statistics import median

import torch
from torch import nn

from bench.timing import Work, by_turns, seconds
from malaria.model import hardware
from malaria.model.trainer import make_optimizer
from malaria.model.weights import build_from_config, make_config
from malaria.params import Params, Precision, load_params

TURNS = 25
LAYOUTS = {"channels last": torch.channels_last, "channels first": torch.contiguous_format}


def stepper(params: Params, precision: Precision, layout: torch.memory_format, compiled: bool = False) -> Work:
    """A function that makes one step."""
    device, size = hardware.pick_device(), params.preprocess.size
    model = build_from_config(make_config(params.train, params.preprocess, precision)).to(device)
    model = model.to(memory_format=layout)
    forward = torch.compile(model) if compiled else model
    optimizer = make_optimizer(model, params.train)
    batch = torch.rand(params.train.batch_size, 3, size, size, device=device)
    labels = (torch.arange(len(batch), device=device) % 2).float()

    def step() -> None:
        with hardware.autocast(device, precision):
            logits = forward(batch).float()
        loss = nn.functional.binary_cross_entropy_with_logits(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()

    return step


def main() -> None:
    hardware.prepare(0)
    params, device = load_params(), hardware.pick_device()
    ours = hardware.pick_precision("auto", device)
    steps: dict[str, Work] = {
        f"{precision}, {name}": stepper(params, precision, layout)
        for precision in ("bf16", "fp32")
        for name, layout in LAYOUTS.items()
    }
    steps["compiled"] = stepper(params, ours, torch.channels_last, compiled=True)
    first = {name: seconds(step) for name, step in steps.items()}
    times = {name: median(taken) for name, taken in by_turns(steps, TURNS).items()}
    default = times[f"{ours}, channels last"]
    print(f"{params.train.arch}, {params.train.batch_size} cells, on {hardware.describe_device(device)}")
    for name, each in times.items():
        print(f"{name:<22}{1e3 * each:7.1f} ms{each / default:7.2f}   first step {first[name]:5.1f} s")
    if (saved := default - times["compiled"]) > 0:
        print(f"compiling pays after {first['compiled'] / saved:.0f} steps")


if __name__ == "__main__":
    main()
