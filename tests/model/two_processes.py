"""What each process of torchrun does in test_parallel.py: it trains, and writes what it saw to FOLDER/RANK.pt.

python -m torch.distributed.run --standalone --nproc-per-node 2 -m tests.model.two_processes FOLDER
"""

import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import torch.distributed as dist

from malaria.model import parallel, trainer
from malaria.model.checkpoint import Checkpoint
from malaria.model.hardware import prepare
from malaria.model.trainer import Trainer
from malaria.params import Train
from tests.support.models import fit, make_cells, train_params

# no batch norm, which sees half a batch, and no Adam, which makes a step of any rounding error
PLAIN = train_params(arch="simple_cnn", augment="none", optimizer="sgd", epochs=3)
FLIPS = train_params(augment="flips")  # small_resnet, which has batch norm


def main(folder: Path) -> None:
    with parallel.process_group(torch.device("cpu")):
        prepare(parallel.rank())
        model, metrics = fit(PLAIN, make_cells(64, 16))
        resumed = interrupt(PLAIN, Checkpoint(folder / "plain.safetensors", "key"))
        seen = {"metrics": metrics, "weights": model.state_dict(), "resumed": resumed.state_dict()}
        seen |= watch(Checkpoint(folder / "flips.safetensors", "key"))
        seen["dropout"] = torch.rand(8)  # of torch's own generator, after a resume
        torch.save(seen, folder / f"{parallel.rank()}.pt")


def interrupt(params: Train, checkpoint: Checkpoint) -> torch.nn.Module:
    """Train for an epoch, then resume as new processes would."""
    fit(params, make_cells(64, 16), checkpoint, stop_after=1)
    dist.barrier()  # the first process has written
    torch.manual_seed(99)
    return fit(params, make_cells(64, 16), checkpoint)[0]


def watch(checkpoint: Checkpoint) -> dict[str, list[Any]]:
    """The orders of the cells, the cells after augmentation, and the buffers that validate, by call."""
    seen: dict[str, list[Any]] = {"orders": [], "augmented": [], "buffers": []}
    shuffle, augment, predict = Trainer.shuffle, trainer.augment, trainer.predict_logits

    def record_order(self: Trainer) -> Any:
        seen["orders"].append(batches := shuffle(self))
        return batches

    def record_batch(pixels: Any, labels: Any, *rest: Any) -> Any:
        pixels[:] = make_cells(1, 1).pixels[0]  # so that all that differs is drawn
        batch, labels = augment(pixels, labels, *rest)
        seen["augmented"].append(batch.clone())
        return batch, labels

    def record_buffers(model: torch.nn.Module, *rest: Any) -> Any:
        seen["buffers"].append([buffer.clone() for buffer in model.buffers()])
        return predict(model, *rest)

    with (
        patch.object(Trainer, "shuffle", record_order),
        patch.object(trainer, "augment", record_batch),
        patch.object(trainer, "predict_logits", record_buffers),
    ):
        interrupt(FLIPS, checkpoint)
    return seen


if __name__ == "__main__":
    main(Path(sys.argv[1]))
