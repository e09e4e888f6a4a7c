"""A training that was broken off goes on: its whole state after each epoch, in one file, and what it is the state of.

The file is safetensors, the rest JSON in its header: no pickle, and every bit comes back as it was, so that a training
that was broken off ends with the weights of one that was not.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from malaria import parallel
from malaria.files import write_bytes
from malaria.trainer import Trainer


def make_key(facts: Any, files: Iterable[Path]) -> str:
    """What a state belongs to: params and machine, as JSON can say them, and the content of files of data and code."""
    sums = {}
    for path in files:
        with path.open("rb") as file:
            sums[str(path)] = hashlib.file_digest(file, "sha256").hexdigest()
    return hashlib.sha256(json.dumps([facts, sums], sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Checkpoint:
    """A file that has the state of a training of one key, or none."""

    path: Path
    key: str

    def save(self, trainer: Trainer) -> None:
        """In place of the state of the epoch before; one process a machine writes."""
        if parallel.first_here():
            tensors, rest = _take_state(trainer)
            write_bytes(self.path, save(tensors, {"key": self.key, "rest": json.dumps(rest)}))

    def restore(self, trainer: Trainer) -> bool:
        """Bring a new trainer into the state that was saved; False if there is none of this key, in each process."""
        saved = self._read()
        if not parallel.agree(len(saved[1]["history"]) if saved else 0):
            return False
        assert saved
        _put_state(trainer, *saved)
        return True

    def remove(self) -> None:
        """When the training has ended."""
        if parallel.first_here():
            self.path.unlink(missing_ok=True)

    def _read(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The state, unless it is of another training, or damaged."""
        try:
            with safe_open(self.path, "pt") as file:
                header = file.metadata() or {}
                if header.get("key") != self.key:
                    return None
                return {name: file.get_tensor(name) for name in file.keys()}, json.loads(header["rest"])  # noqa: SIM118
        except (FileNotFoundError, SafetensorError):
            return None


def _take_state(trainer: Trainer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors by name, and all that JSON can hold."""
    optimizer = trainer.optimizer.state_dict()
    tensors = {f"model.{name}": tensor for name, tensor in trainer.model.state_dict().items()}
    tensors |= {f"best.{name}": tensor for name, tensor in trainer.best.items()}
    tensors |= {f"optimizer.{n}.{name}": t for n, state in optimizer["state"].items() for name, t in state.items()}
    tensors |= {f"random.{name}": random.get_state() for name, random in _generators(trainer).items()}
    rest = {
        "groups": optimizer["param_groups"],
        "schedule": trainer.schedule.state_dict(),
        "history": trainer.history,
    }
    return {name: tensor.contiguous() for name, tensor in tensors.items()}, rest


def _put_state(trainer: Trainer, tensors: dict[str, Tensor], rest: dict[str, Any]) -> None:
    parts = {name: _part(tensors, name) for name in ("model", "best", "optimizer", "random")}
    trainer.model.load_state_dict(parts["model"])
    trainer.best = parts["best"]
    trainer.history = rest["history"]
    trainer.schedule.load_state_dict(rest["schedule"])
    trainer.optimizer.load_state_dict({"state": {}, "param_groups": rest["groups"]})
    weights = [weight for group in trainer.optimizer.param_groups for weight in group["params"]]
    for name, tensor in parts["optimizer"].items():
        number, _, key = name.partition(".")
        trainer.optimizer.state[weights[int(number)]][key] = _like(weights[int(number)], tensor)
    for name, random in _generators(trainer).items():
        random.set_state(parts["random"][name])


def _part(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """Those whose names begin so, without it."""
    return {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}


def _like(weight: Tensor, tensor: Tensor) -> Tensor:
    """Laid out in memory as the weight that it belongs to (safetensors knows one order), if it has its shape."""
    return torch.empty_like(weight).copy_(tensor) if tensor.shape == weight.shape else tensor.to(weight.device)


def _generators(trainer: Trainer) -> dict[str, torch.Generator]:
    """Ours, and torch's own, from which dropout draws."""
    device = trainer.random.device
    own = torch.cuda.default_generators[device.index or 0] if device.type == "cuda" else torch.default_generator
    return {"cells": trainer.random, "torch": own}
