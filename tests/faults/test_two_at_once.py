"""Two at once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.fault_table import Survived
from tests.support.scratch import Repository, wait_for

LONG = {r"epochs: \d+ ": "epochs: 20 "}


@pytest.mark.slow
def test_two_repros_in_one_clone(scratch: Repository, survived: Survived) -> None:
    scratch.set_params(LONG)
    with scratch.start("dvc repro train") as first:
        wait_for(lambda: bool(scratch.processes("stages.train")))
        output = scratch.run("dvc repro train", status=255)
        printed, _ = first.communicate(timeout=120)
    assert first.returncode == 0, printed
    assert "Traceback" not in output
    (line,) = (line for line in output.splitlines() if line.startswith("ERROR: "))
    assert "stages.train" in line or "lock" in line, line
    assert scratch.run("dvc status train").endswith("up to date.\n")
    survived("a second `dvc repro` in the same clone", "typed while the first one trains", line)


@pytest.mark.exhaustive
def test_two_clones_share_a_cache_and_a_remote(scratch: Repository, tmp_path: Path, survived: Survived) -> None:
    scratch.run(f"git clone -q --bare . '{tmp_path}/bare.git'")
    clones = [_clone(tmp_path, name) for name in ("one", "two", "three")]
    lines = "dvc exp run -n {0} -S train.seed={1} && git restore . && dvc exp push origin {0} && dvc push"
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda clone, seed: clone.run(lines.format(clone.path.name, seed)), clones, (1, 2, 1)))
    colleague = _clone(tmp_path, "colleague")
    colleague.run("dvc cache dir --local .dvc/cache && dvc exp pull origin one two three")
    model = "dvc get . models/model.safetensors --rev {0} -o {0} && md5sum < {0}"
    one, two, three = (colleague.run(model.format(name)).splitlines()[-1] for name in ("one", "two", "three"))
    assert one == three != two
    fault, told = "experiments in three clones, one cache and one remote", "each has its result, the same seed the same"
    survived(fault, "`dvc exp run`, `exp push`, `push` at once", told, 3)


def _clone(folder: Path, name: str) -> Repository:
    (clone := Repository(folder / name)).run("git clone -q ../bare.git clone && mv clone/* clone/.??* . && rmdir clone")
    clone.run(f"dvc cache dir --local '{folder}/cache' && dvc remote add --local -d store '{folder}/remote'")
    return clone


@pytest.mark.exhaustive
def test_the_workspace_is_edited_while_the_queue_runs(scratch: Repository, survived: Survived) -> None:
    scratch.run("dvc exp run --queue -n queued -S train.epochs=3 && dvc queue start > /dev/null 2>&1")
    wait_for(lambda: "Running" in scratch.run("dvc queue status"))
    (training := scratch.path / "malaria/training.py").write_text("this is no Python\n")
    scratch.set_params({r"epochs: \d+ ": "epochs: 9 "})
    wait_for(lambda: "Running" not in scratch.run("dvc queue status"))
    assert "Success" in scratch.run("dvc queue status")
    sha = scratch.run("dvc exp list --sha-only").split()[-1]
    assert "epochs: 3 " in scratch.run(f"git show {sha}:params.yaml")
    assert training.read_text() == "this is no Python\n"
    assert "epochs: 9 " in scratch.read("params.yaml")
    fault, provoked = "the workspace is edited while the queue runs", "code broken, params changed"
    survived(fault, provoked, "the result is that of what was queued, the edits stay")
