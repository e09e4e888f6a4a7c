"""Two processes train as one does, and when one of them dies the stage ends and says so."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from malaria.model import parallel
from malaria.core.workers import count_cores
from tests.support.scratch import Repository, leftovers, wait_for
from tests.support.servers import free_port

two_cores = pytest.mark.skipif(count_cores() < 2, reason="two processes take two cores")

TRAIN = "python -m stages.train"
LOSSES = "metrics/train/plots/metrics/val/loss.tsv"
# no batch norm, which sees half a batch, and no Adam, which makes a step of any rounding error
PLAIN = {
    "arch: small_resnet": "arch: simple_cnn",
    "augment: full": "augment: none",
    "optimizer: adamw": "optimizer: sgd",
    "precision: auto": "precision: fp32",
    r"epochs: \d+ ": "epochs: 3 ",
}


@pytest.fixture
def scratch(scratch: Repository) -> Repository:
    """Drawn cells, ready for training."""
    shutil.rmtree(scratch.path / "models")
    shutil.rmtree(scratch.path / "metrics/train")
    return scratch


def test_alone_a_process_has_all_the_work() -> None:
    rows, value = torch.arange(5), torch.tensor(2.0)
    assert (parallel.rank(), parallel.world_size(), parallel.launched()) == (0, 1, False)
    assert parallel.shard(rows).tolist() == rows.tolist() == parallel.gather(rows, 5).tolist()
    assert parallel.mean(value) == value


@pytest.mark.slow
@two_cores
def test_two_processes_reach_what_one_does(scratch: Repository) -> None:
    scratch.set_params(PLAIN)
    scratch.run(TRAIN)
    alone, figures = _result(scratch)
    scratch.set_params({"devices: 1": "devices: 2"})
    assert "fp32 on 2 cores" in (output := scratch.run(TRAIN))
    assert ", 2 processes" in output
    assert output.count("epoch 3/3") == 1
    together, same_figures = _result(scratch)
    assert together.keys() == alone.keys()
    for name, weights in alone.items():
        torch.testing.assert_close(together[name], weights, rtol=1e-4, atol=1e-5)
    for name in ("train", "val"):
        assert same_figures[name]["loss"] == pytest.approx(figures[name]["loss"], abs=1e-4)
        assert same_figures[name]["accuracy"] == pytest.approx(figures[name]["accuracy"], abs=1e-3)


@pytest.mark.slow
@two_cores
def test_two_machines_train_together_and_one_of_them_writes(scratch: Repository, tmp_path: Path) -> None:
    scratch.set_params({r"epochs: \d+ ": "epochs: 2 "})
    shutil.copytree(scratch.path, tmp_path / "second")
    (line,) = re.findall(r"`(torchrun [^`]+)`", scratch.read("stages/train.py"))
    command = line.replace("HOST:29500", f"localhost:{free_port()}").replace("--nproc-per-node 8", "--nproc-per-node 1")
    variables = scratch.variables()
    nodes = [
        subprocess.Popen(command, shell=True, cwd=path, env=variables, stdout=subprocess.PIPE, text=True)
        for path in (scratch.path, tmp_path / "second")
    ]
    outputs = [node.communicate(timeout=300)[0] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0]
    writer, other = sorted((scratch.path, tmp_path / "second"), key=lambda path: not (path / "models").exists())
    assert not (other / "models/model.safetensors").exists()
    assert len((writer / LOSSES).read_text().splitlines()) == 1 + 2
    assert json.loads((writer / "metrics/train/metrics.json").read_text())["hardware"].endswith(", 2 processes")
    assert "".join(outputs).count("2 processes") == 1
    Repository(writer).run("python -m stages.evaluate")


@pytest.mark.slow
@two_cores
def test_a_killed_process_ends_the_stage_and_the_others(scratch: Repository) -> None:
    scratch.set_params({"devices: 1": "devices: 2", r"epochs: \d+ ": "epochs: 1000 "})
    command = [sys.executable, "-m", "stages.train"]
    with subprocess.Popen(command, cwd=scratch.path, stderr=subprocess.PIPE, text=True) as training:
        wait_for((scratch.path / LOSSES).exists)
        workers = _children(training.pid)
        os.kill(workers[1], signal.SIGKILL)
        _, error = training.communicate(timeout=60)
    assert training.returncode == 1
    assert "training stopped: process 1 of 2 ended with signal 9; the others were stopped too" in error
    assert "Traceback" not in error
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)
    assert not (scratch.path / "models/model.safetensors").exists()


@pytest.mark.slow
@two_cores
def test_two_processes_go_on_where_they_were_broken_off(scratch: Repository) -> None:
    scratch.set_params({"devices: 1": "devices: 2", r"epochs: \d+ ": "epochs: 12 "})
    scratch.run(TRAIN)
    whole, _ = _result(scratch)
    (scratch.path / "models/model.safetensors").unlink()
    (scratch.path / LOSSES).unlink()
    with scratch.start(TRAIN) as training:
        wait_for(lambda: _lines(scratch.path / LOSSES) > 2)
        os.killpg(training.pid, signal.SIGKILL)
    wait_for(lambda: not scratch.processes("stages.train"))
    assert "going on after epoch" in scratch.run(TRAIN)
    assert {name: part.tolist() for name, part in _result(scratch)[0].items()} == {
        name: part.tolist() for name, part in whole.items()
    }
    assert leftovers(scratch) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"devices: 1": "devices: 99", "batch_size: 32": "batch_size: 198"}, "train.devices=99: this machine has"),
        pytest.param(
            {"devices: 1": "devices: 2", "batch_size: 32": "batch_size: 33"},
            "train.batch_size=33 cannot be shared by train.devices=2",
            marks=two_cores,
        ),
    ],
)
def test_what_cannot_be_shared_is_refused(changes: dict[str, str], message: str, scratch: Repository) -> None:
    scratch.set_params(changes)
    output = scratch.run(TRAIN, status=1)
    assert message in output
    assert "Traceback" not in output


def _result(scratch: Repository) -> tuple[dict[str, torch.Tensor], dict[str, dict[str, float]]]:
    weights = load_file(scratch.path / "models/model.safetensors")
    return weights, json.loads(scratch.read("metrics/train/metrics.json"))


def _lines(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


def _children(pid: int) -> list[int]:
    """The processes that one has started, oldest first."""
    listed = subprocess.run(["pgrep", "-P", str(pid), "-f", "stages.train"], capture_output=True, text=True, check=True)
    return [int(child) for child in listed.stdout.split()]
