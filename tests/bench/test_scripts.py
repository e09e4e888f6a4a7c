"""The scripts of bench/ run: each on drawn cells, with its constants set so that it is quick."""

import re

import pytest

from bench.results import PAGE
from tests.support.scratch import ROOT, Repository

SCRIPTS = {  # by module, its constants and arguments
    "adaptation": ("LABELS = (10,); SEEDS = 1; HOME_CELLS = 20", "unpacked"),
    "baseline": ("", ""),
    "decoding": ("SAMPLE = 20; TURNS = 1", ""),
    "doubted": ("SEEDS = EPOCHS = 1", "some.csv"),
    "external": ("SAMPLE = 60; PATIENTS = 1; FIELD_CELLS = 30", "models --crops unpacked"),
    "inference": ("SIZES = (32,)", ""),
    "labels": ("", "some.csv --runs workspace"),
    "onnx_models": ("SECONDS = 0; CALIBRATION = 32", ""),
    "ood": ("SAMPLE = 160", ""),
    "parasitemia": ("SMEARS = 2; ENOUGH = 1", ""),
    "precision": ("TURNS = 1", ""),
    "predict": ("TURNS = 1; OVER = 2", "models"),
    "robustness": ("", "--split val"),
    "scale": ("", "240 300"),
    "stage_costs": ("", "split preprocess evaluate report"),
    "smear": ("PATIENTS = FIELDS = 1; FIELD_CELLS = 60; LABELLED = 6", "coverage models"),
    "start": ("TURNS = PHOTOGRAPHS = 1", ""),
    "step": ("TURNS = 1", ""),
    "time_to_accuracy": ("", "--goal 0.1 --seeds 1 --workers 0"),
}

MARKS = re.findall(r"<!-- (?!end)(.+) -->", (ROOT / PAGE).read_text("utf-8"))


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_runs_on_drawn_cells(name: str, scratch: Repository) -> None:
    constants, arguments = SCRIPTS[name]
    script = scratch.path / f"bench/{name}.py"
    text = script.read_text("utf-8").replace("\nif __name__", f"\n{constants}\n\nif __name__")
    script.write_text(text, "utf-8")
    scratch.run("mkdir -p docs/results && python -m zipfile -e data/cells.zip unpacked")
    scratch.run("awk 'NR % 9 == 1' data/cells.csv > some.csv")
    marks = "".join(f"<!-- {title} -->\n<!-- end -->\n" for title in MARKS)
    for page in ("docs/RESULTS.md", "README.md"):
        (scratch.path / page).write_text(marks)
    assert len(scratch.run(f"python bench/{name}.py {arguments}").splitlines()) > 1
