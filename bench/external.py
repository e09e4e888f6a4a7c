"""How far does a model travel? `uv run python bench/external.py MODEL [MODEL] --crops FOLDER ...` writes it down.

Evaluates models (folders or revisions, as for `malaria predict`), each at its own threshold and without a label of the
laboratory, on cells that are not NIH's, or are NIH's as another microscope would have shown them:

    --crops FOLDER            another laboratory's labelled crops, masked by the pipeline's own segmentation
    --photographs FOLDER      NLM's photographs (as for `bench/smear.py nlm`), segmented by the pipeline
    --held-out MODEL [MODEL]  what evaluates these, one for each MODEL: the same training without their patients, by
                              `dvc exp run --temp -S 'split.test_patients=[C12,C201,C39,C52,C63,C84,C92]'`

and always on drawn laboratories, each of which differs from NIH's in one thing or in all, segmented by the pipeline;
and on a sample of NIH's test cells, as they are and changed as in `bench/robustness.py`, at the middle strength.

Writes docs/results/external.csv, its short form into docs/RESULTS.md, what the last MODEL does into README.md, and
external-ood: whether the OOD score rises where accuracy falls.
"""

import argparse
import io
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image
from scipy.stats import spearmanr

from bench.results import FOLDER, publish, read_table, to_markdown, write_down
from bench.robustness import ARCHIVE, CHANGES, SPLIT, change_cell
from bench.smear import HEALTHY, WHOLE, overlap, read_photograph
from malaria import load_model
from malaria.core.archive import open_archive
from malaria.core.workers import count_cores, start_pool
from malaria.data.decode import BLACK, Pixels, read_image, to_rgb
from malaria.data.index import CLASSES, read_index
from malaria.evaluation.bootstrap import interval, resample
from malaria.evaluation.metrics import Array, compute_metrics
from malaria.model.hardware import prepare
from malaria.params import Preprocess
from malaria.predict.classifier import Classifier
from malaria.predict.labelled import read_labelled
from malaria.smear.cells import COUNTED, cut_squares
from malaria.smear.photograph import Photograph, find_cells
from malaria.sources.drawing.fields import draw_field
from malaria.sources.drawing.labs import BLUE, HOME, VIVID, Lab

METRICS = ("roc_auc", "sensitivity", "specificity", "ece")
SAMPLE = 1000  # of NIH's test cells
PATIENTS, FIELD_CELLS, PARASITEMIA = 8, 70, 0.4  # of a drawn laboratory, one photograph each
AT_A_GLANCE = ("as they are", "another microscope (BLUE)", "another camera (VIVID)")
TITLES = {"NIH": "NIH", "NLM": "NIH's, from photographs", "another laboratory": "another", "drawn": "drawn"}  # in order
README = Path("README.md")
RESAMPLES = 2000  # of the sets, for the interval of a rank correlation

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Cells:
    """Cells as the network sees them (N, size, size, 3), their labels (N,) and patients (N,), which may be cells."""

    pixels: Pixels
    labels: Labels
    patients: Array


class Drawn(NamedTuple):
    """A drawn laboratory, and what its camera does to a photograph."""

    lab: Lab
    light: float = 1.0
    quality: int = 100  # of JPEG


PALE = replace(HOME, pallor=(0.8, 1), hollow=(0.45, 0.65))
DRAWN = {
    "as NLM's": Drawn(HOME),
    "bluish stain": Drawn(replace(HOME, stains=BLUE.stains)),
    "warm stain": Drawn(replace(HOME, stains=VIVID.stains)),
    "light times 0.6": Drawn(HOME, light=0.6),
    "radius 24 px": Drawn(replace(HOME, radius=24)),
    "out of focus": Drawn(replace(HOME, blur=0.07)),
    "JPEG, quality 30": Drawn(HOME, quality=30),
    "uneven background": Drawn(replace(HOME, vignetting=0.3, gradient=0.2)),
    "contrast times 1.4": Drawn(replace(HOME, contrast=1.4)),
    "pale centres": Drawn(PALE),
    "all but the stain": Drawn(
        replace(PALE, radius=24, blur=0.05, contrast=1.3, vignetting=0.2, gradient=0.15), light=0.8, quality=50
    ),
    "another microscope (BLUE)": Drawn(BLUE),
    "another camera (VIVID)": Drawn(VIVID),
}


def read_crops(folder: Path, how: Preprocess) -> Cells:
    """Labelled crops, of which only those count in which a cell is found."""
    with TemporaryDirectory() as temporary:
        cells = read_labelled(folder, CLASSES, how, Path(temporary) / "cells.zip")
    return Cells(cells.pixels, cells.index.label.to_numpy(), cells.index.patient.to_numpy())


def draw_cells(patient: int, drawn: Drawn, how: Preprocess) -> Cells:
    """The cells that are found in a drawn photograph, each with the label of the drawn cell it shows most of."""
    scale = drawn.lab.radius / HOME.radius
    width, height = round(1500 * scale), round(1150 * scale)
    field = draw_field(drawn.lab, 100, FIELD_CELLS, PARASITEMIA, width, height, patient=patient)
    image = take_photograph(field.pixels, drawn)
    found = counted(find_cells(image))
    parasitized = np.append(-1, field.cells.sort_values("cell").parasitized.astype(int))  # by number, 0 is none
    shown = [field.labels[top:bottom, left:right] for left, top, right, bottom in (cell.box for cell in found.cells)]
    numbers = [np.bincount(part[cell.mask]).argmax() for part, cell in zip(shown, found.cells, strict=True)]
    return labelled(cut_squares(image, found, how), parasitized[np.array(numbers, int)], f"P{patient}")


def take_photograph(pixels: Pixels, drawn: Drawn) -> Image.Image:
    file = io.BytesIO()
    Image.fromarray((pixels * drawn.light).round().astype(np.uint8)).save(file, "JPEG", quality=drawn.quality)
    return Image.open(file).convert("RGB")


def read_nlm(photo: str, crops: pd.DataFrame, folder: Path, how: Preprocess) -> Cells:
    """The cells of one of NLM's photographs whose label is known: NIH's crops, and all of a healthy patient's cells."""
    image, patient = read_photograph(folder / photo), str(crops.patient.iloc[0])
    found = counted(find_cells(image))
    labels = np.full(len(found.cells), 0 if patient in HEALTHY else -1)
    archive = open_archive(ARCHIVE)
    for crop in crops.itertuples():
        mask = np.asarray(to_rgb(read_image(archive.read(crop.name)))).max(-1) >= BLACK
        overlaps = np.array([overlap(cell, mask, crop.x, crop.y) for cell in found.cells])
        if overlaps.max() >= WHOLE:
            labels[overlaps.argmax()] = crop.label
    return labelled(cut_squares(image, found, how), labels, patient)


def counted(found: Photograph) -> Photograph:
    return replace(found, cells=[cell for cell in found.cells if cell.kind in COUNTED])


def labelled(pixels: Pixels, labels: Array, patient: str) -> Cells:
    """Those cells of a patient that have a label, 0 or 1; of the others it is -1."""
    known = labels >= 0
    return Cells(pixels[known], labels[known].astype(np.int64), np.full(known.sum(), patient, object))


def join(parts: list[Cells]) -> Cells:
    return Cells(*(np.concatenate([getattr(part, name) for part in parts]) for name in Cells.__annotations__))


def read_sets(how: Preprocess, crops: Path | None, pool: Executor) -> dict[tuple[str, str], Cells]:
    """The sets on which any model is evaluated, by laboratory and what differs."""
    sets = {("another laboratory", f"crops ({crops.name})"): read_crops(crops, how)} if crops else {}
    for name, drawn in DRAWN.items():
        sets["drawn", name] = join(list(pool.map(partial(draw_cells, drawn=drawn, how=how), range(PATIENTS))))
    table = read_index(SPLIT)
    test = table[table.split == "test"]
    test = test.sample(min(SAMPLE, len(test)), random_state=0)
    for change in (None, *CHANGES):
        strength = CHANGES[change][2][len(CHANGES[change][2]) // 2] if change else 0.0
        work = partial(change_cell, ARCHIVE, change, strength, how.model_copy(update={"unsegmented": "keep"}))
        pixels = np.stack(list(pool.map(work, test.name, chunksize=64)))
        words = f"{change}: {CHANGES[change][1].format(strength)}" if change else "as they are"
        sets["NIH", words] = Cells(pixels, test.label.to_numpy(), test.patient.to_numpy())
    return sets


def read_photographs(how: Preprocess, folder: Path, pool: Executor) -> dict[tuple[str, str], Cells]:
    """NLM's photographs: all labelled cells."""
    crops = pd.read_csv(folder / "cells.csv")
    photos = [(str(photo), of) for photo, of in crops.groupby("photo")]
    work = partial(read_nlm, folder=folder, how=how)
    parts = list(pool.map(work, *zip(*photos, strict=True)))
    return {("NLM", "whole photographs, patients held out"): join(parts)}


def evaluate(model: Classifier, cells: Cells) -> dict[str, float]:
    """METRICS, the share that is out of distribution, each with its interval over patients; and the mean OOD score."""
    table = model.predict_cells(cells.pixels).assign(label=cells.labels, patient=cells.patients)
    draws = resample(table, lambda weights: measure(table, model.card.threshold, weights))
    row: dict[str, float] = {"cells": len(table), "ood_score": table.ood_score.mean()}
    for name, value in measure(table, model.card.threshold, np.ones((1, len(table)))).iloc[0].items():
        row |= {f"{name}": value, f"{name}_low": interval(draws[name])[0], f"{name}_high": interval(draws[name])[1]}
    return row


def measure(table: pd.DataFrame, threshold: float, weights: Array) -> pd.DataFrame:
    """A row a set of weights (R, N)."""
    metrics = compute_metrics(table, threshold, weights)[list(METRICS)]
    balanced = (metrics.sensitivity + metrics.specificity) / 2
    return metrics.assign(balanced=balanced, ood_rate=weights @ (table.ood != "") / weights.sum(1))


def measure_models(models: list[str], held_out: list[str], options: argparse.Namespace, pool: Executor) -> pd.DataFrame:
    """A row a model and set; sets are read once for each way to preprocess."""
    rows: list[dict[str, object]] = []
    read: dict[tuple[str, str, str], dict[tuple[str, str], Cells]] = {}
    for name, unseen in zip(models, held_out or models, strict=True):
        for of, kind in ((name, "sets"), (unseen, "photographs")):
            model = load_model(of)
            how = model.card.preprocess
            key = kind, how.fit, how.mask
            if key not in read and kind == "sets":
                read[key] = read_sets(how, options.crops, pool)
            elif key not in read:
                read[key] = read_photographs(how, options.photographs, pool) if options.photographs else {}
            for (laboratory, what), cells in read[key].items():
                rows.append({"model": name, "laboratory": laboratory, "cells are": what} | evaluate(model, cells))
                print(name, laboratory, what, f"{rows[-1]['roc_auc']:.4f}", flush=True)
    return pd.DataFrame(rows)


def render(table: pd.DataFrame) -> str:
    """The short form in Markdown: a row a set, the models side by side."""
    rows = []
    for (laboratory, what), models in table.groupby(["laboratory", "cells are"], sort=False):
        row = {"laboratory": laboratory, "cells": f"{what} ({models.cells.iloc[0]:,})"}
        for of in models.to_dict("records"):
            short = {
                "AUC": show(of, "roc_auc", 1, ".3f"),
                "sensitivity %": show(of, "sensitivity", 100, ".1f"),
                "specificity %": show(of, "specificity", 100, ".1f"),
                "OOD %": show(of, "ood_rate", 100, ".0f"),
                "ECE": show(of, "ece", 1, ".3f"),
            }
            row |= {f"{of['model']}: {name}": value for name, value in short.items()}
        rows.append(row)
    return to_markdown(pd.DataFrame(rows))


def show(of: dict[str, float], name: str, factor: float, digits: str) -> str:
    """A value and its interval; of one patient there is none."""
    value, low, high = (f"{factor * of[key]:{digits}}" for key in (name, f"{name}_low", f"{name}_high"))
    return value if np.isnan(of[f"{name}_low"]) else f"{value} [{low}, {high}]"


def show_at_a_glance(table: pd.DataFrame) -> str:
    """What the last model does on real cells and on the drawn laboratories that differ in all."""
    last = table[table.model == table.model.iloc[-1]]
    kept = last[~last.laboratory.isin(["NIH", "drawn"]) | last["cells are"].isin(AT_A_GLANCE)]
    kept = kept.sort_values("laboratory", key=lambda names: names.map(list(TITLES).index), kind="stable")
    rows = [
        {
            "laboratory": TITLES[of["laboratory"]],
            "cells": of["cells are"],
            "sensitivity %": show(of, "sensitivity", 100, ".0f"),
            "specificity %": show(of, "specificity", 100, ".0f"),
            "AUC": f"{of['roc_auc']:.3f}",
            "out of distribution %": f"{100 * of['ood_rate']:.0f}",
        }
        for of in kept.to_dict("records")
    ]
    return to_markdown(pd.DataFrame(rows))


def correlate(table: pd.DataFrame) -> pd.DataFrame:
    """A row a model: Spearman's correlation, over the sets, of the OOD score and of the OOD share with the error."""
    rows = []
    for name, sets in table.groupby("model", sort=False):
        error = 1 - sets.balanced.to_numpy()
        row: dict[str, object] = {"model": name, "sets": len(sets)}
        for column in ("ood_score", "ood_rate"):
            row |= with_bounds(column, sets[column].to_numpy(), error)
        rows.append(row)
    return pd.DataFrame(rows)


def with_bounds(name: str, values: Array, error: Array) -> dict[str, float]:
    """A rank correlation and the 95 % interval of a bootstrap over sets."""
    random = np.random.default_rng(0)
    draws = [random.integers(0, len(error), len(error)) for _ in range(RESAMPLES)]
    defined = [rows for rows in draws if np.ptp(values[rows]) and np.ptp(error[rows])]
    low, high = np.quantile([spearmanr(values[rows], error[rows]).statistic for rows in defined], [0.025, 0.975])
    return {name: spearmanr(values, error).statistic, f"{name}_low": low, f"{name}_high": high}


def show_correlation(table: pd.DataFrame) -> str:
    titles = {"ood_score": "mean OOD score and error", "ood_rate": "share out of distribution and error"}
    rows = [
        {"model": of["model"], "sets": f"{of['sets']}"}
        | {title: show(of, name, 1, ".2f") for name, title in titles.items()}
        for of in table.to_dict("records")
    ]
    return to_markdown(pd.DataFrame(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--crops", type=Path, metavar="FOLDER")
    parser.add_argument("--photographs", type=Path, metavar="FOLDER")
    parser.add_argument("--held-out", nargs="+", default=[], metavar="MODEL")
    options = parser.parse_args()
    prepare(0)
    with start_pool(count_cores()) as pool:
        table = measure_models(options.models, options.held_out, options, pool)
    write_down("external", table, render)
    glance = show_at_a_glance(read_table(FOLDER / "external.csv"))
    README.write_text(publish("external", glance, README.read_text("utf-8")), "utf-8")
    write_down("external-ood", correlate(table), show_correlation)


if __name__ == "__main__":
    main()
