"""The README and the pages of recipes are true: their commands run in the order in which they stand, their numbers are
those of the last run.
"""

import json
import re
import shutil
import time
from pathlib import Path

import pandas as pd
import pytest
from dvc.utils.hydra import apply_overrides

from malaria.core.archive import write_archive
from malaria.data.sources.synthetic import draw_cells
from malaria.params import Train, load_params
from malaria.report.page import interval, show
from tests.support.scratch import ROOT, Scratch, stages_run

README, EXPERIMENTS, PREDICTING = (
    (ROOT / name).read_text("utf-8") for name in ("README.md", "docs/EXPERIMENTS.md", "docs/PREDICTING.md")
)
FIGURES = json.loads((ROOT / "metrics/evaluate/metrics.json").read_text())


def commands(section: str, block: int = 0, page: str = README) -> list[str]:
    """The lines of a block of commands under a heading, without their comments."""
    text = page.split(f"## {section}\n")[1].split("\n## ")[0].split("```bash\n")[1 + block].split("```")[0]
    return [line.split("#")[0].strip() for line in text.splitlines()]


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Scratch:
    """The pipeline set to a few drawn cells, which stand for NLM's and are where MALARIA_CELLS says."""
    folder = tmp_path_factory.mktemp("readme")
    content = write_archive(folder / "given.zip", draw_cells(patients=12, cells=240, seed=2, workers=1))
    scratch = Scratch(folder / "scratch", MALARIA_CELLS=str(folder / "given.zip"))
    scratch.set_params({"sha256: [0-9a-f]+ ": f"sha256: {content} "})
    scratch.run("git commit -qam 'cells to stand for those of NLM'")
    return scratch


@pytest.mark.slow
def test_the_commands_typed_in_order_do_what_they_say(scratch: Scratch) -> None:
    install, synthetic, back, tests, repro, commit, epochs, diff, restore = commands("Run it")
    assert install == "pip install uv"
    assert tests == "uv run pytest"  # which this is part of

    assert "The report is at file://" in scratch.run(synthetic)
    assert "synthetic" in scratch.run("git diff params.yaml dvc.lock")
    scratch.run(back)
    assert scratch.run("git diff") == ""

    real = scratch.run(repro)
    assert stages_run(real) == ["download", "split", "preprocess", "audit", "train", "evaluate", "explain", "report"]
    assert "The report is at file://" in real
    scratch.run("git add .")  # what none has committed yet, here
    scratch.run(commit)

    assert "train.epochs=10" in epochs
    assert stages_run(scratch.run(epochs)) == ["train", "evaluate", "explain", "report"]
    assert "train.loss" in scratch.run(diff)
    scratch.run(restore)
    assert scratch.run("git status --porcelain") == ""


@pytest.mark.slow
def test_the_commands_that_use_the_model_do(scratch: Scratch) -> None:
    table, groups, demo, export, by_onnx = commands("Use the model")
    cells = scratch.path / "cells"
    cells.mkdir()
    for name, png in draw_cells(patients=2, cells=8, seed=3, workers=1):
        (cells / Path(name).name).write_bytes(png)
    scratch.run(table)
    expected = pd.read_csv(scratch.path / "cells.csv")
    assert len(expected) == 8
    assert expected.columns.tolist() == ["image", "probability", "decision", "uncertain", "ood_score", "unlike"]
    assert len(re.findall(r"^ *C\d+ +\d", scratch.run(groups), re.MULTILINE)) == 2
    assert demo == "uv run --extra demo malaria demo"  # tests/test_demo.py runs it
    assert "model.onnx written" in scratch.run(export)
    rows = json.loads(scratch.run(by_onnx))
    assert [row["probability"] for row in rows] == pytest.approx(expected.probability.tolist(), abs=1e-4)
    assert scratch.run(f"{table.split(' >')[0]} --model HEAD") == (scratch.path / "cells.csv").read_text()
    scratch.run("rm -r cells cells.csv model.onnx")


@pytest.mark.slow
def test_the_example_in_python_does(scratch: Scratch) -> None:
    (scratch.path / "cell.png").write_bytes(next(iter(draw_cells(patients=2, cells=8, seed=3, workers=1)))[1])
    (scratch.path / "example.py").write_text(PREDICTING.split("```python\n")[1].split("```")[0])
    assert re.fullmatch(r"(Uninfected|Parasitized) 0\.\d+ (True|False) *\w*\n", scratch.run("uv run python example.py"))
    scratch.run("rm cell.png example.py")


@pytest.mark.slow
def test_the_commands_to_change_and_compare_do_too(scratch: Scratch) -> None:
    *change, back, compare = commands("Change it, compare it")
    assert stages_run(scratch.run(change[0])) == ["train", "evaluate", "explain", "report"]
    for line in change[1:]:
        scratch.run(line)
    assert "git restore" in back
    scratch.run(back)
    assert scratch.run("git status --porcelain") == ""
    assert stages_run(scratch.run("uv run dvc repro")) == []
    verdict = scratch.run(compare)
    assert re.search(r"^ *flips +1 +\d+ .* (better|worse|no difference shown)$", verdict, re.MULTILINE)
    assert "flips: train.augment=flips (flips)" in verdict


@pytest.mark.exhaustive
def test_folds_by_a_loop_are_pooled_and_compared(scratch: Scratch) -> None:
    lines = [
        line.replace("0 1 2 3 4", "0 1").replace("{0,1,2,3,4}", "{0,1}")
        for line in commands("Folds and seeds", 0, EXPERIMENTS)
    ]
    *loops, compare = lines
    for loop in loops:
        scratch.run(loop)
    scratch.run("git restore . && uv run dvc checkout")
    table = scratch.run(f"bash -c '{compare}'")
    assert re.search(r"^\| base-0 \| 2 \| \d+ \|", table, re.MULTILINE)
    assert re.search(r"^\| flips-0 \| 2 \| .* (better|worse|no difference shown) \|$", table, re.MULTILINE)


@pytest.mark.parametrize("what", ["split.fold", "train.seed"])
@pytest.mark.exhaustive
def test_folds_and_seeds_by_the_queue_run_beside_the_workspace(what: str, scratch: Scratch) -> None:
    queue, start, status = commands("Folds and seeds", 1, EXPERIMENTS)
    assert "-n seed -S 'train.seed=range(0,5)'" in EXPERIMENTS
    name = what.split(".")[1]
    scratch.run("uv run dvc queue remove --all")
    scratch.run(queue.replace("-n fold", f"-n {name}").replace("split.fold=range(0,5)", f"{what}=range(1,3)"))
    scratch.run(f"{start} > /dev/null 2>&1")
    deadline = time.monotonic() + 300
    while len(re.findall("Success|Failed", output := scratch.run(status))) < 2:
        assert time.monotonic() < deadline, output
        time.sleep(2)
    assert output.count("Success") == 2, output
    assert "HEAD" in scratch.run(f"uv run malaria compare HEAD {name}-1 {name}-2")
    assert scratch.run("git diff") == ""


@pytest.mark.parametrize(
    ("revisions", "message"),
    [
        ("nope", "nope: no such revision; `dvc exp list` and `git log` name those there are"),
        ("HEAD $(git rev-list --max-parents=0 HEAD)", "its predictions cannot be read"),
    ],
)
@pytest.mark.slow
def test_a_revision_that_cannot_be_compared_is_named(revisions: str, message: str, scratch: Scratch) -> None:
    output = scratch.run(f"uv run malaria compare {revisions}", status=1)
    assert message in output
    assert "Traceback" not in output


@pytest.mark.slow
def test_the_leak_is_measured_by_one_command(scratch: Scratch) -> None:
    (leak,) = commands("Numbers to be trusted")
    scratch.run("git commit -q --allow-empty -m 'not what an earlier run of it started from'")
    output = scratch.run(leak)
    assert re.search(r"^\| by-patient \|  \| 1 \| \d+ \|", output, re.MULTILINE)
    assert re.search(
        r"^\| by-cell \| `split.by=cell` \| 1 \| .* (better|worse|no difference shown)", output, re.MULTILINE
    )
    assert scratch.run("git diff") == ""


def test_the_notebook_is_one_line_of_params_that_are_accepted(tmp_path: Path) -> None:
    (line,) = commands("The notebook", 0, EXPERIMENTS)
    command, *overrides = line.split(" -S ")
    assert command == "uv run dvc exp run"
    shutil.copy(ROOT / "params.yaml", tmp_path)
    apply_overrides(tmp_path / "params.yaml", overrides)  # as `dvc exp run` does it
    params = load_params(tmp_path / "params.yaml")
    assert params.split.by == "cell"
    assert params.train == Train(
        arch="simple_cnn",
        pretrained=False,
        weights=None,
        freeze=0,
        color="keep",
        augment="none",
        epochs=5,
        batch_size=32,
        optimizer="adam",
        lr=1e-4,
        schedule="constant",
        weight_decay=0,
        label_smoothing=0,
        precision="auto",
        devices=1,
        seed=0,
    )


def test_the_table_is_that_of_the_last_run() -> None:
    test = FIGURES["test"]
    names = ("accuracy", "sensitivity", "specificity", "roc_auc", "f1", "mcc")
    row = [show(name, test[name]) for name in names]
    assert f"| {' | '.join(row)} |" in README
    assert f"| {' | '.join(interval(test, name) for name in names)} |" in README
    assert f"**{row[0]}** of cells of unseen patients" in README
    patients = len((ROOT / "plots/patients.csv").read_text().splitlines()) - 1
    assert f"over the {patients} patients of the test set" in README


def test_the_leak_is_that_of_the_last_measurement() -> None:
    tables = {name: measured(name) for name in ("splits", "notebook", "notebook-by-cell")}
    accuracy = {name: 100 * table.accuracy for name, table in tables.items()}
    by_cell, by_patient = accuracy["notebook-by-cell"]["notebook"], accuracy["notebook"]["notebook"]
    assert f"Its own config calls {by_cell:.1f} % of the cells right" in README
    assert f"**{by_patient:.1f} %** of those of patients it has not seen" in README
    ours = accuracy["splits"]
    assert f"The model here gives {ours['by-cell']:.1f} % and\n{ours['by-patient']:.1f} %" in README
    leak = 100 * tables["splits"].loc["by-cell"][["difference", "difference_low", "difference_high"]]
    assert "it gains {:.2f} points by the leak, 95 % interval\n{:.2f} to {:.2f}.".format(*leak) in README


def test_what_the_example_says_on_the_real_images_is_what_was_measured() -> None:
    flips = measured("folds").loc["flips"]
    change, low, high = (f"{100 * flips[name]:+.2f}" for name in ("difference", "difference_low", "difference_high"))
    said = f"{flips.verdict}, {change} points of accuracy with an interval of {low} to {high}."
    assert f"On the real images that says: {said}" in EXPERIMENTS


def measured(title: str) -> pd.DataFrame:
    """A table of docs/results by variant."""
    return pd.read_csv(ROOT / f"docs/results/{title}.csv").set_index("variant")


@pytest.mark.parametrize("page", [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")], ids=lambda path: path.name)
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text("utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_page_of_docs_is_named_in_the_readme() -> None:
    assert [page.name for page in ROOT.glob("docs/*.md") if f"](docs/{page.name})" not in README] == []
