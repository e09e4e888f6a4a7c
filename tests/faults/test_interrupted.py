"""Interrupted.

A training that is broken off, whatever by, goes on after its last whole epoch when `dvc repro` is typed again, and ends
with the bits of one that was not.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors import safe_open

from tests.support.fault_table import Survived
from tests.support.scratch import Repository, leftovers, wait_for

EPOCHS = 30
LOSSES = "metrics/train/plots/metrics/val/loss.tsv"


@pytest.fixture(scope="module")
def prepared(ran: Repository, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """Ready for a training of some seconds."""
    scratch = ran.copy(tmp_path_factory.mktemp("interrupted") / "prepared")
    scratch.set_params({r"epochs: \d+ ": f"epochs: {EPOCHS} "})
    (scratch.path / LOSSES).unlink()
    return scratch


@pytest.fixture(scope="module")
def unbroken(prepared: Repository) -> str:
    """The lock after a training that nothing befell."""
    scratch = prepared.copy(prepared.path.parent / "unbroken")
    scratch.run("uv run dvc repro train")
    return scratch.read("dvc.lock")


def interrupt(scratch: Repository, number: signal.Signals, epoch: int, command: str = "dvc repro train") -> str:
    """What it prints until the signal reaches all of its processes, when that many epochs are done."""
    (scratch.path / LOSSES).unlink(missing_ok=True)
    with scratch.start(command) as running:
        wait_for(lambda: _epochs(scratch) >= epoch)
        os.killpg(running.pid, number)
        output, _ = running.communicate(timeout=60)
    assert running.returncode != 0
    return output


def _epochs(scratch: Repository) -> int:
    """How many the training that runs has recorded."""
    table = scratch.path / LOSSES
    return len(table.read_text().splitlines()) - 1 if table.exists() else 0


@pytest.mark.slow
def test_a_training_goes_on_after_each_signal(
    prepared: Repository, unbroken: str, tmp_path: Path, survived: Survived
) -> None:
    scratch = prepared.copy(tmp_path / "scratch")
    told = []
    for epoch, number in zip((2, 6, 11), (signal.SIGINT, signal.SIGTERM, signal.SIGKILL), strict=True):
        output = interrupt(scratch, number, epoch)
        assert "Traceback" not in output
        told += [line for line in output.splitlines() if line.startswith("train: ")]
    assert told == ["train: interrupted; `dvc repro` goes on", "train: terminated; `dvc repro` goes on"]
    output = scratch.run("uv run dvc repro train")
    (line,) = (line for line in output.splitlines() if line.startswith("going on"))
    assert int(line.split()[4]) >= 11
    assert scratch.read("dvc.lock") == unbroken
    assert leftovers(scratch) == []
    for name, message in (("Ctrl-C (SIGINT)", told[0]), ("SIGTERM", told[1]), ("SIGKILL", line)):
        survived(f"training ended by {name}", "the signal to `dvc repro` and all that it started", message)


@pytest.mark.exhaustive
def test_a_stage_that_a_killed_dvc_left_running_is_not_run_twice(
    prepared: Repository, unbroken: str, tmp_path: Path, survived: Survived
) -> None:
    scratch = prepared.copy(tmp_path / "scratch")
    running = scratch.start("dvc repro train")
    wait_for(lambda: _epochs(scratch) >= 2)
    running.kill()  # and nothing else: what it started goes on, and still has somewhere to print to
    running.wait()
    (orphan,) = scratch.processes("stages.train")
    os.kill(orphan, signal.SIGSTOP)  # or it might end just as DVC removes what it writes to
    output = scratch.run("uv run dvc repro train", status=255)
    (line,) = (line for line in output.splitlines() if line.startswith("train: "))
    assert "another run of it works in this folder" in line
    os.kill(orphan, signal.SIGTERM)
    os.kill(orphan, signal.SIGCONT)
    wait_for(lambda: not scratch.processes("stages.train"))
    scratch.run("uv run dvc repro train")
    assert scratch.read("dvc.lock") == unbroken
    survived("DVC killed alone, training left running", "SIGKILL to `dvc` only, then `dvc repro`", line)


SAVING = """
import sys, torch
from pathlib import Path
from malaria.core.artifacts import write_bytes
from safetensors.torch import save
for n in range(10**6):
    write_bytes(Path(sys.argv[1]), save({"weights": torch.full((5_000_000,), float(n))}, {"n": str(n)}))
"""


@pytest.mark.slow
def test_a_checkpoint_is_whole_whenever_its_writing_is_killed(tmp_path: Path, survived: Survived) -> None:
    path, dice, tries = tmp_path / "state.safetensors", random.Random(0), 10
    midway = 0
    for _ in range(tries):
        path.unlink(missing_ok=True)
        with subprocess.Popen([sys.executable, "-c", SAVING, str(path)]) as saving:
            wait_for(path.exists)
            time.sleep(dice.random() / 5)
            saving.kill()
        midway += path.with_name("state.safetensors.tmp").exists()
        with safe_open(path, "pt") as file:
            assert (file.get_tensor("weights") == float(file.metadata()["n"])).all()
    assert midway > 0  # or none of the kills came while it wrote
    survived("killed while a checkpoint is written", "SIGKILL at random moments", "the one before is whole", tries)


@pytest.mark.exhaustive
def test_another_training_does_not_go_on(prepared: Repository, tmp_path: Path, survived: Survived) -> None:
    scratch = prepared.copy(tmp_path / "scratch")
    command = "python -m stages.train"
    interrupt(scratch, signal.SIGKILL, 2, command)
    code = scratch.path / "malaria/augment.py"
    code.write_text(code.read_text() + "\n# changed\n")
    assert "going on" not in interrupt(scratch, signal.SIGKILL, 2, command)
    scratch.set_params({"weight_decay: 0.05 ": "weight_decay: 0.06 "})
    assert "going on" not in interrupt(scratch, signal.SIGKILL, 2, command)
    assert "going on" in interrupt(scratch, signal.SIGKILL, 2, command)
    fault, provoked = "code or params changed after the kill", "a line in malaria/augment.py; another weight_decay"
    survived(fault, provoked, "begins anew", 2)
