"""What a pull request is told: the lines of .github/workflows/ci.yml, run on a clone with a base and a head."""

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.support.scratch import ROOT, Repository

WORKFLOW: dict[Any, Any] = YAML(typ="safe", pure=True).load(ROOT / ".github/workflows/ci.yml")


pytestmark = pytest.mark.slow

EPOCHS = r"^\| params.yaml +\| train.epochs +\| 1 +\| 2 +\|$"


@pytest.fixture(scope="module")
def head(ran: Repository, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A branch that trains one epoch more than main, and has run."""
    head = ran.copy(tmp_path_factory.mktemp("head") / "scratch")
    head.run("git switch -qc longer && uv run dvc exp run -S train.epochs=2 && git add . && git commit -qm longer")
    return head


def compare(repository: Repository, base: str) -> str:
    """The summary of the job that compares, once its lines have run."""
    (step,) = [step for step in WORKFLOW["jobs"]["changes"]["steps"] if "GITHUB_STEP_SUMMARY" in step.get("run", "")]
    assert step["env"] == {"BASE": "${{ github.event.pull_request.base.sha }}"}
    repository.run(f"export BASE=$(git rev-parse {base}) GITHUB_STEP_SUMMARY=home/summary; rm -f home/*; {step['run']}")
    summary = repository.read("home/summary")
    assert repository.read("changes.md") == summary
    return summary


def test_params_metrics_and_the_verdict_are_in_the_summary_and_the_comment(head: Repository) -> None:
    summary = compare(head, "main")
    assert re.search(EPOCHS, summary, re.MULTILINE)
    assert re.search(r"^\| metrics/evaluate/metrics.json +\| test.accuracy +\|", summary, re.MULTILINE)
    assert re.search(r"^\| HEAD \| 1 \| \d+ \| .*(better|worse|no difference shown) \|$", summary, re.MULTILINE)


def test_without_predictions_params_and_metrics_are_told_all_the_same(head: Repository, tmp_path: Path) -> None:
    summary = compare(head.clone(tmp_path / "clone"), "origin/main")
    assert re.search(EPOCHS, summary, re.MULTILINE)
    assert "Not told, since the predictions cannot be reached from here" in summary
    assert "Traceback" not in summary


def test_no_change_is_said_and_an_unknown_base_refused(head: Repository) -> None:
    assert compare(head, "HEAD").count("No change.") == 2
    assert "nope: no such commit" in head.run("bash .ci/changes nope", status=1)
