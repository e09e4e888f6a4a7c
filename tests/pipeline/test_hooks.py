"""The hooks of .pre-commit-config.yaml, in a repository of their own."""

from pathlib import Path

import pytest

from tests.support.scratch import Scratch


@pytest.fixture
def scratch(tmp_path: Path) -> Scratch:
    scratch = Scratch(tmp_path / "scratch")
    scratch.run("git rm -q dvc.yaml && git commit -qm 'no stages, whose files would be missing'")
    scratch.run("uv run pre-commit install")
    return scratch


@pytest.mark.slow
def test_a_commit_is_checked_and_a_switch_brings_its_files(scratch: Scratch) -> None:
    (scratch.path / "malaria/errors.py").write_text('"""Wrong."""\n\nimport os\n\nlimit: int = "3"\n')
    output = scratch.run("git add . && git commit -m wrong", status=1)
    assert "`os` imported but unused" in output
    assert "Incompatible types in assignment" in output
    scratch.run("git restore --staged . && git restore .")

    (scratch.path / "big").write_text("one")
    scratch.run("uv run dvc add -q big && git add big.dvc .gitignore")
    assert "dvc status" in scratch.run("git commit -m one")
    scratch.run("git switch -qc two && uv run dvc unprotect big")
    (scratch.path / "big").write_text("two")
    scratch.run("uv run dvc add -q big && git add big.dvc && git commit -qm two")
    scratch.run("git switch main")
    assert scratch.read("big") == "one"
