"""The README is true: its commands run in the order in which they stand, its numbers are those of the last run."""

import json
import re

import pytest
from conftest import ROOT
from scratch import Scratch, stages_run

from malaria.archive import write_archive
from malaria.params import load_params
from malaria.synthetic import draw_cells

README = (ROOT / "README.md").read_text("utf-8")
FIGURES = json.loads((ROOT / "metrics/evaluate/metrics.json").read_text())


def commands(section: str) -> list[str]:
    """The lines of the first block of commands under a heading, without their comments."""
    block = README.split(f"## {section}\n")[1].split("```bash\n")[1].split("```")[0]
    return [line.split("#")[0].strip() for line in block.splitlines()]


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Scratch:
    """The pipeline set to a few drawn cells, which stand for NLM's and are where MALARIA_CELLS says."""
    folder = tmp_path_factory.mktemp("readme")
    content = write_archive(folder / "given.zip", draw_cells(patients=12, cells=240, seed=2, workers=1))
    scratch = Scratch(folder / "scratch", MALARIA_CELLS=str(folder / "given.zip"))
    scratch.set_params({"sha256: [0-9a-f]+ ": f"sha256: {content} "})
    scratch.run("git commit -qam 'cells to stand for those of NLM'")
    return scratch


def test_the_commands_typed_in_order_do_what_they_say(scratch: Scratch) -> None:
    install, synthetic, back, tests, repro, epochs, diff = commands("Run it")
    assert install == "pip install uv"
    assert tests == "uv run pytest"  # which this is part of

    assert "The report is at file://" in scratch.run(synthetic)
    assert "synthetic" in scratch.run("git diff params.yaml dvc.lock")
    scratch.run(back)
    assert scratch.run("git diff") == ""

    real = scratch.run(repro)
    assert stages_run(real) == ["download", "split", "preprocess", "train", "evaluate", "report"]
    assert "The report is at file://" in real
    scratch.run("git add . && git commit -qm 'the real run'")

    assert stages_run(scratch.run(epochs)) == ["train", "evaluate", "report"]
    assert "train.loss" in scratch.run(diff)


def test_the_commands_to_change_and_compare_do_too(scratch: Scratch) -> None:
    *_, back = commands("Change it, compare it")
    for line in commands("Change it, compare it"):
        scratch.run(line)
    assert "git restore" in back
    assert scratch.run("git status --porcelain") == ""
    assert stages_run(scratch.run("uv run dvc repro")) == []


def test_the_notebook_is_one_line(scratch: Scratch) -> None:
    line = next(line for line in README.splitlines() if "train.arch=simple_cnn" in line)
    assert stages_run(scratch.run(line)) == ["split", "train", "evaluate", "report"]
    params = load_params(scratch.path / "params.yaml")
    assert (params.split.by, params.train.arch, params.train.lr) == ("cell", "simple_cnn", 1e-4)


def test_the_table_is_that_of_the_last_run() -> None:
    test = FIGURES["test"]
    row = [f"{test[name]:.1%}".replace("%", " %") for name in ("accuracy", "sensitivity", "specificity")]
    row += [f"{test[name]:.4f}" for name in ("roc_auc", "f1", "mcc")]
    assert f"| {' | '.join(row)} |" in README
    assert f"**{row[0]}** of cells of unseen patients" in README


def test_every_file_that_the_readme_names_is_there() -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert links
    assert all((ROOT / link).is_file() for link in links)
