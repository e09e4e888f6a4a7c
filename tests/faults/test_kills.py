"""Killed.

`dvc repro` and all that it started are killed with SIGKILL, whatever they do; typed again, it ends with the lock of a
run that nothing befell, and leaves nothing behind.
"""

import hashlib
import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.support.fault_table import Survived
from tests.support.scratch import Repository, Scratch, leftovers, wait_for

STAGES = "download", "split", "preprocess", "audit", "train", "evaluate", "explain", "report"
SOME = "preprocess", "train", "evaluate", "report"  # of the quick test
KILLS = 30  # of the exhaustive test


@pytest.fixture
def untouched(tmp_path: Path) -> Scratch:
    """Nothing has run in it."""
    scratch = Scratch(tmp_path / "untouched")
    scratch.set_params({"source: nih ": "source: synthetic "})
    return scratch


def kill(scratch: Repository, seconds: float, stage: str | None = None) -> str:
    """Kill a `dvc repro` that many seconds after it, or a stage of it, has begun; says what ran then."""
    mend(scratch)
    with scratch.start("dvc repro") as running:
        if stage:
            wait_for(lambda: bool(scratch.processes(f"stages.{stage}")) or running.poll() is not None)
        time.sleep(seconds)
        ran = next((name for name in STAGES if scratch.processes(f"stages.{name}")), "DVC")
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)
        running.communicate()
    wait_for(lambda: not scratch.processes("stages."))  # those that helped end with the one that they helped
    return ran


def mend(scratch: Repository) -> None:
    """DVC (3.67.1) writes this file in place: killed just then it leaves it empty, and calls it corrupted."""
    locks = scratch.path / ".dvc/tmp/rwlock"
    if locks.exists() and not locks.read_text():
        locks.unlink()


def check(scratch: Repository, lock: str) -> None:
    """All of it is as after a clean run."""
    mend(scratch)
    scratch.run("dvc repro")
    assert scratch.read("dvc.lock") == lock
    assert leftovers(scratch) == []
    objects = [path for path in (scratch.path / ".dvc/cache/files/md5").rglob("*") if path.is_file()]
    for path in objects:
        assert hashlib.md5(path.read_bytes()).hexdigest() == (path.parent.name + path.name).removesuffix(".dir")


@pytest.mark.slow
def test_a_kill_in_each_stage(untouched: Scratch, ran: Repository, survived: Survived) -> None:
    dice = random.Random(0)
    killed = [kill(untouched, dice.uniform(0.2, 2), stage) for stage in SOME]
    check(untouched, ran.read("dvc.lock"))
    provoked = "SIGKILL up to 2 s after each stage has begun, then `dvc repro`"
    survived("killed in any stage", provoked, f"the lock of a clean run; killed: {', '.join(killed)}", len(killed))


@pytest.mark.exhaustive
def test_kills_at_random_moments(untouched: Scratch, tmp_path: Path, survived: Survived) -> None:
    untouched.set_params({"epochs: 1 ": "epochs: 20 "})  # so that some come while it trains
    clean, dice, killed = untouched.copy(tmp_path / "clean"), random.Random(1), list[str]()
    start = time.monotonic()
    clean.run("dvc repro")
    seconds, lock = time.monotonic() - start, clean.read("dvc.lock")
    while len(killed) < KILLS:
        scratch = untouched.copy(tmp_path / f"scratch-{len(killed)}")
        while len(killed) < KILLS and not (scratch.path / "report/index.html").exists():
            killed.append(kill(scratch, dice.uniform(0, seconds)))
        check(scratch, lock)
    counts = ", ".join(f"{name} {killed.count(name)}" for name in ("DVC", *STAGES))
    survived("killed at any moment", "SIGKILL at random, then `dvc repro`", f"the lock of a clean run; {counts}", KILLS)
