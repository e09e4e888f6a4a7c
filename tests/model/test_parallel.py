"""Two processes of torchrun train as one does, and when one of them dies the training stops and can be resumed."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from malaria.model import parallel
from malaria.model.inference import predict_logits
from malaria.model.weights import read_model
from tests.model.two_processes import PLAIN
from tests.support.models import fit, make_cells
from tests.support.scratch import ROOT, Repository, Scratch, leftovers, wait_for
from tests.support.servers import free_port

TORCHRUN = "python -m torch.distributed.run"
TWO = f"{TORCHRUN} --standalone --nproc-per-node 2"
HISTORY = "plots/training/plots/metrics/val/loss.tsv"
MODEL = "models/model.safetensors"


def test_a_single_process_does_all_the_work() -> None:
    rows, value = torch.arange(5), torch.tensor(2.0)
    assert (parallel.rank(), parallel.world_size()) == (0, 1)
    assert parallel.shard(rows).tolist() == rows.tolist() == parallel.gather(rows, 5).tolist()
    assert parallel.mean(value) == value
    assert [parallel.agree(number) for number in (0, 3)] == [False, True]


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two processes saw."""
    folder = tmp_path_factory.mktemp("processes")
    launch = [sys.executable, "-m", *TWO.split()[2:], "-m", "tests.model.two_processes", str(folder)]
    subprocess.run(launch, cwd=ROOT, check=True)
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.slow
def test_two_processes_reach_the_weights_of_one_and_the_same_when_resumed(processes: list[dict[str, Any]]) -> None:
    model, metrics = fit(PLAIN, make_cells(64, 16))
    for process in processes:
        assert process["metrics"] == [pytest.approx(epoch, abs=1e-4) for epoch in metrics]
        for name, weights in model.state_dict().items():
            torch.testing.assert_close(process["weights"][name], weights, rtol=1e-4, atol=1e-5)
            assert torch.equal(process["resumed"][name], process["weights"][name])


@pytest.mark.slow
def test_processes_share_order_and_batch_norm_and_draw_their_own_augmentation(processes: list[dict[str, Any]]) -> None:
    """In both epochs: also in the second, which was resumed."""
    one, two = processes
    for key in ("orders", "buffers"):
        assert len(one[key]) == 2
        for tensors, others in zip(one[key], two[key], strict=True):
            assert all(torch.equal(a, b) for a, b in zip(tensors, others, strict=True))
    for epoch in (slice(4), slice(4, 8)):
        cells, others = torch.cat(one["augmented"][epoch]), torch.cat(two["augmented"][epoch])
        assert len(cells) == 32
        assert (cells == others).all(3).all(2).all(1).float().mean() < 0.5  # by chance 1/8
    assert not torch.equal(one["dropout"], two["dropout"])


@pytest.fixture
def workspace(tmp_path: Path) -> Scratch:
    """A repository with the cells that the stage train reads."""
    scratch, cells = Scratch(tmp_path / "one"), make_cells(64, 16)
    (scratch.path / "data").mkdir(exist_ok=True)
    np.save(scratch.path / "data/cells.npy", cells.pixels)
    names, split = [f"{n}.png" for n in range(80)], ["train"] * 64 + ["val"] * 16
    table = pd.DataFrame({"name": names, "label": cells.labels.int(), "patient": names, "split": split})
    table.to_csv(scratch.path / "data/split.csv", index=False)
    return scratch


@pytest.mark.slow
def test_two_machines_train_together_and_the_first_writes(workspace: Scratch, tmp_path: Path) -> None:
    workspace.set_params({"epochs: 1 ": "epochs: 2 "})
    machines = workspace, workspace.copy(tmp_path / "two")
    command = f"{TORCHRUN} --nnodes 2 --nproc-per-node 1 --master-addr localhost --master-port {free_port()}"
    started = [machine.start(f"{command} --node-rank {n} -m stages train") for n, machine in enumerate(machines)]
    outputs = [process.communicate(timeout=300)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0], outputs
    assert [output.count("processes: 2") for output in outputs] == [1, 0]
    assert [output.count("epoch 2/2") for output in outputs] == [1, 0]
    assert [(machine.path / MODEL).exists() for machine in machines] == [True, False]
    assert [leftovers(machine) for machine in machines] == [[], []]
    assert len(workspace.read(HISTORY).splitlines()) == 1 + 2
    model, _ = read_model(workspace.path / MODEL)
    assert predict_logits(model, make_cells(64, 16).pixels, torch.arange(80), "fp32").isfinite().all()


@pytest.mark.slow
def test_a_killed_process_stops_the_training_and_the_next_one_resumes(workspace: Scratch) -> None:
    workspace.set_params({"epochs: 1 ": "epochs: 40 "})
    with workspace.start(f"{TWO} -m stages train") as training:
        wait_for(lambda: _epochs(workspace) > 2)
        workers = workspace.processes("python[0-9.]* -u -m stages train")
        os.kill(workers[-1], signal.SIGKILL)
        training.communicate(timeout=60)
    assert len(workers) == 2
    assert training.returncode == 1
    assert workspace.processes("stages train") == []
    assert not (workspace.path / MODEL).exists()
    assert "resuming after epoch" in workspace.run(f"{TWO} -m stages train")
    assert _epochs(workspace) == 40
    assert (workspace.path / MODEL).exists()
    assert leftovers(workspace) == []


def _epochs(repository: Repository) -> int:
    history = repository.path / HISTORY
    return len(history.read_text().splitlines()) - 1 if history.exists() else 0
