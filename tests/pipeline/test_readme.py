"""README.md and docs/ are true: their commands run in order, their numbers are those of the last run."""

import hashlib
import json
import re
import shutil
import time
from io import StringIO
from pathlib import Path
from zipfile import ZipFile

import pandas as pd
import pytest
from dvc.utils.hydra import apply_overrides
from PIL import Image

from malaria.core.archive import digest
from malaria.params import Train, load_params
from malaria.report.page import interval, read_metrics, show
from malaria.sources.drawing.fields import draw_field
from malaria.sources.drawing.labs import VIVID
from malaria.sources.drawing.sets import draw_cells
from tests.support.scratch import ROOT, Repository, stages_run

README, EXPERIMENTS, PREDICTING = (
    (ROOT / name).read_text("utf-8") for name in ("README.md", "docs/EXPERIMENTS.md", "docs/PREDICTING.md")
)
VERDICT = "(better|worse|no difference shown)"


def commands(section: str, block: int = 0, page: str = README) -> list[str]:
    """The lines of a block of commands under a heading, without their comments."""
    text = page.split(f"## {section}\n")[1].split("\n## ")[0].split("```bash\n")[1 + block].split("```")[0]
    return [line.split("#")[0].strip() for line in text.splitlines()]


def columns_of(text: str) -> set[str]:
    """The columns that a table of a page describes."""
    heads = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return {name for head in heads for name in re.findall("`([a-z_]+)`", head)}


def draw_photographs(folder: Path) -> None:
    """Two small ones."""
    folder.mkdir(parents=True)
    for number in range(2):
        pixels = draw_field(VIVID, number, 40, 0.1, 640, 480).pixels
        Image.fromarray(pixels).save(folder / f"{number}.jpg", quality=95)


@pytest.fixture(scope="module")
def scratch(varied: Repository, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A pipeline set to the images that MALARIA_CELLS names: those that have been drawn, as if they were NLM's."""
    folder = tmp_path_factory.mktemp("readme")
    scratch = varied.copy(folder / "scratch")
    scratch.environment["MALARIA_CELLS"] = str(shutil.copy(scratch.path / "data/cells.zip", folder))
    with ZipFile(scratch.path / "data/cells.zip") as archive:
        content = digest({name: hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()})
    scratch.run("git restore . && dvc checkout")
    scratch.set_params({"source: synthetic ": "source: nih ", "sha256: [0-9a-f]{64} ": f"sha256: {content} "})
    scratch.run("git commit -qam 'the real images'")
    return scratch


@pytest.mark.slow
def test_the_commands_typed_in_order_do_what_they_say(scratch: Repository) -> None:
    install, synthetic, back, tests, repro, commit, epochs, diff, restore = commands("Run it")
    assert (install, tests) == ("pip install uv", "uv run pytest")

    drawn = scratch.run(synthetic)
    assert stages_run(drawn) == ["download", "evaluate", "report"]  # which name the source; the rest has run
    assert "The report is at file://" in drawn
    assert "synthetic" in scratch.run("git diff params.yaml")
    scratch.run(back)
    assert scratch.run("git diff") == ""

    real = scratch.run(repro)
    assert stages_run(real) == ["download", "evaluate", "report"]  # the cells are the same bytes
    assert "The report is at file://" in real
    scratch.run(commit)

    assert "train.epochs=10" in epochs
    assert stages_run(scratch.run(epochs)) == ["evaluate", "report"]  # trained from the cache
    assert "accuracy" in scratch.run(diff)
    scratch.run(restore)
    assert scratch.run("git status --porcelain") == ""


@pytest.mark.slow
def test_the_commands_that_use_the_model_do(scratch: Repository) -> None:
    *photographs, table, groups, app, export, by_onnx = commands("Use the model")
    draw_photographs(scratch.path / "photographs")
    example, counted, page = (scratch.run(line) for line in photographs)
    assert re.search(r"example\.jpg +1 +\d\d ", example)
    assert len(re.findall(r"photographs/\d\.jpg +1 +\d+ ", counted)) == 2
    assert sorted(path.name for path in (scratch.path / "seen").iterdir()) == ["0.jpg", "1.jpg"]
    assert (scratch.path / "slide.html").exists()
    assert "arasitemia" in page
    cells = scratch.path / "cells"
    cells.mkdir()
    for name, png in draw_cells(patients=2, cells=8, seed=3, workers=1):
        (cells / Path(name).name).write_bytes(png)
    scratch.run(table)
    expected = pd.read_csv(scratch.path / "cells.csv")
    assert len(expected) == 8
    assert set(expected.columns) == columns_of(PREDICTING.split("## Parasitemia")[0])
    assert len(re.findall(r"^ *C\d+ +\d", scratch.run(groups), re.MULTILINE)) == 2
    assert app.endswith("malaria app")  # tests/app runs it
    scratch.run(export)
    rows = json.loads(scratch.run(f"{by_onnx} 2> /dev/null"))
    assert [row["probability"] for row in rows] == pytest.approx(expected.probability.tolist(), abs=1e-4)
    assert scratch.run(f"{table.split(' >')[0]} --model HEAD 2> /dev/null") == (scratch.path / "cells.csv").read_text()

    shutil.copy(next(cells.iterdir()), scratch.path / "cell.png")
    (scratch.path / "example.py").write_text(PREDICTING.split("```python\n")[1].split("```")[0])
    assert re.match(r"(Uninfected|Parasitized) 0\.\d+ (True|False)", scratch.run("uv run python example.py"))
    scratch.run("rm -r cells cells.csv model.onnx cell.png example.py seen slide.html photographs")


@pytest.mark.slow
def test_the_commands_of_parasitemia_count_photographs(scratch: Repository) -> None:
    by_photo, by_patient, by_folder, page = commands("Parasitemia", page=PREDICTING)
    draw_photographs(scratch.path / "photographs/P1")
    (scratch.path / "patients.csv").write_text("image,patient\n0.jpg,Anna\n1.jpg,Ben\n")
    table = pd.read_csv(StringIO(scratch.run(f"{by_photo} --csv 2> /dev/null")))
    assert set(table.columns) - {"group"} == columns_of(PREDICTING.split("## Parasitemia")[1])
    assert re.search(r"^ *Anna +\d", scratch.run(by_patient), re.MULTILINE)
    # the few cells that this model was validated on choose no other operating point
    assert "photographs/P1 " in scratch.run(by_folder.replace("specificity_99", "default"))
    scratch.run(page)
    assert (scratch.path / "P1.html").exists()
    scratch.run("rm -r photographs patients.csv P1.html")


@pytest.mark.slow
def test_the_commands_to_change_and_compare_do_too(scratch: Repository) -> None:
    *change, back, compare = commands("Change it, compare it")
    assert stages_run(scratch.run(change[0])) == ["train", "evaluate", "report"]
    for line in [*change[1:], back]:
        scratch.run(line)
    assert scratch.run("git status --porcelain") == ""
    verdict = scratch.run(compare)
    assert re.search(rf"^ *flips +1 +\d+ .* {VERDICT}$", verdict, re.MULTILINE)
    assert "train.augment=flips" in verdict
    unknown = scratch.run("uv run malaria compare nope", status=1)
    assert "nope" in unknown
    assert "Traceback" not in unknown


@pytest.mark.exhaustive
def test_folds_by_a_loop_are_pooled_and_compared(scratch: Repository) -> None:
    lines = commands("Folds and seeds", 0, EXPERIMENTS)
    *loops, compare = [line.replace("0 1 2 3 4", "0 1").replace("{0,1,2,3,4}", "{0,1}") for line in lines]
    for loop in loops:
        scratch.run(loop)
    scratch.run("git restore . && dvc checkout")
    table = scratch.run(f"bash -c '{compare}'")
    assert re.search(r"^\| base-0 +\| 2 +\| \d+ +\|", table, re.MULTILINE)
    assert re.search(rf"^\| flips-0 +\| 2 +\| .* {VERDICT} +\|$", table, re.MULTILINE)


@pytest.mark.exhaustive
def test_folds_by_the_queue_run_beside_the_workspace(scratch: Repository) -> None:
    queue, start, status = commands("Folds and seeds", 1, EXPERIMENTS)
    scratch.run(queue.replace("range(0,5)", "range(1,3)"))
    scratch.run(f"{start} > /dev/null 2>&1")
    deadline = time.monotonic() + 300
    while len(re.findall("Success|Failed", output := scratch.run(status))) < 2:
        assert time.monotonic() < deadline, output
        time.sleep(2)
    assert output.count("Success") == 2, output
    assert "HEAD" in scratch.run("uv run malaria compare HEAD fold-1 fold-2")
    assert scratch.run("git diff") == ""


@pytest.mark.exhaustive
def test_the_leak_is_measured_by_one_command(scratch: Repository) -> None:
    (leak,) = (line for line in README.splitlines() if line.startswith("uv run python bench/results.py splits"))
    output = scratch.run(leak.split("#")[0])
    assert re.search(r"^\| by-patient ", output, re.MULTILINE)
    assert re.search(rf"^\| by-cell .* {VERDICT}", output, re.MULTILINE)


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
        init="inputs/none",
        weights=None,
        freeze=0,
        color="keep",
        augment="none",
        epochs=5,
        batch_size=32,
        optimizer="adam",
        lr=1e-4,
        schedule="constant",
        robust_epochs=0,
        weight_decay=0,
        label_smoothing=0,
        precision="auto",
        seed=0,
    )


def test_the_table_is_that_of_the_last_run() -> None:
    test = read_metrics(pd.read_csv(ROOT / "plots/metrics.csv"))["test"]
    names = ("accuracy", "sensitivity", "specificity", "roc_auc", "f1", "mcc")
    assert f"| {' | '.join(show(name, test[name]) for name in names)} |" in README
    assert f"| {' | '.join(interval(test, name) for name in names)} |" in README
    patients = len((ROOT / "plots/patients.csv").read_text().splitlines()) - 1
    assert f"{patients} patients of the test set" in " ".join(README.split())


def test_the_leak_is_that_of_the_last_measurement() -> None:
    splits, notebook, by_cell = (measured(name) for name in ("splits", "notebook", "notebook-by-cell"))
    for cell, patient in (
        (by_cell.loc["notebook"], notebook.loc["notebook"]),
        (splits.loc["by-cell"], splits.loc["by-patient"]),
    ):
        value, low, high = (100 * patient[name] for name in ("accuracy", "accuracy_low", "accuracy_high"))
        assert f"| {100 * cell.accuracy:.1f} % | **{value:.1f} %** ({low:.1f} to {high:.1f}) |" in README
    leak = 100 * splits.loc["by-cell"][["difference", "difference_low", "difference_high"]]
    assert "{:.2f} points, 95 % interval {:.2f} to {:.2f}".format(*leak) in " ".join(README.split())


def test_the_verdict_on_folds_is_that_of_the_last_measurement() -> None:
    flips = measured("previous-folds").loc["flips"]
    change, low, high = (f"{100 * flips[name]:+.2f}" for name in ("difference", "difference_low", "difference_high"))
    said = f"{flips.verdict}, {change} points of accuracy with an interval of {low} to {high}"
    assert said in " ".join(EXPERIMENTS.split())


def measured(title: str) -> pd.DataFrame:
    """A table of docs/results by variant."""
    return pd.read_csv(ROOT / f"docs/results/{title}.csv").set_index("variant")


@pytest.mark.parametrize("page", [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")], ids=lambda path: path.name)
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    text = page.read_text("utf-8")
    links = [page.parent / link for link in re.findall(r"\]\((?!http)([^)#]+)\)", text)]
    code = re.findall(r"`((?:malaria|stages|tests|bench|docs)/[a-z_0-9./-]*)`", text)  # NAME.py stands for others
    tests = {path.name for path in ROOT.glob("tests/**/test_*.py")}
    assert set(re.findall(r"`(test_\w+\.py)`", text)) <= tests
    assert [path for path in [*links, *(ROOT / name for name in code)] if not path.exists()] == []


def test_every_page_of_docs_is_named_in_the_readme() -> None:
    assert [page.name for page in ROOT.glob("docs/*.md") if f"](docs/{page.name})" not in README] == []
