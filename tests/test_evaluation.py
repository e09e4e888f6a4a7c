"""From logits to the table that all figures come from."""

import numpy as np
import pandas as pd
import pytest

from malaria.evaluation import judge_splits, tabulate_curves, tabulate_predictions

CELLS = pd.DataFrame(
    {
        "name": [f"Uninfected/C{n}P1ThinF_IMG_1_1_cell_{n}.png" for n in range(8)],
        "label": [0, 1, 0, 1, 0, 1, 1, 0],
        "patient": [f"C{n}" for n in range(8)],
        "smear": "any",
        "split": ["val"] * 4 + ["test"] * 4,
    }
)
LOGITS = np.array([-2.0, 2.0, 1.0, -1.0, -3.0, 3.0, -0.5, 0.2])


def test_the_table_has_the_columns_promised_and_probabilities_of_the_tempered_logits() -> None:
    table, temperature = tabulate_predictions(CELLS, LOGITS)
    assert table.columns.tolist() == ["name", "patient", "label", "split", "logit", "probability"]
    assert table.logit.tolist() == LOGITS.tolist()
    assert table.probability.to_numpy() == pytest.approx(1 / (1 + np.exp(-LOGITS / temperature)))


def test_the_temperature_is_fitted_on_val_alone() -> None:
    _, temperature = tabulate_predictions(CELLS, LOGITS)
    changed = np.where(CELLS.split == "test", -100 * LOGITS, LOGITS)
    assert tabulate_predictions(CELLS, changed)[1] == temperature


def test_val_and_test_are_judged_apart() -> None:
    table, _ = tabulate_predictions(CELLS, LOGITS)
    figures = judge_splits(table, 0.5)
    assert set(figures) == {"val", "test"}
    assert (figures["val"]["accuracy"], figures["test"]["accuracy"]) == (0.5, 0.5)
    assert (figures["test"]["tp"], figures["test"]["fn"], figures["test"]["fp"], figures["test"]["tn"]) == (1, 1, 1, 1)


def test_the_confusion_table_has_a_row_a_cell_of_test_in_words() -> None:
    table, _ = tabulate_predictions(CELLS, LOGITS)
    confusion = tabulate_curves(table, 0.5)["confusion"]
    assert confusion.actual.tolist() == ["Uninfected", "Parasitized", "Parasitized", "Uninfected"]
    assert confusion.predicted.tolist() == ["Uninfected", "Parasitized", "Uninfected", "Parasitized"]
