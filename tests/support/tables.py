"""Small tables of predictions that several tests evaluate."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from malaria.evaluation.calibration import sigmoid


def table(labels: list[int], probabilities: list[float], patients: str | None = None) -> pd.DataFrame:
    """Cells of the patients that the letters name, or of one each."""
    names = list(patients) if patients else [f"C{n}" for n in range(len(labels))]
    return pd.DataFrame({"patient": names, "label": labels, "probability": probabilities})


def predictions(val: npt.ArrayLike, test: npt.ArrayLike, logits: npt.ArrayLike) -> pd.DataFrame:
    """A predictions.csv of cells with those labels, four to a patient, and those logits, taken as calibrated."""
    labels = np.concatenate([np.asarray(part, int) for part in (val, test)])
    split = np.repeat(["val", "test"], [len(np.asarray(val)), len(np.asarray(test))])
    names = [f"{('Uninfected', 'Parasitized')[label]}/C{n // 4}_cell_{n}.png" for n, label in enumerate(labels)]
    patients = [f"C{n // 4}" for n in range(len(labels))]
    columns = {"name": names, "patient": patients, "label": labels, "split": split, "logit": logits}
    return pd.DataFrame(columns).assign(probability=lambda cells: sigmoid(cells.logit.to_numpy()))


def random_predictions(seed: int = 0, n: int = 400) -> pd.DataFrame:
    """Mostly correct, of n cells each in val and test."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, 2 * n)
    return predictions(labels[:n], labels[n:], random.normal(3 * labels - 1.5, 1.5))
