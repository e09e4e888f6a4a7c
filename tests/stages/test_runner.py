"""The runner checks params before it imports a stage, and turns each kind of failure into a message and a status."""

import errno
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import SimpleNamespace

import pytest

from malaria.core.errors import UserError
from stages import __main__ as runner
from tests.support.scratch import ROOT, Repository, leftovers, wait_for

Run = Callable[[str, Callable[[object], None]], int | str | None]


@pytest.fixture
def exit_code(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run something in place of a stage; returns what it exits with: a message means status 1."""
    monkeypatch.chdir(ROOT)

    def run(stage: str, main: Callable[[object], None]) -> int | str | None:
        monkeypatch.setattr(sys, "argv", ["stages", stage])
        monkeypatch.setitem(sys.modules, f"stages.{stage}", SimpleNamespace(main=main))
        with pytest.raises(SystemExit) as ended:
            runner.main()
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
        return ended.value.code

    return run


def failing(error: BaseException) -> Callable[[object], None]:
    def main(params: object) -> None:
        raise error

    return main


def test_every_stage_refuses_bad_params_before_it_is_imported(tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text.replace("epochs: ", "epochs: abc # "))
    code = """
import sys, time
from stages import __main__ as runner
for stage in runner.STAGES:
    sys.argv = ["stages", stage]
    try:
        runner.main()
    except SystemExit as ended:
        assert "train.epochs" in ended.code, ended.code
imported = {"torch", "pandas", "numpy", *(f"stages.{stage}" for stage in runner.STAGES)} & set(sys.modules)
print(time.process_time() / len(runner.STAGES) < 1, imported)
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (run.stdout, run.stderr) == ("True set()\n", "")
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


@pytest.mark.parametrize("arguments", [[], ["bake"], ["split", "train"]])
def test_an_unknown_stage_is_refused_with_those_there_are(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["stages", *arguments])
    with pytest.raises(SystemExit) as ended:
        runner.main()
    assert all(stage in str(ended.value.code) for stage in runner.STAGES)


def test_every_stage_there_is_can_be_run() -> None:
    assert set(runner.STAGES) == {path.stem for path in (ROOT / "stages").glob("[!_]*.py")}


@pytest.mark.parametrize(
    ("error", "named"),
    [
        (UserError("data/x.csv: wrong"), "data/x.csv: wrong"),
        *((OSError(code, "message", "data/x.csv"), "data/x.csv") for code in runner.DISK_FULL),
        (PermissionError(errno.EACCES, "message", "data/x.csv"), "data/x.csv"),
        (OSError(errno.EROFS, "message", "data/x.csv"), "data/x.csv"),
        (FileNotFoundError(errno.ENOENT, "message", "data/x.csv"), "data/x.csv"),
        (MemoryError(), "train.batch_size"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "train.batch_size"),
        (RuntimeError("CUDA out of memory. Tried to allocate"), "train.batch_size"),
        (BrokenProcessPool("terminated abruptly"), "train.batch_size"),
    ],
    ids=repr,
)
def test_what_a_user_can_mend_is_one_message_and_status_1(error: Exception, named: str, exit_code: Run) -> None:
    message = exit_code("train", failing(error))
    assert isinstance(message, str)
    assert message.startswith("train: ")
    assert named in message


def test_a_bug_keeps_its_traceback(exit_code: Run) -> None:
    with pytest.raises(ZeroDivisionError):
        exit_code("train", failing(ZeroDivisionError()))


def test_ctrl_c_and_sigterm_end_with_the_status_that_a_shell_expects(
    exit_code: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code("split", failing(KeyboardInterrupt())) == 130
    assert exit_code("split", lambda _: os.kill(os.getpid(), signal.SIGTERM)) == 143
    assert [line.split(":")[0] for line in capsys.readouterr().err.splitlines()] == ["split", "split"]


SCRIPT = """
import atexit, os, signal, sys, types
from stages import __main__ as runner
def terminate(): os.kill(os.getpid(), signal.SIGTERM)
def twice(params):
    try: terminate()
    finally:
        terminate()
        print("cleaned up")
def at_exit(params): atexit.register(terminate)
sys.modules["stages.split"] = types.SimpleNamespace(main=NAME)
sys.argv = ["stages", "split"]
runner.main()
"""


@pytest.mark.parametrize(("name", "status", "printed"), [("twice", 143, "cleaned up\n"), ("at_exit", -15, "")])
def test_sigterm_lets_a_stage_clean_up_once_and_ends_an_interpreter_that_is_exiting(
    name: str, status: int, printed: str
) -> None:
    command = [sys.executable, "-c", SCRIPT.replace("NAME", name)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (status, printed)
    assert "Traceback" not in run.stderr


# In earnest

FIRST = {  # what each stage writes first
    "download": "data/cells.zip",
    "split": "data/split.csv",
    "preprocess": "data/cells.npy",
    "audit": "plots/duplicates.csv",
    "evaluate": "data/predictions.csv",
    "report": "report/index.html",
    "train": "data/checkpoint.safetensors",  # last, since dvclive first removes its tables
}


def told(output: str, stage: str) -> str:
    """The one message of a stage."""
    assert "Traceback" not in output, output
    (line,) = (line for line in output.splitlines() if line.startswith(f"{stage}: "))
    return line


@pytest.mark.slow
def test_a_full_disk_is_told_by_the_file_and_leaves_it_as_it_was(scratch: Repository) -> None:
    for stage, first in FIRST.items():
        before = {path: path.read_bytes() for path in (scratch.path / "data").iterdir() if path.is_file()}
        # no file may grow beyond that many blocks, which is as if the disk were full
        blocks = {"audit": 0, "train": 2000}.get(stage, 1)
        line = told(scratch.run(f"ulimit -f {blocks}; python -m stages {stage}", 1), stage)
        assert first in line
        assert {path: path.read_bytes() for path in before} == before
        assert leftovers(scratch) == []


@pytest.mark.slow
def test_too_little_memory_is_told_with_what_to_lower(scratch: Repository) -> None:
    scratch.set_params({"arch: small_resnet ": "arch: resnet18 "})
    status = "import stages.train, torchvision.models; print(open('/proc/self/status').read())"
    (peak,) = re.findall(r"VmPeak:\s+(\d+) kB", scratch.run(f'python -c "{status}"'))  # of the imports alone
    line = told(scratch.run(f"ulimit -v {int(peak) + 150_000}; python -m stages train", 1), "train")
    assert "train.batch_size" in line
    assert leftovers(scratch) == []


@pytest.mark.slow
def test_a_killed_worker_ends_the_stage_with_a_message(scratch: Repository) -> None:
    with scratch.start("python -m stages preprocess") as running:
        wait_for(lambda: bool(scratch.processes("spawn_main")))
        os.kill(max(scratch.processes("spawn_main")), signal.SIGKILL)  # as the kernel does where memory ends
        output, _ = running.communicate()
    assert running.returncode == 1
    assert "preprocess.size" in told(output, "preprocess")
    assert leftovers(scratch) == []
