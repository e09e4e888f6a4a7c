"""Damaged outs and a damaged cache, as DVC 3.67.1 takes them."""

import hashlib
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from malaria.core.artifacts import MEND
from tests.support.fault_table import Survived
from tests.support.scratch import Repository, stages_run

OUTS = ["data/cells.zip", "data/split.csv", "data/cells.npy", "data/duplicates.csv"]
REPRO = "uv run dvc repro audit"
LOOK = "find .dvc/cache/files -type f -exec chmod u+w {} + -exec touch {} +"


@pytest.fixture(scope="module")
def whole(ran: Repository, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """The pipeline, run on drawn cells, its cache linked into the workspace."""
    scratch = ran.copy(tmp_path_factory.mktemp("scratch") / "repository")
    scratch.run("rm -r data/*.* && dvc checkout -q")
    return scratch


@pytest.fixture
def scratch(whole: Repository) -> Iterator[Repository]:
    """The same, that must be as it was when the test is over."""
    before = contents(whole)
    yield whole
    assert contents(whole) == before
    assert whole.run("git status --porcelain") == ""


def contents(scratch: Repository) -> dict[str, bytes]:
    return {name: (scratch.path / name).read_bytes() for name in OUTS}


def in_cache(scratch: Repository, name: str) -> Path:
    md5 = hashlib.md5((scratch.path / name).read_bytes()).hexdigest()
    return scratch.path / ".dvc/cache/files/md5" / md5[:2] / md5[2:]


def flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "cut to half": lambda data: data[: len(data) // 2],
    "a bit flipped": flip,
    "random bytes": lambda data: random.Random(0).randbytes(len(data) + 1),
    "emptied": lambda data: b"",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_an_out_that_another_file_replaced(damage: str, scratch: Repository, survived: Survived) -> None:
    for name in OUTS:
        data = (scratch.path / name).read_bytes()
        (scratch.path / name).unlink()
        (scratch.path / name).write_bytes(DAMAGE[damage](data))
    status = scratch.run("uv run dvc status")
    assert all(f"modified:           {name}" in status for name in OUTS)
    output = scratch.run(REPRO)
    assert stages_run(output) == []
    assert "Stage 'split' is cached - skipping run, checking out outputs" in output
    survived(f"every out {damage}", "`dvc status` names them; `dvc repro` brings them back", "none: no stage runs")


def test_a_stage_run_by_hand_says_what_mends_it(scratch: Repository, survived: Survived) -> None:
    (scratch.path / "data/cells.zip").unlink()
    (scratch.path / "data/cells.zip").write_text("junk")
    message = scratch.run("python -m stages.split", status=1)
    assert message.startswith(
        "data/cells.zip: damaged, or not what its stage writes: File is not a zip file. `uv run dvc"
    )
    assert "Traceback" not in message
    assert stages_run(scratch.run(REPRO)) == []
    survived("an out damaged, its stage run by hand", "`python -m stages.split`, then what it says", message)


@pytest.mark.slow
def test_an_object_of_the_cache_that_was_written_to(scratch: Repository, survived: Survived) -> None:
    before = (scratch.path / "data/split.csv").read_bytes()
    cached = in_cache(scratch, "data/split.csv")
    (scratch.path / "data/split.csv").unlink()
    cached.chmod(0o644)
    cached.write_bytes(flip(before))
    scratch.run("uv run dvc checkout data/split.csv")
    assert (scratch.path / "data/split.csv").read_bytes() == flip(before)  # a checkout looks at nothing
    message = scratch.run("uv run dvc status split")
    assert "changed outs:" in message
    assert "data/split.csv" in message
    assert stages_run(scratch.run(REPRO)) == ["split"]
    assert (scratch.path / "data/split.csv").read_bytes() == before
    survived(
        "an object of the cache written to",
        "`dvc checkout` links it unseen; `dvc status` finds it out, `dvc repro` makes it anew",
        message,
    )


@pytest.mark.slow
def test_an_object_of_the_cache_that_rotted(scratch: Repository, survived: Survived) -> None:
    before = (scratch.path / "data/split.csv").read_bytes()
    cached = in_cache(scratch, "data/split.csv")
    (scratch.path / "data/split.csv").unlink()
    status = cached.stat()
    with cached.open("r+b") as file:  # a disk asks for no permission, and leaves the time as it was
        file.write(flip(before))
    os.utime(cached, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert cached.stat().st_mode & 0o777 == 0o444
    # DVC believes an object that is read-only, and links it
    assert stages_run(scratch.run(REPRO)) == []
    assert (scratch.path / "data/split.csv").read_bytes() == flip(before)
    assert stages_run(scratch.run("uv run dvc repro -f -s split")) == ["split"]
    assert (scratch.path / "data/split.csv").read_bytes() == flip(before)
    # but looks into one that may be written to and is newer than it remembers
    assert f"`{LOOK}` first" in MEND
    scratch.run(LOOK)
    assert stages_run(scratch.run(REPRO)) == ["split"]
    assert (scratch.path / "data/split.csv").read_bytes() == before
    survived(
        "a bit of an object of the cache rotted",
        f"DVC believes read-only objects, even after `dvc repro -f`; `{LOOK}` first, then `dvc repro`",
        "none",
    )
