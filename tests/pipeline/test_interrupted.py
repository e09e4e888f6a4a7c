"""A run that is interrupted at any moment resumes when `dvc repro` is typed again, and ends with the same bytes."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors import safe_open

from malaria.params import load_params
from stages.train import checkpoint_key
from tests.support.models import config
from tests.support.scratch import Repository, leftovers, stages_run, wait_for

EPOCHS = 30
LOSSES = "plots/training/plots/metrics/val/loss.tsv"
KILLS = 30


def interrupt(
    scratch: Repository, number: signal.Signals, moment: Callable[[], bool], command: str = "dvc repro"
) -> str:
    """What a command prints until the signal reaches it and all that it started, which it does at that moment."""
    with scratch.start(command) as running:
        wait_for(lambda: moment() or running.poll() is not None)
        if running.poll() is None:
            os.killpg(running.pid, number)
        output, _ = running.communicate(timeout=60)
    wait_for(lambda: not scratch.processes("stages "))  # workers end with the stage that they help
    mend(scratch)
    return output


def mend(scratch: Repository) -> None:
    """DVC (3.67.1) writes this file in place: killed just then it leaves it empty, and calls it corrupted."""
    locks = scratch.path / ".dvc/tmp/rwlock"
    if locks.exists() and not locks.read_text():
        locks.unlink()


@pytest.mark.exhaustive
def test_training_and_evaluation_resume_after_each_signal(ran: Repository, tmp_path: Path) -> None:
    scratch = ran.copy(tmp_path / "scratch")
    scratch.set_params({r" epochs: \d+ ": f" epochs: {EPOCHS} "})
    unbroken = scratch.copy(tmp_path / "unbroken")
    unbroken.run("dvc repro evaluate")
    losses = scratch.path / LOSSES
    losses.unlink()

    def epochs() -> int:
        """How many the training has recorded."""
        return len(losses.read_text().splitlines()) - 1 if losses.exists() else 0

    for done, number in ((2, signal.SIGINT), (6, signal.SIGTERM), (11, signal.SIGKILL)):
        output = interrupt(scratch, number, lambda done=done: epochs() >= done)  # type: ignore[misc]
        assert "Traceback" not in output
        assert number == signal.SIGKILL or find_line(output, "train:").count("dvc repro") == 1
        assert epochs() < EPOCHS
        losses.unlink(missing_ok=True)
    output = interrupt(scratch, signal.SIGKILL, lambda: bool(scratch.processes("stages evaluate")))
    assert int(find_line(output, "resuming").split()[3]) >= 11
    assert stages_run(scratch.run("dvc repro evaluate")) == ["evaluate"]
    assert scratch.read("dvc.lock") == unbroken.read("dvc.lock")
    assert leftovers(scratch) == []


def find_line(output: str, beginning: str) -> str:
    """The line that begins so."""
    (line,) = (line for line in output.splitlines() if line.startswith(beginning))
    return line


@pytest.mark.slow
def test_a_training_resumes_with_the_same_code_and_params_alone(
    scratch: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(scratch.path)

    def key(hardware: str = "cpu") -> str:
        params = load_params()
        return checkpoint_key(params, config(params.train.arch), hardware)

    keys = [key(), key("another")]
    for module in ("malaria/model/augment.py", "malaria/architectures/small_resnet.py", "stages/train.py"):
        with (scratch.path / module).open("a") as file:
            file.write("# changed\n")
        keys.append(key())
    scratch.set_params({"weight_decay: 0.05 ": "weight_decay: 0.06 "})
    keys.append(key())
    assert len(set(keys)) == len(keys)
    (scratch.path / "malaria/core/errors.py").write_text("# plumbing\n")
    scratch.set_params({"abstain: 0.05 ": "abstain: 0.06 "})
    assert key() == keys[-1]


SAVING = """
import sys, torch
from pathlib import Path
from malaria.core.artifacts import write_bytes
from safetensors.torch import save
for n in range(10**6):
    write_bytes(Path(sys.argv[1]), save({"weights": torch.full((5_000_000,), float(n))}, {"n": str(n)}))
"""


@pytest.mark.slow
def test_a_checkpoint_is_complete_whenever_its_writing_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    temporary = path.with_name("state.safetensors.tmp")
    for _ in range(3):
        path.unlink(missing_ok=True)
        with subprocess.Popen([sys.executable, "-c", SAVING, str(path)]) as saving:
            wait_for(lambda: path.exists() and temporary.exists())
            saving.kill()
        with safe_open(path, "pt") as file:
            assert (file.get_tensor("weights") == float(file.metadata()["n"])).all()


@pytest.mark.exhaustive
def test_kills_at_random_moments(ran: Repository, tmp_path: Path) -> None:
    untouched = ran.clone(tmp_path / "untouched")
    untouched.run("git rm -rq --cached dvc.lock && rm -rf dvc.lock plots metrics report")
    untouched.set_params({"epochs: 1 ": "epochs: 20 "})  # so that some come during the training
    clean, dice, start = untouched.copy(tmp_path / "clean"), random.Random(1), time.monotonic()
    clean.run("dvc repro")
    seconds, kills = time.monotonic() - start, 0
    while kills < KILLS:
        scratch = untouched.copy(tmp_path / f"scratch-{kills}")
        while kills < KILLS and not (scratch.path / "report/index.html").exists():
            end = time.monotonic() + dice.uniform(0, seconds)
            interrupt(scratch, signal.SIGKILL, lambda end=end: time.monotonic() >= end)  # type: ignore[misc]
            kills += 1
        scratch.run("dvc repro")
        assert scratch.read("dvc.lock") == clean.read("dvc.lock")
        assert leftovers(scratch) == []
        for path in (path for path in (scratch.path / ".dvc/cache/files/md5").rglob("*") if path.is_file()):
            assert hashlib.md5(path.read_bytes()).hexdigest() == (path.parent.name + path.name).removesuffix(".dir")
