"""A folder with a small network of random weights, to predict with."""

from pathlib import Path
from typing import Any

import torch
from cards import make_card
from evidence import recipe
from malaria.files import write_json
from malaria.model_files import build_network, save_weights


def make_model(folder: Path, arch: str = "small_resnet", size: int = 32, **changes: Any) -> Path:
    """model.safetensors and model.json, the card with changes."""
    torch.manual_seed(0)
    of = recipe(arch, size)
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(folder / "model.safetensors", build_network(of), of)
    write_json(folder / "model.json", make_card(of, **changes).model_dump())
    return folder
