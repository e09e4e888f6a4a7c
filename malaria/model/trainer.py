"""The training loop: uint8 cells in, the network of the best epoch and the metrics of each epoch out."""

from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import Generator, Tensor, nn, optim
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.optim.swa_utils import AveragedModel, update_bn
from tqdm import tqdm

from malaria.core.errors import UserError
from malaria.model import parallel
from malaria.model.augment import augment
from malaria.model.dataset import Cells
from malaria.model.hardware import autocast
from malaria.model.inference import predict_logits
from malaria.model.network import find_head
from malaria.params import Precision, Train

Metrics = dict[str, float]  # of an epoch, by name
DIVERGED = 50.0  # mean loss of an epoch; at chance level it is 0.69
ROBUST_LR, WARM_UP = 1 / 3, 60  # of robust epochs: learning rate relative to the peak, and steps until it is reached
SETTLING = 0.25  # share of the robust steps before weights are averaged
NORMALISING = 20  # batches over which the statistics of batch norm are found for averaged weights


class Storage(Protocol):
    """Where the state of a training is kept, as `malaria.model.checkpoint.Checkpoint`."""

    def restore(self, trainer: "Trainer") -> bool:
        """Bring a new trainer into the state that was saved, if there is one."""

    def save(self, trainer: "Trainer") -> None:
        """Replace the state that was saved before."""


def train_epochs(
    model: nn.Module, cells: Cells, params: Train, precision: Precision, checkpoint: Storage | None = None
) -> Iterator[Metrics]:
    """Train the model in place, yielding the metrics of each epoch: lr, and loss and accuracy on train and val.

    When exhausted, the model has the weights of the epoch with the lowest loss on val; accuracy would hang on a few
    borderline cells. Where `train.robust_epochs` asks for robust epochs they come last, and one of these is kept. They
    have the augmentation "robust" and a constant learning rate, and the weights of their steps are averaged (Izmailov
    et al., UAI 2018), for models that generalise to other domains (Cha et al., NeurIPS 2021).

    With a checkpoint, training resumes after its last epoch, and yields the epochs before from it. Under torchrun each
    process trains on its share of a batch.

    Raises:
        UserError: the loss diverges, or a batch cannot be shared by the processes.
    """
    steps = max(1, len(cells.rows["train"]) // params.batch_size)  # an epoch; what is left over waits for the next
    trainer = Trainer(model, cells, params, precision, steps)
    epochs = params.epochs + params.robust_epochs
    if checkpoint and checkpoint.restore(trainer) and parallel.rank() == 0:
        print(f"resuming after epoch {len(trainer.history)} of {epochs}")
    yield from trainer.history
    hidden = parallel.rank() > 0 or None  # None: hidden where stderr is no terminal
    done = steps * len(trainer.history)
    with tqdm(desc="training", total=steps * epochs, initial=done, unit="batch", disable=hidden) as bar:
        for epoch in range(len(trainer.history) + 1, epochs + 1):
            metrics = trainer.run_epoch(epoch, bar)
            if checkpoint:
                checkpoint.save(trainer)
            if parallel.rank() == 0:
                values = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
                bar.write(f"epoch {epoch}/{epochs}  {values}")
            yield metrics
    model.load_state_dict(trainer.best)


class Trainer:
    """The state of a training: model, optimizer, schedule, random numbers and history.

    `steps` are those of an epoch.
    """

    def __init__(self, model: nn.Module, cells: Cells, params: Train, precision: Precision, steps: int) -> None:
        if params.batch_size % parallel.world_size():
            raise UserError(
                f"train.batch_size={params.batch_size} cannot be shared by {parallel.world_size()} processes: "
                "take a multiple"
            )
        self.model, self.cells, self.params, self.precision = model, cells, params, precision
        self.steps, self.policy = steps, params.augment
        self.distributed = model
        self.averaged: AveragedModel | None = None
        self.optimizer = make_optimizer(model, params)
        self.schedule = make_schedule(self.optimizer, params, steps * params.epochs)
        # each process draws its own augmentation; the order of the cells is the first one's, see `shuffle`
        self.random = Generator(cells.pixels.device).manual_seed(params.seed + parallel.rank())
        self.losses: list[Tensor] = []
        self.hits: list[Tensor] = []
        self.history: list[Metrics] = []
        self.best: dict[str, Tensor] = {}  # weights of the epoch with the lowest loss on val

    def run_epoch(self, epoch: int, bar: "tqdm[Any]") -> Metrics:
        """Train for an epoch and validate."""
        self.begin_epoch(frozen=epoch <= self.params.freeze)
        if epoch == self.params.epochs + 1:
            self.begin_robust()
        metrics = {"lr": float(self.schedule.get_last_lr()[0])}
        for rows in self.shuffle()[: self.steps]:
            self.step(rows)
            bar.update()
        losses = torch.stack(self.losses)
        metrics |= self.train_metrics() | self.validate(model := self.average())
        self.check(metrics, losses, epoch)
        rivals = self.history[self.params.epochs :] if self.averaged else self.history
        if metrics["val/loss"] < min((past["val/loss"] for past in rivals), default=float("inf")):
            self.best = {name: weights.clone() for name, weights in model.state_dict().items()}
        self.history.append(metrics)
        return metrics

    def begin_epoch(self, frozen: bool) -> None:
        """Choose what is trained: the last layer alone, or all."""
        self.frozen = frozen
        freeze_body(self.model, frozen)
        self.distributed = parallel.distribute(self.model)

    def begin_robust(self) -> AveragedModel:
        """Change the augmentation and the learning rate; return what will average the weights."""
        self.policy = "robust"
        self.averaged = AveragedModel(self.model)
        self.optimizer = make_optimizer(self.model, self.params, self.params.lr * ROBUST_LR)
        self.schedule = optim.lr_scheduler.LinearLR(self.optimizer, 1 / WARM_UP, 1, WARM_UP)
        return self.averaged

    def shuffle(self) -> tuple[Tensor, ...]:
        """The rows of train in batches of a new random order."""
        rows = self.cells.rows["train"]
        order = torch.randperm(len(rows), generator=self.random, device=rows.device)
        parallel.broadcast([order])
        shuffled = rows[order]
        return torch.split(shuffled, self.params.batch_size)

    def step(self, rows: Tensor) -> None:
        """One step of the optimizer on this process's share of a batch."""
        batch, labels = self.draw(rows)
        set_train_mode(self.model, self.frozen)
        with autocast(batch.device, self.precision):
            logits = self.distributed(batch).float()
        smoothing = self.params.label_smoothing
        loss = binary_cross_entropy_with_logits(logits, labels * (1 - smoothing) + smoothing / 2)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        if self.averaged and self.schedule.last_epoch > SETTLING * self.steps * self.params.robust_epochs:
            self.averaged.update_parameters(self.model)
        self.losses.append(loss.detach())
        self.hits.append(((logits > 0) == (labels > 0.5)).float().mean())

    def draw(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """This process's share of some cells, augmented, and their labels."""
        rows = parallel.shard(rows)
        return augment(self.cells.pixels[rows], self.cells.labels[rows], self.policy, self.random)

    def average(self) -> nn.Module:
        """The model with the mean of the weights of the steps so far, if averaging has begun, else as it is."""
        if not (self.averaged and self.averaged.n_averaged):
            return self.model
        update_bn((self.draw(rows)[0] for rows in self.shuffle()[:NORMALISING]), self.averaged)
        averaged: nn.Module = self.averaged.module
        return averaged

    def train_metrics(self) -> dict[str, float]:
        """Mean loss and accuracy over the (augmented) batches since the last call."""
        means = {"train/loss": torch.stack(self.losses).mean(), "train/accuracy": torch.stack(self.hits).mean()}
        self.losses, self.hits = [], []
        return {key: parallel.mean(value).item() for key, value in means.items()}

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Loss and accuracy on val, without augmentation or smoothing."""
        parallel.broadcast(model.buffers())  # running statistics of batch norm
        rows = self.cells.rows["val"]
        part = predict_logits(model, self.cells.pixels, parallel.shard(rows), self.precision)
        logits = parallel.gather(part, len(rows))
        labels = self.cells.labels[rows].cpu()
        loss = binary_cross_entropy_with_logits(logits, labels)
        return {"val/loss": loss.item(), "val/accuracy": ((logits > 0) == (labels > 0)).float().mean().item()}

    def check(self, metrics: Metrics, losses: Tensor, epoch: int) -> None:
        """Raise UserError where the loss of an epoch, or that on val, has diverged."""
        limits = {"train/loss": DIVERGED, "val/loss": float("inf")}  # val's may be huge until batch norm has settled
        broken = [name for name, limit in limits.items() if not metrics[name] < limit]
        if not broken:
            return
        steps = (~(losses < DIVERGED)).nonzero().flatten().tolist() or [len(losses) - 1]
        last = self.history[-1] if self.history else None
        good = f"; after epoch {epoch - 1} val/loss was {last['val/loss']:.4g}" if last else ""
        raise UserError(
            f"training stopped in epoch {epoch} at step {steps[0] + 1} of {len(losses)}: {broken[0]} is "
            f"{metrics[broken[0]]:.4g}{good}. No model is written. Lower train.lr, which is {self.params.lr:g}"
        )


def freeze_body(model: nn.Module, frozen: bool) -> None:
    """Let only the last layer train, or all of them."""
    _, head = find_head(model)
    model.requires_grad_(not frozen)
    head.requires_grad_()


def set_train_mode(model: nn.Module, frozen: bool) -> None:
    """Training mode, but for a frozen body, whose batch norm is not to move either."""
    model.train(not frozen)
    find_head(model)[1].train()


def make_optimizer(model: nn.Module, params: Train, lr: float | None = None) -> optim.Optimizer:
    """The optimizer of `train.optimizer` over all parameters, at `train.lr` or another peak learning rate."""
    lr = params.lr if lr is None else lr
    match params.optimizer:
        case "adam":
            return optim.Adam(model.parameters(), lr, weight_decay=params.weight_decay, fused=True)
        case "adamw":
            return optim.AdamW(model.parameters(), lr, weight_decay=params.weight_decay, fused=True)
        case "sgd":
            return optim.SGD(model.parameters(), lr, 0.9, weight_decay=params.weight_decay, nesterov=True)


def make_schedule(optimizer: optim.Optimizer, params: Train, steps: int) -> optim.lr_scheduler.LRScheduler:
    """The learning rate over that many steps.

    torch's OneCycleLR cycles momentum (beta1 of Adam) against it, from 0.95 to 0.85 and back.
    """
    match params.schedule:
        case "one_cycle":
            return optim.lr_scheduler.OneCycleLR(optimizer, params.lr, steps)
        case "constant":
            return optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
