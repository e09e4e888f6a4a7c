"""A scratch repository with the pipeline in it, set to a few drawn cells, to run commands in as a user would."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

ROOT = Path(__file__).parents[2]
PIPELINE = [
    ".ci",
    ".dvc/config",
    ".dvcignore",
    ".gitignore",
    ".pre-commit-config.yaml",
    "bench",
    "dvc.yaml",
    "inputs/none",
    "malaria",
    "params.yaml",
    "pyproject.toml",
    "stages",
    "versions.txt",
]
SMALL = {
    "patients: 40 ": "patients: 12 ",
    "cells: 2400 ": "cells: 240 ",
    "folds: 5 ": "folds: 3 ",
    "val: 0.125 ": "val: 0.3 ",
    "size: 64 ": "size: 32 ",
    "batch_size: 128": "batch_size: 32",
}


def stages_run(output: str) -> list[str]:
    """The stages that DVC says it ran."""
    return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")]


class Repository:
    """A repository of the pipeline and a way to type commands in it, with a home of its own."""

    def __init__(self, path: Path, **environment: str) -> None:
        self.path, self.environment = path, environment
        (path / "home").mkdir(parents=True, exist_ok=True)

    def copy(self, path: Path) -> "Repository":
        """The folder with all that is in it, as it is."""
        shutil.copytree(self.path, path, symlinks=True)
        return Repository(path, **self.environment)

    def clone(self, path: Path) -> "Repository":
        """A colleague's."""
        self.run(f"git clone -q . '{path}'")
        return Repository(path, **self.environment)

    def set_params(self, changes: dict[str, str]) -> None:
        """Replace parts of params.yaml; each must be there once."""
        params = self.path / "params.yaml"
        text = params.read_text()
        for old, new in changes.items():
            text, count = re.subn(old, new, text)
            assert count == 1, old
        params.write_text(text)

    def variables(self) -> dict[str, str]:
        """Of the environment that commands run in: ours, but for an empty home."""
        author = {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        # `uv run` with the environment that runs the tests, as it is
        ours = {"UV_PROJECT_ENVIRONMENT": sys.prefix, "UV_NO_SYNC": "1", "HOME": str(self.path / "home")}
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        keep = {key: value for key, value in os.environ.items() if key != "MALARIA_CELLS"}
        # of several tests at once, threads that spin while they wait keep the others' from working
        ours["OMP_WAIT_POLICY"] = "passive"
        return keep | author | ours | {"PATH": path} | self.environment

    def run(self, command: str, status: int = 0) -> str:
        """What a command prints, typed here in a shell; its exit status is checked."""
        done = subprocess.run(
            command,
            shell=True,
            cwd=self.path,
            env=self.variables(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == status, f"{command}\n{done.stdout}"
        return done.stdout

    def start(self, command: str) -> "subprocess.Popen[str]":
        """A command that goes on in the background, in a process group of its own; both its outputs are in one."""
        return subprocess.Popen(
            command.split(),
            cwd=self.path,
            env=self.variables(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def processes(self, words: str) -> list[int]:
        """Those that run in this folder with these words in their command."""
        found = subprocess.run(["pgrep", "-f", words], capture_output=True, text=True).stdout.split()
        return [int(pid) for pid in found if _folder(pid) == self.path]

    def read(self, name: str) -> str:
        """A text file of the repository."""
        return (self.path / name).read_text("utf-8")


def make_once(path: Path, make: Callable[[Path], None]) -> Repository:
    """A repository that the first of the processes which share the tests makes, for all of them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        made = path.with_name(f"{path.name}.made")
        if not made.exists():
            shutil.rmtree(path, ignore_errors=True)  # of an attempt that failed
            make(path)
            made.touch()
    return Repository(path)


def leftovers(repository: "Repository") -> list[str]:
    """What a run that was broken off may leave behind, and the next one should not."""
    ours = [path for path in repository.path.rglob("*") if ".dvc/tmp" not in str(path)]
    return [str(path) for path in ours if path.suffix == ".tmp" or path.name.startswith("checkpoint.safetensors")]


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> None:
    """Until it is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def _folder(pid: str) -> Path | None:
    """In which a process runs, if it does."""
    try:
        return Path(f"/proc/{pid}/cwd").readlink()
    except OSError:
        return None


class Scratch(Repository):
    """One that begins with the files of this project, set to a few drawn cells."""

    def __init__(self, path: Path, **environment: str) -> None:
        super().__init__(path, **environment)
        for name in PIPELINE:
            source, target = ROOT / name, path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
        self.set_params(SMALL | {r" epochs: \d+ ": " epochs: 1 ", r"robust_epochs: \d+ ": "robust_epochs: 0 "})
        self.run("git init -q -b main . && git add . && git commit -qm begin")
