"""Adapting to another laboratory: better than before on cells that took no part, the same bytes, refusals."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from malaria.core.errors import UserError
from malaria.core.hashing import hash_array
from malaria.evaluation.thresholds import fit_error_rates
from malaria.model.weights import read_training_hashes
from malaria.predict import finetune
from malaria.predict.adapt import Adapted, Base, Replay, adapt, find_replay, predict, read_base, write_adapted
from malaria.predict.labelled import LabelledCells
from malaria.predict.load import load_model
from malaria.smear.crops import decode
from malaria.sources.drawing.crops import draw_crops
from malaria.sources.drawing.labs import BLUE
from malaria.sources.drawing.sets import draw_cells
from tests.support.models import PARAMS, make_model

HOW = PARAMS.preprocess.model_copy(update={"size": 32})


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"COPIES": 256, "REPLAYED": 64, "STEPS": 20}.items():
        monkeypatch.setattr(finetune, name, value)


@pytest.fixture
def two_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("malaria.predict.adapt.FOLDS", 2)


@pytest.fixture(scope="module")
def cells() -> LabelledCells:
    crops = list(draw_crops(BLUE, patients=6, cells=60, seed=0))
    pixels = np.stack([decode(crop.png, HOW) for crop in crops])
    index = pd.DataFrame([(crop.name, int(crop.parasitized), crop.patient) for crop in crops])
    index.columns = pd.Index(["name", "label", "patient"])
    return LabelledCells(index, pixels, np.array([hash_array(cell) for cell in pixels], np.uint64), [])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model of random weights, to which a few steps are all it knows."""
    return make_model(tmp_path / "models")


@pytest.fixture(scope="module")
def replay() -> Replay:
    drawn = list(draw_cells(patients=4, cells=40, seed=2, workers=1))
    labels = np.array([name.startswith("Parasitized") for name, _ in drawn]).astype(np.int64)
    return Replay(np.stack([decode(png, HOW) for _, png in drawn]), labels)


def some(cells: LabelledCells, rows: list[int]) -> LabelledCells:
    return LabelledCells(cells.index.iloc[rows].reset_index(drop=True), cells.pixels[rows], cells.hashes[rows], [])


def test_the_metrics_before_and_after_are_of_cells_that_took_no_part(folder: Path, cells: LabelledCells) -> None:
    base = read_base(str(folder))
    seen: list[np.ndarray] = []

    def spy(model: torch.nn.Module, new: finetune.Features, old: object, seed: int) -> torch.nn.Module:
        seen.append(new.rows.unique().numpy())
        return model

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finetune, "fine_tune", spy)
        adapted = adapt(base, cells, None, seed=0)
    *folds, final = seen
    assert len(folds) == 5
    assert len(final) == len(cells.index)  # the last is on all
    left_out = [set(cells.index.patient) - set(cells.index.patient.iloc[rows]) for rows in folds]
    assert sorted(patient for fold in left_out for patient in fold) == sorted(set(cells.index.patient))
    assert adapted.card.adaptation
    assert adapted.card.adaptation.group == "patient"
    assert adapted.card.adaptation.groups == 6
    assert adapted.card.error_rates == fit_error_rates(adapted.predictions)
    untouched = predict(base.network, cells.pixels, np.arange(len(cells.index)))
    assert adapted.predictions.logit.to_numpy() == pytest.approx(untouched, abs=1e-4)  # the spy changed nothing


@pytest.mark.slow
@pytest.mark.usefixtures("two_folds")
def test_a_model_learns_the_cells_it_is_adapted_to(
    folder: Path, cells: LabelledCells, replay: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finetune, "STEPS", 150)
    monkeypatch.setattr(finetune, "COPIES", 1024)
    adapted = adapt(read_base(str(folder)), cells, replay, seed=0)
    write_adapted(adapted, folder.with_name("mylab"))
    table = load_model(folder.with_name("mylab")).predict_cells(cells.pixels)
    right = (table.prediction == "Parasitized") == (cells.index.label == 1)
    assert right.mean() > 0.8
    assert adapted.card.adaptation
    assert adapted.card.adaptation.replayed == 40
    assert adapted.card.tta


@pytest.mark.usefixtures("two_folds")
@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes(folder: Path, cells: LabelledCells, replay: Replay) -> None:
    def files(name: str, seed: int) -> dict[str, bytes]:
        write_adapted(adapt(read_base(str(folder)), cells, replay, seed), folder.with_name(name))
        return {path.name: path.read_bytes() for path in folder.with_name(name).iterdir()}

    one, same, other = files("one", 0), files("same", 0), files("other", 1)
    assert set(one) == {"model.safetensors", "model.json", "predictions.csv"}
    assert one == same
    assert one["model.safetensors"] != other["model.safetensors"]


@pytest.mark.slow
@pytest.mark.usefixtures("two_folds")
def test_the_adapted_model_knows_what_it_was_trained_on(folder: Path, cells: LabelledCells) -> None:
    base = read_base(str(folder))
    write_adapted(adapt(base, cells, None, seed=0), folder.with_name("mylab"))
    hashes = read_training_hashes(folder.with_name("mylab") / "model.safetensors")
    assert np.isin(cells.hashes, hashes).all()
    assert np.isin(base.hashes, hashes).all()
    again = read_base(str(folder.with_name("mylab")))
    assert again.card.adaptation
    assert again.card.adaptation.base_sha256 == base.sha256
    assert isinstance(adapt(again, cells, None, seed=0), Adapted)  # once more, from the adapted one


def test_replay_is_of_cells_that_the_base_was_trained_on_alone(folder: Path, replay: Replay, tmp_path: Path) -> None:
    base = read_base(str(folder))
    np.save(tmp_path / "cells.npy", replay.pixels)
    table = pd.DataFrame({"name": range(40), "label": replay.labels, "patient": "P", "split": "train"})
    table.to_csv(tmp_path / "split.csv", index=False)
    assert find_replay(tmp_path / "cells.npy", tmp_path / "split.csv", base, 0) is None
    known = np.array([hash_array(cell) for cell in replay.pixels[::2]], np.uint64)
    knowing = Base(base.network, base.card, np.sort(known), base.sha256)
    found = find_replay(tmp_path / "cells.npy", tmp_path / "split.csv", knowing, 0)
    assert found
    assert len(found.labels) == 20
    assert find_replay(tmp_path / "no.npy", tmp_path / "split.csv", knowing, 0) is None


def test_too_few_cells_or_one_class_are_refused(folder: Path, cells: LabelledCells) -> None:
    base = read_base(str(folder))
    positive = cells.index.index[cells.index.label == 1].tolist()
    negative = cells.index.index[cells.index.label == 0].tolist()
    for rows, told in ((positive[:2] + negative[:1], "3 "), (positive[:12], "Uninfected"), (negative[:12], "Parasit")):
        with pytest.raises(UserError, match=told):
            adapt(base, some(cells, rows), None, seed=0)


def test_more_cells_than_are_worth_it_are_sent_to_the_pipeline(folder: Path, cells: LabelledCells) -> None:
    many = LabelledCells(pd.concat([cells.index] * 400, ignore_index=True), cells.pixels, cells.hashes, [])
    with pytest.raises(UserError, match=r"24,000.*train\.init"):
        adapt(read_base(str(folder)), many, None, seed=0)


@pytest.mark.slow
def test_of_one_patient_cells_are_divided_and_there_is_no_interval(folder: Path, cells: LabelledCells) -> None:
    one = some(cells, cells.index.index[cells.index.patient == cells.index.patient[0]].tolist())
    card = adapt(read_base(str(folder)), one, None, seed=0).card
    assert card.error_rates
    assert all(rate and sum(rate) < len(one.index) for rate in card.error_rates.at(0.5))
    adaptation = card.adaptation
    assert adaptation
    assert adaptation.by_cell
    assert adaptation.metrics["difference_balanced_accuracy_low"] is None
    assert adaptation.metrics["after_balanced_accuracy"] is not None
