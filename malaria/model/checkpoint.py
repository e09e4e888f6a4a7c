"""The state of a training after each epoch, so that one that was interrupted resumes and ends with the same weights.

The file is safetensors, with JSON in its header: no pickle, and every bit is restored.
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

from malaria.core.artifacts import write_bytes
from malaria.model import parallel
from malaria.model.trainer import Trainer


def make_key(facts: Any, files: Iterable[Path]) -> str:
    """A hash of what has to be the same for a training to resume: facts (JSON), and the content of files."""
    sums = {}
    for path in files:
        with path.open("rb") as file:
            sums[str(path)] = hashlib.file_digest(file, "sha256").hexdigest()
    return hashlib.sha256(json.dumps([facts, sums], sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Checkpoint:
    """A file with the state of the training that the key stands for, if there is one."""

    path: Path
    key: str

    def save(self, trainer: Trainer) -> None:
        """Replace the state of the epoch before; the first process of each machine writes."""
        if parallel.first_here():
            tensors, rest = _take_state(trainer)
            write_bytes(self.path, save(tensors, {"key": self.key, "rest": json.dumps(rest)}))

    def restore(self, trainer: Trainer) -> bool:
        """Bring a new trainer into the state that was saved; False unless each process has one of this key."""
        saved = self._read()
        if not parallel.agree(len(saved[1]["history"]) if saved else 0):
            return False
        assert saved
        _put_state(trainer, *saved)
        return True

    def remove(self) -> None:
        """Remove the file: the training is complete."""
        if parallel.first_here():
            self.path.unlink(missing_ok=True)

    def _read(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The state, or None if it is missing, damaged or of another training."""
        try:
            with safe_open(self.path, "pt") as file:
                header = file.metadata() or {}
                if header.get("key") != self.key:
                    return None
                return {name: file.get_tensor(name) for name in file.keys()}, json.loads(header["rest"])  # noqa: SIM118
        except (FileNotFoundError, SafetensorError):
            return None


def _take_state(trainer: Trainer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The state as tensors by name, and as JSON."""
    optimizer = trainer.optimizer.state_dict()
    tensors = {f"model.{name}": tensor for name, tensor in trainer.model.state_dict().items()}
    averaged = trainer.averaged.state_dict() if trainer.averaged else {}
    tensors |= {f"averaged.{name}": tensor for name, tensor in averaged.items()}
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
    parts = {name: _part(tensors, name) for name in ("model", "averaged", "best", "optimizer", "random")}
    trainer.model.load_state_dict(parts["model"])
    if parts["averaged"]:
        trainer.begin_robust().load_state_dict(parts["averaged"])
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
    if parallel.rank() > 0:  # the states are the first process's, whose numbers would then be drawn twice
        seed = trainer.params.seed + parallel.rank() + parallel.world_size() * len(trainer.history)
        for random in _generators(trainer).values():
            random.manual_seed(seed)


def _part(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """The tensors whose names begin with a prefix, without it."""
    return {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}


def _like(weight: Tensor, tensor: Tensor) -> Tensor:
    """In the memory format of the weight it belongs to, which safetensors does not keep, if it has its shape."""
    return torch.empty_like(weight).copy_(tensor) if tensor.shape == weight.shape else tensor.to(weight.device)


def _generators(trainer: Trainer) -> dict[str, torch.Generator]:
    """The trainer's generator, and torch's own, from which dropout draws."""
    device = trainer.random.device
    own = torch.cuda.default_generators[device.index or 0] if device.type == "cuda" else torch.default_generator
    return {"cells": trainer.random, "torch": own}
