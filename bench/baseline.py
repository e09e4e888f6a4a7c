"""What is a deep network worth here? `uv run python bench/baseline.py` writes it down.

Trains classifiers of scikit-learn on colours of the cells, with the split, the pixels and the threshold of the default
model, and evaluates them on the same test cells, beside data/predictions.csv, which is the default's.

The features of a cell know nothing of shapes: of each channel, divided by its mean over the cell as for the network,
quantiles, standard deviation and a histogram of optical densities over the cell's pixels.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.base import ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm import tqdm

from bench.labels import METRICS, evaluate
from bench.results import to_markdown, write_down
from malaria.data.decode import Pixels
from malaria.data.index import read_index
from malaria.evaluation.metrics import Array

QUANTILES = np.linspace(0.005, 0.995, 12)
EDGES = np.linspace(-0.6, 1.4, 21)  # of optical densities
MODELS: dict[str, ClassifierMixin] = {
    "logistic regression on colours": make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000)),
    "random forest on colours": RandomForestClassifier(400, min_samples_leaf=2, n_jobs=-1, random_state=0),
    "gradient boosting on colours": HistGradientBoostingClassifier(max_iter=400, learning_rate=0.06, random_state=0),
}


def describe(cell: Pixels) -> Array:
    """The features of a cell (size, size, 3)."""
    inside = cell[cell.any(-1)].astype(float) + 1
    density = np.log(inside.mean(0) / inside)  # how much darker a pixel is than the mean of the cell
    shares = [np.histogram(channel.clip(EDGES[0], EDGES[-1]), EDGES)[0] / len(channel) for channel in density.T]
    hue = density[:, 0] - density[:, 1]
    return np.concatenate(
        [np.quantile(density, QUANTILES, axis=0).ravel(), density.std(0), np.quantile(hue, QUANTILES), *shares]
    )


def render(table: pd.DataFrame) -> str:
    """A row a model: each metric with its interval."""
    rows = []
    for of in table.to_dict("records"):
        row = {"model": of["model"]}
        for name, (title, factor, digits) in METRICS.items():
            value, low, high = (factor * of[f"{name}{end}"] for end in ("", "_low", "_high"))
            row[title] = f"{value:{digits}} [{low:{digits}}, {high:{digits}}]"
        rows.append(row)
    return to_markdown(pd.DataFrame(rows))


def main() -> None:
    split, cells = read_index(Path("data/split.csv")), np.load("data/cells.npy", mmap_mode="r")
    features = np.stack([describe(cell) for cell in tqdm(cells, disable=None)])
    train, test = (np.flatnonzero(split.split == name) for name in ("train", "test"))
    rows = []
    for name, model in MODELS.items():
        model.fit(features[train], split.label.iloc[train])
        table = split.iloc[test].assign(probability=model.predict_proba(features[test])[:, 1], threshold=0.5)
        rows.append({"model": name} | evaluate(table))
        print(name, f"{rows[-1]['accuracy']:.4f}", flush=True)
    predictions = read_index(Path("data/predictions.csv")).query("split == 'test'")
    rows.append({"model": "the default"} | evaluate(predictions.assign(threshold=0.5)))
    write_down("baseline", pd.DataFrame(rows), render)


if __name__ == "__main__":
    main()
