"""Cells to show, how augmentation changes them, and whether their saliency maps can be trusted."""

import numpy as np
import pandas as pd
import pytest
import torch

from malaria.evaluation.examples import (
    RIGHT,
    TYPICAL,
    WRONG,
    check_sanity,
    choose_examples,
    pick_parasitized,
    show_augmentation,
)
from tests.support.models import Redness, config
from tests.support.tables import predictions, random_predictions


def test_examples_are_of_all_four_kinds_and_the_mistakes_are_the_most_confident() -> None:
    table = random_predictions()
    test = table[table.split == "test"]
    examples = choose_examples(table, 0.5)
    counts = examples.kind.value_counts()
    assert counts["False negatives"] <= WRONG
    assert counts["True positives"] == counts["True negatives"] == RIGHT
    misses = examples[examples.kind == "False negatives"]
    assert misses.probability.iloc[0] == test[test.label == 1].probability.min()
    assert set(examples.name) <= set(test.name)
    pd.testing.assert_frame_equal(examples, choose_examples(table, 0.5))


def test_without_mistakes_only_correct_predictions_are_shown() -> None:
    table = predictions([0, 1], [0, 1, 0, 1], [-1, 1, -2, 2, -2, 2])
    assert set(choose_examples(table, 0.5).kind) == {"True positives", "True negatives"}


def test_saliency_is_measured_on_parasitized_cells_of_a_split_or_on_any() -> None:
    table = random_predictions(n=600)
    chosen = pick_parasitized(table, "test")
    assert set(zip(chosen.split, chosen.label, strict=True)) == {("test", 1)}
    assert len(chosen) == TYPICAL
    assert len(pick_parasitized(predictions([0, 1], [0, 0], np.zeros(4)), "test")) == 2


def test_the_sanity_check_tells_a_network_that_looks_at_the_cell_from_random_ones() -> None:
    cells = torch.zeros(4, 32, 32, 3, dtype=torch.uint8)
    cells[:, 8:24, 8:24] = torch.tensor([200, 100, 100], dtype=torch.uint8)
    table = check_sanity(Redness(), config("small_resnet"), cells)
    assert table.columns.tolist() == ["trained", "randomised", "area"]
    assert table.trained.tolist() == pytest.approx([1.0] * 4)
    assert table.area.tolist() == pytest.approx([0.25] * 4)
    assert (table.randomised < 0.9).all()
    assert check_sanity(Redness(), config("small_resnet"), torch.full_like(cells, 9)).trained.isna().all()


def test_augmentation_is_shown_beside_the_cells_as_they_are() -> None:
    cells = torch.randint(0, 256, (8, 16, 16, 3), dtype=torch.uint8)
    shown = show_augmentation(cells, "flips")
    assert shown.shape == (8, 4, 16, 16, 3)
    assert torch.equal(shown[:, 0], cells)
    assert not torch.equal(shown[:, 1], cells)
    assert torch.equal(shown.sum((2, 3, 4)), shown[:, :1].sum((2, 3, 4)).expand(8, 4))  # a flip moves pixels only
    assert torch.equal(show_augmentation(cells, "none")[:, 3], cells)
