"""docs/YOUR-LAB.md typed line by line, on crops of a drawn laboratory that looks quite different."""

import json
import re
from pathlib import Path

import pytest

from malaria.sources.drawing.crops import draw_crops
from malaria.sources.drawing.labs import BLUE
from tests.support.scratch import ROOT, Repository, stages_run

PAGE = (ROOT / "docs/YOUR-LAB.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")


def blocks(page: str) -> list[list[str]]:
    """The commands of each block."""
    return [
        [line.split("#")[0].strip() for line in block.split("```")[0].split("\n")[1:] if line.strip()]
        for block in page.split("```bash")[1:]
    ]


def words(page: str) -> str:
    """A page without its embedded images, whose letters are chance."""
    return re.sub(r'data:image[^"]*', "", page)


def draw_folders(folder: Path, patients: int, cells: int, seed: int) -> None:
    """A folder a class, and in these a folder a patient."""
    for crop in draw_crops(BLUE, patients, cells, seed):
        path = folder / ("infected" if crop.parasitized else "healthy") / crop.patient / Path(crop.name).name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(crop.png)


@pytest.fixture(scope="module")
def scratch(ran: Repository, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    scratch = ran.copy(tmp_path_factory.mktemp("lab") / "scratch")
    draw_folders(scratch.path / "cells", patients=9, cells=108, seed=0)
    draw_folders(scratch.path / "kept-aside", patients=6, cells=60, seed=1)
    with (scratch.path / ".gitignore").open("a") as file:
        file.write("/cells/\n/kept-aside/\n/base/\n/*.html\n/kept-aside.csv\n")
    scratch.run("git commit -qam 'a laboratory'")
    return scratch


@pytest.mark.slow
def test_every_line_of_the_page_does_what_it_says(scratch: Repository) -> None:
    (evaluate,), (adapt, predict), (kept_aside,), (copy, train) = blocks(PAGE)
    assert "Sensitivity" in scratch.run(evaluate)
    assert "NIH" not in words(scratch.read("before.html"))

    output = scratch.run(adapt)
    assert re.search(r"^balanced accuracy +0\.\d+ \[.*0\.\d+ \[.*[+-]0\.\d+ \[", output, re.MULTILINE)
    card = json.loads(scratch.read("models-mylab/model.json"))["adaptation"]
    assert (card["cells"], card["groups"], card["group"]) == (108, 9, "patient")
    assert card["replayed"] > 0  # data/cells.npy of the scratch pipeline has the base model's cells
    scratch.run(predict)
    assert len(scratch.read("kept-aside.csv").splitlines()) == 1 + 60

    assert "Sensitivity" in scratch.run(kept_aside)
    assert "<html" in scratch.read("after.html")
    refused = scratch.run(evaluate.replace(" --report", " --model models-mylab --report"), status=1)
    assert "108 of the cells" in refused  # as training cells

    scratch.run(copy.replace("malaria/default_model", "models"))  # this pipeline is of smaller cells than the default
    output = scratch.run(train)
    assert stages_run(output) == ["download", "preprocess", "split", "audit", "train", "evaluate", "report"]
    page = words(scratch.read("report/index.html"))
    assert "108 cells of 9 patients" in page
    assert "NIH" not in page


@pytest.mark.slow
def test_the_lines_of_the_readme_do_too(scratch: Repository) -> None:
    (lines,) = (block for block in blocks(README) if any("malaria adapt" in line for line in block))
    scratch.run("git restore . && dvc checkout")  # the default model, if another test has trained one
    outputs = [scratch.run(line) for line in lines]
    assert "balanced accuracy" in outputs[1]
    assert len(outputs[2].splitlines()) > 50
