"""Cells of another laboratory go through the pipeline, and a model of them is where the next training starts."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from malaria.model.weights import read_weights
from malaria.sources.drawing.crops import draw_crops
from malaria.sources.drawing.labs import BLUE
from tests.support.images import empty_crop
from tests.support.scratch import Repository, stages_run

PATIENTS, CELLS = 8, 160
OWN = "-S download.source=own -S download.path=inputs/lab -S 'download.classes=[healthy,infected]'"


def write_crops(folder: Path) -> list[Path]:
    """A folder a class, and in it a folder a patient."""
    paths = []
    for crop in draw_crops(replace(BLUE, radius=24), PATIENTS, CELLS, seed=2):
        path = folder / ("infected" if crop.parasitized else "healthy") / crop.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(crop.png)
        paths.append(path)
    return paths


@pytest.mark.slow
def test_own_cells_run_and_the_next_training_starts_from_their_model(scratch: Repository) -> None:
    paths, lab = write_crops(scratch.path / "inputs/lab"), scratch.path / "inputs/lab"
    report = scratch.path / "report/index.html"
    report.unlink()
    ran = stages_run(scratch.run(f"dvc exp run {OWN}"))
    assert ran == ["download", "preprocess", "split", "audit", "train", "evaluate", "report"]
    assert report.exists()
    cells, without_cell = (pd.read_csv(scratch.path / f"data/{name}.csv") for name in ("cells", "unsegmented"))
    assert len(cells) == CELLS
    assert cells.patient.nunique() == PATIENTS
    assert cells.label.sum() == CELLS // 2
    assert len(without_cell) < CELLS // 10
    assert stages_run(scratch.run("dvc repro --dry")) == []

    paths[0].write_bytes(empty_crop())  # the first crop shows no cell any more
    assert stages_run(scratch.run("dvc repro --dry"))[0] == "download"
    scratch.run("cp -r models inputs/first")
    first = hashlib.sha256((scratch.path / "inputs/first/model.safetensors").read_bytes()).hexdigest()
    report.unlink()
    ran = stages_run(scratch.run("dvc exp run -S train.init=inputs/first"))
    assert {"download", "preprocess", "split", "train", "evaluate", "report"} <= set(ran)
    assert report.exists()
    name = str(paths[0].relative_to(lab))
    assert name in pd.read_csv(scratch.path / "data/unsegmented.csv").name.tolist()
    split = pd.read_csv(scratch.path / "data/split.csv").set_index("name").split
    assert split[name] == "dropped"
    _, config = read_weights(scratch.path / "models/model.safetensors")
    assert config.init_sha256 == first
