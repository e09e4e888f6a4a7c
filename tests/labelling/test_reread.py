"""Suspected label errors are read again among as many others, and the accuracy follows from the answers."""

from math import isnan
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from malaria.core.errors import UserError
from malaria.data.index import CLASSES, SET_ASIDE
from malaria.evaluation.predictions import find_label_errors
from malaria.labelling.proportion import measure_proportion
from malaria.labelling.reread import draw, summarise, write_corrections
from tests.support.tables import predictions, random_predictions

CELLS = random_predictions()
TEST = CELLS[CELLS.split == "test"].set_index("name")
SUSPECTED = find_label_errors(CELLS, below=0.2).name.tolist()
THRESHOLD = 0.5


def as_labelled(drawn: pd.DataFrame) -> dict[str, str]:
    """The answers of a reader who changes nothing."""
    return {name: CLASSES[label] for name, label in zip(drawn.name, drawn.label, strict=True)}


def as_predicted(drawn: pd.DataFrame) -> dict[str, str]:
    """The answers of a reader who says what the model says."""
    return {name: CLASSES[int(TEST.probability[name] >= THRESHOLD)] for name in drawn.name}


def test_all_suspected_cells_of_test_are_drawn_and_as_many_others_of_it() -> None:
    drawn = draw(CELLS, SUSPECTED, seed=0)
    assert drawn.columns.tolist() == ["name", "label", "suspected"]
    assert drawn.name.is_unique
    assert set(drawn.name[drawn.suspected]) == set(SUSPECTED) & set(TEST.index)
    assert set(drawn.name[~drawn.suspected]) <= set(TEST.index) - set(SUSPECTED)
    assert (~drawn.suspected).sum() == drawn.suspected.sum()
    assert drawn.label.tolist() == TEST.label[drawn.name].tolist()


def test_the_order_mixes_them_and_is_that_of_the_seed() -> None:
    drawn = draw(CELLS, SUSPECTED, seed=0)
    halves = np.array_split(drawn.suspected.to_numpy(), 2)
    assert all(0.25 < half.mean() < 0.75 for half in halves)
    assert draw(CELLS, SUSPECTED, seed=0).equals(drawn)
    assert set(draw(CELLS, SUSPECTED, seed=1).name) != set(drawn.name)


def test_where_most_of_test_is_suspected_all_others_are_drawn() -> None:
    drawn = draw(CELLS, TEST.index[:390].tolist(), seed=0)
    assert len(drawn) == 400


@pytest.mark.parametrize("suspected", [[], ["elsewhere.png"], CELLS.name[CELLS.split == "val"].tolist()])
def test_without_a_suspected_cell_of_test_there_is_nothing_to_draw(suspected: list[str]) -> None:
    with pytest.raises(UserError):
        draw(CELLS, suspected, seed=0)


def by_hand(answers: dict[int, str]) -> tuple[pd.DataFrame, dict[str, str], pd.DataFrame]:
    """Test has two suspected cells, of which the first is drawn as 0, and eight others; two more are drawn: 2 and 3.

    The model is wrong on the suspected cells and on no other. All labels are 0.
    """
    cells = predictions(val=[], test=[0] * 10, logits=[3.0, 3.0] + [-3.0] * 8)
    drawn = cells.iloc[[2, 0, 3, 1]].assign(suspected=[False, True, False, True])[["name", "label", "suspected"]]
    return drawn, {cells.name[number]: label for number, label in answers.items()}, cells


HEALTHY, INFECTED = CLASSES
NO_CELL, UNSURE = SET_ASIDE


@pytest.mark.parametrize(
    ("answers", "accuracy"),
    [
        ({0: HEALTHY, 1: HEALTHY, 2: HEALTHY, 3: HEALTHY}, 8 / 10),
        ({0: INFECTED, 1: HEALTHY, 2: HEALTHY, 3: HEALTHY}, 9 / 10),
        ({0: INFECTED, 1: INFECTED, 2: HEALTHY, 3: INFECTED}, (2 + 4) / 10),  # another cell stands for four
        ({0: INFECTED, 2: HEALTHY}, 10 / 10),
        ({0: INFECTED, 1: UNSURE, 2: HEALTHY, 3: HEALTHY}, 9 / 9),
        ({0: HEALTHY, 1: HEALTHY, 2: HEALTHY, 3: NO_CELL}, 4 / 6),
    ],
)
def test_each_answered_cell_stands_for_its_share_of_the_suspected_or_the_other_cells(
    answers: dict[int, str], accuracy: float
) -> None:
    found = summarise(*by_hand(answers), THRESHOLD)
    assert found.accuracy == 0.8
    assert found.reread_accuracy == pytest.approx(accuracy)


def test_changed_labels_are_counted_among_the_answers_that_are_labels() -> None:
    found = summarise(*by_hand({0: INFECTED, 1: UNSURE, 2: HEALTHY}), THRESHOLD)
    assert found.suspected == measure_proportion(1, 1)
    assert found.others == measure_proportion(0, 1)
    assert found.set_aside == 1


@pytest.mark.parametrize("answers", [{}, {0: INFECTED, 1: INFECTED}, {2: HEALTHY}, {0: UNSURE, 2: UNSURE}])
def test_without_answers_of_both_kinds_the_accuracy_is_not_known(answers: dict[int, str]) -> None:
    found = summarise(*by_hand(answers), THRESHOLD)
    assert found.accuracy == 0.8
    assert all(isnan(value) for value in (found.reread_accuracy, found.low, found.high))


def test_a_reader_who_changes_nothing_leaves_the_accuracy_as_it_is() -> None:
    drawn = draw(CELLS, SUSPECTED, seed=0)
    found = summarise(drawn, as_labelled(drawn), CELLS, THRESHOLD)
    assert (found.suspected.value, found.others.value) == (0, 0)
    assert found.low == found.reread_accuracy == found.high == pytest.approx(found.accuracy)


def test_a_reader_who_agrees_with_the_model_on_all_of_test_gives_it_an_accuracy_of_one() -> None:
    drawn = draw(CELLS, TEST.index[:200].tolist(), seed=0)
    found = summarise(drawn, as_predicted(drawn), CELLS, THRESHOLD)
    assert len(drawn) == len(TEST)
    assert found.reread_accuracy == pytest.approx(1)


def test_the_interval_contains_what_reading_all_of_test_would_give_about_as_often_as_it_says() -> None:
    mistakes = find_label_errors(CELLS, below=0.5).name.tolist()
    flipped = np.random.default_rng(0).uniform(size=len(TEST)) < 0.15
    reader = pd.Series(np.where(flipped, 1 - TEST.label, TEST.label), TEST.index)
    truth = ((TEST.probability >= THRESHOLD) == (reader == 1)).mean()
    answers = {name: CLASSES[label] for name, label in reader.items()}
    found = [summarise(draw(CELLS, mistakes, seed), answers, CELLS, THRESHOLD) for seed in range(60)]
    assert np.mean([one.low <= truth <= one.high for one in found]) > 0.9
    assert np.mean([one.reread_accuracy for one in found]) == pytest.approx(truth, abs=0.02)


def test_corrections_are_all_answers_in_the_order_of_reading(tmp_path: Path) -> None:
    drawn, answers, _ = by_hand({0: INFECTED, 1: UNSURE, 2: HEALTHY})
    write_corrections(tmp_path / "corrections.csv", drawn, answers | {"elsewhere.png": HEALTHY})
    table = pd.read_csv(tmp_path / "corrections.csv")
    assert table.columns.tolist() == ["name", "label"]
    assert table.label.tolist() == [HEALTHY, INFECTED, UNSURE]
    assert table.name.tolist() == drawn.name.iloc[[0, 1, 3]].tolist()
