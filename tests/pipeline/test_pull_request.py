"""What a pull request is told: the lines of .github/workflows/ci.yml, run on a clone with a base and a head."""

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.support.scratch import ROOT, Repository

pytestmark = pytest.mark.slow

WORKFLOW: dict[Any, Any] = YAML(typ="safe", pure=True).load(ROOT / ".github/workflows/ci.yml")
EPOCHS = r"^\| train.epochs +\| 1 +\| 10 +\|$"


@pytest.fixture(scope="module")
def head(varied: Repository, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A branch that trains for longer than main, and has run."""
    head = varied.copy(tmp_path_factory.mktemp("head") / "scratch")
    head.run("git switch -qc longer && git commit -qam longer")
    return head


def compare(repository: Repository, base: str) -> str:
    """The summary of the job that compares, once its lines have run."""
    (step,) = [step for step in WORKFLOW["jobs"]["changes"]["steps"] if "GITHUB_STEP_SUMMARY" in step.get("run", "")]
    assert step["env"] == {"BASE": "${{ github.event.pull_request.base.sha }}"}
    repository.run(f"export BASE=$(git rev-parse {base}) GITHUB_STEP_SUMMARY=home/summary; rm -f home/*; {step['run']}")
    summary = repository.read("home/summary")
    assert repository.read("changes.md") == summary
    return summary


def test_the_verdict_comes_first_and_the_metrics_are_folded(head: Repository) -> None:
    summary = compare(head, "main")
    verdict = re.match(r"## Compared with [0-9a-f]+: (better|worse|no difference shown)\n\n\| variant", summary)
    assert verdict
    assert re.search(rf"^\| HEAD +\| 1 +\| .* {verdict[1]} +\|$", summary, re.MULTILINE)
    assert re.search(EPOCHS, summary, re.MULTILINE)
    folded = summary.partition("<details>\n")[2].partition("</details>")[0]
    assert re.search(r"^\| accuracy +\| 0\.\d+ +\| 0\.\d+ +\|", folded, re.MULTILINE)


def test_without_predictions_params_and_metrics_are_told_all_the_same(head: Repository, tmp_path: Path) -> None:
    summary = compare(head.clone(tmp_path / "clone"), "origin/main")
    assert re.match(r"## Compared with [0-9a-f]+: not available", summary)
    assert "data/predictions.csv" in summary
    assert "Traceback" not in summary
    assert re.search(EPOCHS, summary, re.MULTILINE)
    assert "| accuracy" in summary


def test_without_a_change_that_is_said_and_an_unknown_base_is_refused(head: Repository) -> None:
    assert compare(head, "HEAD").count("No change.") == 2
    assert "nope" in head.run("bash .ci/changes nope", status=1)
