"""Cells of other laboratories have the labels of what they show, and the OOD score is set against the error."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench import external
from bench.external import DRAWN, Cells, correlate, draw_cells, evaluate, join, labelled
from malaria import load_model
from malaria.params import Preprocess
from tests.support.models import make_model

HOW = Preprocess(size=64, fit="stretch", mask="auto", unsegmented="drop")


def test_drawn_cells_that_are_found_are_labelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(external, "FIELD_CELLS", 30)
    cells = draw_cells(0, DRAWN["radius 24 px"], HOW)
    assert 20 <= len(cells.labels) <= 30
    assert cells.pixels.shape == (len(cells.labels), 64, 64, 3)
    assert 0.2 < cells.labels.mean() < 0.6
    darkest = np.where(cells.pixels.max(-1) > 0, cells.pixels.mean(-1), 255).min((1, 2))
    assert darkest[cells.labels == 1].mean() < darkest[cells.labels == 0].mean()  # parasites are


def test_cells_without_a_label_are_left_out() -> None:
    cells = labelled(np.arange(4).reshape(4, 1, 1, 1).astype(np.uint8), np.array([1, -1, 0, -1]), "P1")
    both = join([cells, cells])
    assert both.pixels.flatten().tolist() == [0, 2, 0, 2]
    assert both.labels.tolist() == [1, 0, 1, 0]
    assert set(both.patients) == {"P1"}


def test_a_single_patient_has_no_interval(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(1, 256, (40, 64, 64, 3), np.uint8)
    cells = Cells(pixels, np.arange(40) % 2, np.full(40, "P1"))
    row = evaluate(load_model(make_model(tmp_path)), cells)
    assert 0 <= row["roc_auc"] <= 1
    assert np.isnan(row["roc_auc_low"])


def test_the_ood_score_is_ranked_against_the_error() -> None:
    balanced = [0.9, 0.8, 0.7, 0.6]
    sets = pd.DataFrame({"balanced": balanced, "ood_score": [1.0, 2, 3, 4], "ood_rate": [0.4, 0.3, 0.2, 0.1]})
    row = correlate(sets.assign(model="m")).iloc[0]
    assert row.ood_score == pytest.approx(1)
    assert row.ood_rate == pytest.approx(-1)
