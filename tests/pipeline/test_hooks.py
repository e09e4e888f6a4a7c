"""The hooks of .pre-commit-config.yaml, in a repository of their own."""

from pathlib import Path

import pytest

from tests.support.scratch import Scratch


@pytest.mark.exhaustive
def test_a_commit_is_checked_and_a_switch_brings_its_files(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path / "scratch")
    scratch.run("git rm -q dvc.yaml && git commit -qm 'no stages, whose files would be missing'")
    scratch.run("uv run pre-commit install")
    (scratch.path / "malaria/core/errors.py").write_text('"""Wrong."""\n\nimport os\n\nlimit: int = "3"\n')
    output = scratch.run("git add . && git commit -m wrong", status=1)
    assert "`os` imported but unused" in output
    assert "Incompatible types in assignment" in output
    scratch.run("git restore --staged . && git restore .")

    for branch in ("one", "two"):
        scratch.run(f"git switch -qc {branch} && rm -f big && echo {branch} > big && uv run dvc add -q big")
        scratch.run(f"git add big.dvc .gitignore && git commit -qm {branch}")
    scratch.run("git switch one")
    assert scratch.read("big") == "one\n"
