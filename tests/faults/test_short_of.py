"""The machine.

A disk that is full or may not be written, and too little memory: the stage says so and what to do, the files that were
there are whole, and once there is room the same command goes on.
"""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fault_table import Survived
from tests.support.scratch import Repository, leftovers, wait_for
from tests.support.skips import needs

SUDO = [] if os.geteuid() == 0 else ["sudo", "-n"]
# What each stage writes first
FIRST = {
    "download": "data/cells.zip",
    "split": "data/split.csv",
    "preprocess": "data/cells.npy",
    "evaluate": "data/predictions.csv",
    "explain": "data/examples.csv",
    "report": "report/index.html",
    "audit": "data/duplicates.csv",
    "train": "data/checkpoint.safetensors",  # last, since dvclive begins its folder anew
}


def mount(path: Path, *options: str) -> bool:
    """Whether it could be."""
    path.mkdir(parents=True, exist_ok=True)
    return subprocess.run([*SUDO, "mount", *options, str(path)], capture_output=True).returncode == 0


def unmount(path: Path) -> None:
    subprocess.run([*SUDO, "umount", str(path)], check=True)


def _can_mount() -> bool:
    probe = Path("/tmp") / f"mount-{os.getpid()}"
    able = mount(probe, "-t", "tmpfs", "none")
    if able:
        unmount(probe)
    probe.rmdir()
    return able


needs_mounts = needs("MOUNTS", **{"right to mount": _can_mount()})


@pytest.fixture
def small(ran: Repository, tmp_path: Path) -> Iterator[Repository]:
    """A copy of it on a disk of its own, of 200 MB, that is nearly full."""
    disk = tmp_path / "disk"
    assert mount(disk, "-t", "tmpfs", "-o", f"size=200m,uid={os.getuid()}", "none")
    try:
        scratch = ran.copy(disk / "scratch")
        fill(disk)
        yield scratch
    finally:
        unmount(disk)


def fill(disk: Path, left: int = 0) -> None:
    """Leave only so many bytes."""
    space = os.statvfs(disk)
    os.truncate(filler := disk / "filler", 0) if (filler := disk / "filler").exists() else filler.touch()
    space = os.statvfs(disk)
    with filler.open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, space.f_bavail * space.f_frsize - left)


def empty(disk: Path) -> None:
    (disk / "filler").unlink()


def says(output: str, start: str) -> str:
    """The one line of it that begins so; nothing else is an error."""
    assert "Traceback" not in output, output
    (line,) = (line for line in output.splitlines() if line.startswith(start))
    return line


@needs_mounts
@pytest.mark.slow
def test_the_disk_is_full_in_any_stage(small: Repository, survived: Survived) -> None:
    disk = small.path.parent
    for stage, first in FIRST.items():
        before = {path: path.read_bytes() for path in (small.path / "data").iterdir() if path.is_file()}
        fill(disk)
        line = says(small.run(f"python -m stages.{stage}", status=1), f"{stage}: {first}: ")
        assert "the disk is full (No space left on device); free some space and run `dvc repro` again" in line
        assert {path: path.read_bytes() for path in before} == before
        assert leftovers(small) == []
        survived(f"the disk is full in {stage}", f"not a byte left, where {first} goes", line)
    empty(disk)
    small.run("python -m stages.train")
    assert small.run("dvc status").endswith("up to date.\n")


@pytest.mark.exhaustive
@needs_mounts
def test_the_disk_of_the_cache_is_full(scratch: Repository, tmp_path: Path, survived: Survived) -> None:
    disk = tmp_path / "cache"
    assert mount(disk, "-t", "tmpfs", "-o", f"size=64m,uid={os.getuid()}", "none")
    try:
        scratch.run(f"dvc cache dir --local {disk}")
        scratch.set_params({" size: 32 ": " size: 48 "})
        fill(disk, 100_000)
        line = says(scratch.run("dvc repro", status=255), "ERROR: failed to reproduce 'download'")
        assert line.endswith("[Errno 28] No space left on device")
        empty(disk)
        scratch.run("dvc repro")
        assert scratch.run("dvc status").endswith("up to date.\n")
    finally:
        unmount(disk)
    survived("the disk of DVC's cache is full", "`dvc cache dir` on one with 100 kB left", line)


@pytest.mark.slow
@needs_mounts
def test_the_data_may_not_be_written(scratch: Repository, survived: Survived) -> None:
    data = scratch.path / "data"
    assert mount(data, "--bind", str(data))
    try:
        assert mount(data, "-o", "remount,ro,bind")
        for stage in ("download", "split", "train"):
            line = says(scratch.run(f"python -m stages.{stage}", status=1), f"{stage}: ")
            assert f"{FIRST[stage]}.tmp: may not be written or read (Read-only file system); allow it" in line
    finally:
        unmount(data)
    survived("data/ is read-only", "a read-only mount; download, split, train", line, 3)


MEMORY = [
    ("preprocess", 0.3, {" size: 32 ": " size: 512 "}, "preprocess.size"),
    ("train", 3, {"batch_size: 32": "batch_size: 65536"}, "train.batch_size"),
]


@pytest.mark.parametrize(("stage", "gib", "changes", "lower"), MEMORY)
def test_memory_runs_out(
    stage: str, gib: float, changes: dict[str, str], lower: str, scratch: Repository, survived: Survived
) -> None:
    scratch.set_params(changes)
    output = scratch.run(f"ulimit -v {round(gib * 2**20)}; python -m stages.{stage}", status=1)
    line = says(output, f"{stage}: not enough memory")
    assert f"give it more, or lower {lower}" in line
    assert leftovers(scratch) == []
    survived(f"memory runs out in {stage}", f"`ulimit -v`, {gib} GiB", line)


@pytest.mark.slow
def test_a_process_that_helps_is_killed(scratch: Repository, survived: Survived) -> None:
    scratch.set_params({"cells: 240 ": "cells: 4000 ", " size: 32 ": " size: 256 "})
    scratch.run("python -m stages.download")
    with scratch.start("python -m stages.preprocess") as running:
        wait_for(lambda: len(scratch.processes("stages.preprocess")) > 1)
        os.kill(max(scratch.processes("stages.preprocess")), signal.SIGKILL)  # as the kernel does where memory ends
        output, _ = running.communicate()
    assert running.returncode == 1
    line = says(output, "preprocess: a process that helped was killed")
    assert leftovers(scratch) == []
    survived("the kernel kills a process that helps", "SIGKILL to one that decodes", line)
