"""Agreement of two readers is Cohen's kappa with an interval that covers, and the cells on which they differ."""

from math import isnan

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from malaria.labelling.agreement import CATEGORIES, Agreement, cohen_kappa, compare_readers
from malaria.labelling.labels import LABELS, Row

INFECTED, HEALTHY, NO_CELL, UNSURE = LABELS


def rows(labels: list[str], first: int = 0) -> dict[str, Row]:
    """Cells numbered from `first` on."""
    return {f"{first + n}.png": Row(label, "", "", "random") for n, label in enumerate(labels)}


def compare(first: list[str], second: list[str]) -> Agreement:
    return compare_readers(rows(first), rows(second))


def test_kappa_is_that_of_scikit_learn_over_three_categories() -> None:
    random = np.random.default_rng(0)
    first = random.choice(LABELS[:3], 80).tolist()
    second = [label if random.uniform() < 0.7 else str(random.choice(LABELS[:3])) for label in first]
    found = compare(first, second)
    assert found.kappa == pytest.approx(cohen_kappa_score(first, second))
    assert found.observed == np.mean(np.array(first) == second)
    assert -1 <= found.low < found.kappa < found.high <= 1


def test_only_cells_that_both_labelled_count() -> None:
    found = compare_readers(rows([HEALTHY] * 5, first=0), rows([HEALTHY, INFECTED, HEALTHY], first=3))
    assert found.cells == 2
    assert found.observed == 0.5


def test_cells_set_aside_for_whatever_reason_are_one_category() -> None:
    found = compare([INFECTED, NO_CELL, UNSURE, HEALTHY], [INFECTED, UNSURE, UNSURE, UNSURE])
    assert found.observed == 0.75
    assert found.disagreements.to_numpy().tolist() == [["3.png", HEALTHY, UNSURE]]


def test_disagreements_are_in_the_order_of_the_first_reader() -> None:
    first, second = rows([INFECTED, HEALTHY, UNSURE]), rows([HEALTHY, HEALTHY, HEALTHY])
    found = compare_readers(dict(reversed(first.items())), second)
    assert found.disagreements.columns.tolist() == ["image", "first", "second"]
    assert found.disagreements.to_numpy().tolist() == [["2.png", UNSURE, HEALTHY], ["0.png", INFECTED, HEALTHY]]


@pytest.mark.parametrize("labels", [[], [HEALTHY], [HEALTHY] * 9, [UNSURE, NO_CELL]])
def test_kappa_is_undefined_without_cells_and_with_one_category(labels: list[str]) -> None:
    found = compare(labels, labels)
    assert found.cells == len(labels)
    assert all(isnan(value) for value in (found.kappa, found.low, found.high))
    assert found.disagreements.empty


def test_readers_who_agree_on_all_have_a_kappa_of_one_without_an_interval() -> None:
    found = compare([HEALTHY, INFECTED], [HEALTHY, INFECTED])
    assert found.kappa == pytest.approx(1)
    assert isnan(found.low)
    assert isnan(found.high)


@pytest.mark.parametrize(
    "shares",
    [
        [[0.5, 0.05, 0.02], [0.05, 0.3, 0.02], [0.02, 0.02, 0.02]],
        [[0.7, 0.1, 0.0], [0.02, 0.18, 0.0], [0.0, 0.0, 0.0]],  # margins of the readers differ
    ],
)
def test_the_interval_contains_the_true_kappa_about_as_often_as_it_says(shares: list[list[float]]) -> None:
    truth, *_ = cohen_kappa(np.array(shares))
    draws = np.random.default_rng(0).multinomial(200, np.ravel(shares), 2000)
    found = [cohen_kappa(draw.reshape(len(CATEGORIES), len(CATEGORIES))) for draw in draws]
    assert np.mean([low <= truth <= high for _, low, high in found]) == pytest.approx(0.95, abs=0.02)
