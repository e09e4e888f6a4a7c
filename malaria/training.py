"""The training loop: uint8 cells in, a network and its course out."""

from collections.abc import Iterator

from torch import nn

from malaria import parallel
from malaria.cells import Cells
from malaria.checkpoint import Checkpoint
from malaria.params import Train
from malaria.progress import progress
from malaria.trainer import Figures, Trainer


def train_epochs(
    model: nn.Module, cells: Cells, params: Train, precision: str, checkpoint: Checkpoint | None = None
) -> Iterator[Figures]:
    """Train the model in place, yielding the figures of each epoch: lr, and loss and accuracy on train and val.

    Of several processes each trains on its share of a batch. Once exhausted, the model holds the weights of the epoch
    that was best on val: the one of the lowest loss, which says more than accuracy does, that a few borderline cells
    decide. With a checkpoint it goes on after the last epoch that is in it, yielding the figures of those before anew.

    Raises:
        UserError: the loss is no number any more or far above chance, or a batch cannot be shared.
    """
    steps = max(1, len(cells.rows["train"]) // params.batch_size)  # an epoch; what is left over waits for the next
    trainer = Trainer(model, cells, params, precision, steps * params.epochs)
    if checkpoint and checkpoint.restore(trainer) and parallel.rank() == 0:
        print(f"going on after epoch {len(trainer.history)} of {params.epochs}")
    yield from trainer.history
    with progress(steps * params.epochs, "training", "batch", hidden=parallel.rank() > 0) as bar:
        bar.update(steps * len(trainer.history))
        for epoch in range(len(trainer.history) + 1, params.epochs + 1):
            figures = trainer.run_epoch(epoch, steps, bar)
            if checkpoint:
                checkpoint.save(trainer)
            if parallel.rank() == 0:
                bar.write(_say(epoch, params.epochs, figures))
            yield figures
    model.load_state_dict(trainer.best)


def _say(epoch: int, epochs: int, figures: dict[str, float]) -> str:
    return f"epoch {epoch}/{epochs}  " + "  ".join(f"{name} {value:.4g}" for name, value in figures.items())
