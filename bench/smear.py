"""From photographs to parasitemia: `uv run python bench/smear.py PART ...` measures docs/RESULTS.md.

    chula FOLDER              red cells found, of the marked centres of Chula RBC-12 (cells.csv: photo,x,y)
    nlm FOLDER MODEL          NIH's crops found in NLM's photographs, and what a model calls them that never saw their
                              patients (cells.csv: photo,patient,name,label,x,y,width,height; crops from data/cells.zip)
    coverage MODEL            intervals of parasitemia on drawn photographs, by a model of drawn cells that is adapted
                              to labelled ones
    speed MODEL               seconds a photograph of 16 megapixels, and memory with the number of photographs

Writes docs/results/smear-PART.csv and its short form into docs/RESULTS.md. The models are made by

    dvc exp run --temp -n nlm -S 'split.test_patients=[C12,C201,C39,C52,C63,C84,C92]'
    dvc exp run --temp -n drawn -S download.source=synthetic \\
        -S download.synthetic.cells=4000 -S download.synthetic.patients=80
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import Executor
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image
from scipy.optimize import linear_sum_assignment

from bench.results import to_markdown, write_down
from malaria.core.archive import open_archive
from malaria.core.workers import count_cores, start_pool
from malaria.data.decode import BLACK, read_image, to_rgb
from malaria.data.index import CLASSES
from malaria.evaluation.model_card import ModelCard, read_card
from malaria.params import Preprocess
from malaria.slide.parasitemia import estimate_parasitemia
from malaria.smear.cells import COUNTED, cut_squares
from malaria.smear.photograph import Photograph, RedCell, find_cells
from malaria.sources.drawing.fields import Field, draw_field
from malaria.sources.drawing.labs import HOME

if TYPE_CHECKING:
    from malaria.predict.adapt import Adapted

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

HALF = 0.5  # of a radius: how close the centre of a found cell must be to a marked one
COMPLETE = 0.1  # cells of a photograph that no mark is on, relative to its marks: where it is more, marks are missing
WHOLE = 0.5  # intersection over union of a mask and NIH's crop
HEALTHY = ("C12", "C201")  # patients of whom all crops in NIH's set are uninfected
POINTS = ("default", "specificity_95", "specificity_99", "sensitivity_98")
LEVELS = (0.0, 0.001, 0.01, 0.05, 0.2)
PATIENTS, FIELDS, FIELD_CELLS = 60, 2, 80  # drawn patients of each level, photographs of each, cells of each
LABELLED = 30  # further patients, with a labelled photograph each, that the model is adapted to
LAB = replace(HOME, radius=45.0)


def read_photograph(path: Path) -> Image.Image:
    """As it was saved, since the places of cells are told in that: not turned as its EXIF says."""
    return read_image(path.read_bytes()).convert("RGB")


def find_in(path: Path) -> Photograph:
    return find_cells(read_photograph(path))


# chula


def measure_chula(folder: Path, pool: Executor) -> pd.DataFrame:
    """A row a photograph: marks, cells found by their centres and by marks inside of them, false ones, count error."""
    marks = pd.read_csv(folder / "cells.csv")
    photos = sorted(marks.photo.unique())
    found = pool.map(find_in, [folder / photo for photo in photos])
    rows = [match_marks(marks[marks.photo == photo], it) for photo, it in zip(photos, found, strict=True)]
    return pd.DataFrame(rows)


def match_marks(marks: pd.DataFrame, found: Photograph) -> dict[str, float]:
    """Centres within HALF a radius are matched one to one; marks inside of a mask count for its cell, once.

    What the border cuts is marked in some photographs only: it may be found, but is not false.
    """
    places = marks[["x", "y"]].to_numpy(float)
    centres = np.array([centre_of(cell) for cell in found.cells]).reshape(-1, 2)
    distance = np.hypot(*(centres[:, None] - places[None]).transpose(2, 0, 1))
    reach = HALF * (found.diameter or 0) / 2
    rows, columns = linear_sum_assignment(np.minimum(distance, reach))
    near = distance[rows, columns] < reach
    inside = np.array([count_inside(cell, places) for cell in found.cells], int)
    whole = np.array([cell.kind != "border" for cell in found.cells], bool)
    far = np.ones(len(centres), bool)
    far[rows[near]] = False
    found_inside, false_inside = int((inside > 0).sum()), int((whole & (inside == 0)).sum())
    return {
        "photo": marks.photo.iloc[0],
        "covered": found.covered,
        "marks": len(marks),
        "found_centre": int(near.sum()),
        "false_centre": int((far & whole).sum()),
        "found": found_inside,
        "merged": int((inside - 1).clip(0).sum()),
        "false": false_inside,
        "count_error": abs(found_inside + false_inside - len(marks)) / len(marks),
    }


def centre_of(cell: RedCell) -> tuple[float, float]:
    rows, columns = np.nonzero(cell.mask)
    return cell.x + columns.mean() + 0.5, cell.y + rows.mean() + 0.5


def count_inside(cell: RedCell, places: Floats) -> int:
    """How many places (N, 2), x and y, are on a cell's mask."""
    x, y = (places - [cell.x, cell.y]).astype(int).T
    height, width = cell.mask.shape
    inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
    return int(cell.mask[y[inside], x[inside]].sum())


def show_chula(table: pd.DataFrame) -> str:
    """By density; the last rows are all photographs, and those in which marks seem to be complete."""
    density = pd.cut(table.covered, [0, 0.35, 0.45, 1], labels=["up to 35 %", "35 to 45 %", "above 45 %"])
    complete = table[table.false <= COMPLETE * table.marks]
    parts = [(f"cells cover {name}", part) for name, part in table.groupby(density, observed=True)]
    parts += [("all", table), ("marks complete", complete)]
    return to_markdown(pd.DataFrame([{"photographs": name} | sum_up_chula(part) for name, part in parts]))


def sum_up_chula(table: pd.DataFrame) -> dict[str, str]:
    marks, false = table.marks.sum(), table.false.sum()
    centres = table.found_centre.sum()
    return {
        "number": f"{len(table)}",
        "marks": f"{marks:,}",
        "found %": f"{100 * table.found.sum() / marks:.1f}",
        "merged %": f"{100 * table.merged.sum() / marks:.1f}",
        "false %": f"{100 * false / (false + table.found.sum()):.1f}",
        "count error %, median": f"{100 * table.count_error.median():.1f}",
        "centre within half a radius %": f"{100 * centres / marks:.1f}",
        "other centres %": f"{100 * table.false_centre.sum() / (table.false_centre.sum() + centres):.1f}",
    }


# nlm


class Called(NamedTuple):
    """A photograph, and the probability of each of its cells."""

    found: Photograph
    probability: Floats


def measure_nlm(folder: Path, model: str, pool: Executor) -> pd.DataFrame:
    """A row a labelled crop, and for each photograph its cells that count as rows without a label."""
    from malaria import load_model
    from malaria.model.hardware import prepare

    prepare(0)
    classifier = load_model(model)
    labels = pd.read_csv(folder / "cells.csv")
    photos = sorted(labels.photo.unique())
    parts = []
    cut = partial(find_and_cut, how=classifier.card.preprocess)
    for photo, (found, squares) in zip(photos, pool.map(cut, [folder / it for it in photos]), strict=True):
        called = Called(found, classifier.score(squares)[0])
        parts += [match_crops(labels[labels.photo == photo], called), list_counted(photo, labels, called)]
    return pd.concat(parts, ignore_index=True)


def find_and_cut(path: Path, how: Preprocess) -> tuple[Photograph, npt.NDArray[np.uint8]]:
    image = read_photograph(path)
    found = find_cells(image)
    return found, cut_squares(image, found, how)


def match_crops(labels: pd.DataFrame, called: Called) -> pd.DataFrame:
    """The labelled crops with the overlap of the mask that fits best, and the probability of its cell."""
    archive = open_archive(Path("data/cells.zip"))
    rows = []
    for row in labels.to_dict("records"):
        crop = np.asarray(to_rgb(read_image(archive.read(row["name"])))).max(-1) >= BLACK
        overlaps = np.array([overlap(cell, crop, row["x"], row["y"]) for cell in called.found.cells])
        best = int(overlaps.argmax())
        facts = {"iou": overlaps[best], "probability": called.probability[best] if overlaps[best] > 0 else np.nan}
        rows.append({name: row[name] for name in ("photo", "patient", "label")} | facts)
    return pd.DataFrame(rows)


def overlap(cell: RedCell, crop: Mask, x: int, y: int) -> float:
    """The intersection over union of a cell and the mask of a crop at x, y."""
    left, top, right, bottom = cell.box
    x0, y0, x1, y1 = max(left, x), max(top, y), min(right, x + crop.shape[1]), min(bottom, y + crop.shape[0])
    if x1 <= x0 or y1 <= y0:
        return 0.0
    common = cell.mask[y0 - top : y1 - top, x0 - left : x1 - left] & crop[y0 - y : y1 - y, x0 - x : x1 - x]
    return float(common.sum() / (cell.mask.sum() + crop.sum() - common.sum()))


def list_counted(photo: str, labels: pd.DataFrame, called: Called) -> pd.DataFrame:
    """The cells that count, without a label; `healthy` says that the patient has no parasitized crop in NIH's set."""
    counted = np.array([cell.kind in COUNTED for cell in called.found.cells], bool)
    patient = labels.patient[labels.photo == photo].iloc[0]
    table = pd.DataFrame({"probability": called.probability[counted]})
    return table.assign(photo=photo, patient=patient, healthy=patient in HEALTHY)


def show_nlm(table: pd.DataFrame, card: ModelCard) -> str:
    """What is found of the labelled crops and what the model calls it; then the patients' parasitemia."""
    rows = [show_point(table, point, card) for point in POINTS]
    patients = [show_patient(str(patient), cells, card) for patient, cells in table.groupby("patient")]
    return to_markdown(pd.DataFrame(rows)) + "\n\n" + to_markdown(pd.DataFrame(patients))


def show_point(table: pd.DataFrame, point: str, card: ModelCard) -> dict[str, str]:
    """Shares of the labelled crops, and calls in the healthy patients' photographs, at an operating point."""
    crops, others = table[table.label.notna()], table[table.label.isna()]
    threshold = card.operating_points[point] or 1.0
    right = (crops.probability >= threshold) == (crops.label == 1)
    whole = crops.iou >= WHOLE
    row = {"operating point": point}
    for label, name in ((1, "parasitized"), (0, "uninfected")):
        of = crops.label == label
        row[f"{name}: cut out whole %"] = f"{100 * whole[of].mean():.1f}"
        row[f"of these called {name} %"] = f"{100 * right[of & whole].mean():.1f}"
    for patient, cells in others[others.healthy.astype(bool)].groupby("patient"):
        row[f"called in {patient}, healthy"] = f"{(cells.probability >= threshold).sum()} of {len(cells)}"
    return row


def show_patient(patient: str, cells: pd.DataFrame, card: ModelCard) -> dict[str, str]:
    """The parasitemia of the labels, a lower bound, and the model's at two operating points."""
    counted = cells[cells.label.isna()]
    labelled = (cells.label == 1).sum()
    row = {
        "patient": patient,
        "photographs": f"{counted.photo.nunique()}",
        "red cells": f"{len(counted)}",
        "labelled parasitized": f"{labelled} ({100 * labelled / len(counted):.1f} %)",
    }
    for point in ("default", "specificity_99"):
        threshold = card.operating_points[point] or 1.0
        called = (counted.probability >= threshold).groupby(counted.photo).agg(["sum", "size"])
        rates = card.error_rates.at(threshold) if card.error_rates else (None, None)
        found = estimate_parasitemia(called["sum"].to_numpy(), called["size"].to_numpy(), *rates)
        row[f"{point}: parasitemia %"] = (
            f"{100 * found.parasitemia:.1f} ({100 * found.low:.1f} to {100 * found.high:.1f})"
        )
    return row


# coverage


def measure_coverage(model: str, pool: Executor) -> pd.DataFrame:
    """A row a drawn patient: the true parasitemia, and the interval at each of two operating points."""
    from malaria.model.hardware import prepare
    from malaria.predict.load import Scorer, as_classifier

    prepare(0)
    adapted = adapt_to_drawn(model)
    classifier = as_classifier(Scorer(adapted.network, adapted.card).eval(), adapted.card)
    patients = [(level, LABELLED + PATIENTS * at + n) for at, level in enumerate(LEVELS) for n in range(PATIENTS)]
    cut = partial(cut_patient, how=classifier.card.preprocess)
    rows = []
    for (level, _), photographs in zip(patients, pool.map(cut, patients), strict=True):
        scored = [classifier.score(squares)[0] for squares in photographs]
        for point in ("default", "specificity_99"):
            threshold = classifier.find_threshold(point)
            called = np.array([(it >= threshold).sum() for it in scored])
            cells = np.array([len(it) for it in scored])
            found = estimate_parasitemia(called, cells, *classifier.find_error_rates(threshold))
            rows.append({"point": point, "level": level} | asdict(found))
    return pd.DataFrame(rows)


def adapt_to_drawn(model: str) -> "Adapted":
    """The model adapted to a labelled photograph of each of LABELLED patients, as a laboratory would adapt it."""
    from malaria.predict.adapt import adapt, read_base
    from malaria.predict.labelled import read_labelled

    base = read_base(model)
    with tempfile.TemporaryDirectory() as folder:
        boxes = pd.concat([write_labelled(Path(folder), patient) for patient in range(LABELLED)])
        boxes.to_csv(f"{folder}/labels.csv", index=False)
        cells = read_labelled(Path(folder), CLASSES, base.card.preprocess, Path(folder) / "cells.zip")
    return adapt(base, cells, None, seed=0)


def write_labelled(folder: Path, patient: int) -> pd.DataFrame:
    """A photograph, three in ten of its cells parasitized, and the true boxes of its cells."""
    field = draw_photograph(patient, 0, 0.3)
    Image.fromarray(field.pixels).save(folder / f"{patient}.png")
    boxes = field.cells.rename(columns={"x0": "left", "y0": "top"})
    return pd.DataFrame(
        {
            "photo": f"{patient}.png",
            "x": boxes.left,
            "y": boxes.top,
            "width": boxes.x1 - boxes.left,
            "height": boxes.y1 - boxes.top,
            "label": boxes.parasitized.astype(int),
            "patient": f"P{patient}",
        }
    )


def draw_photograph(patient: int, number: int, parasitemia: float) -> Field:
    return draw_field(LAB, patient, FIELD_CELLS, parasitemia, 1700, 1300, patient=patient, number=number)


def cut_patient(patient: tuple[float, int], how: Preprocess) -> list[npt.NDArray[np.uint8]]:
    """The cells that count of each photograph of a patient, of whose cells a binomial number is parasitized."""
    level, number = patient
    random = np.random.default_rng(number)
    photographs = []
    for field in range(1, FIELDS + 1):
        share = random.binomial(FIELD_CELLS, level) / FIELD_CELLS
        image = Image.fromarray(draw_photograph(number, field, share).pixels)
        found = find_cells(image)
        counted = replace(found, cells=[cell for cell in found.cells if cell.kind in COUNTED])
        photographs.append(cut_squares(image, counted, how))
    return photographs


def show_coverage(table: pd.DataFrame) -> str:
    rows = []
    for (point, _), part in table.groupby(["point", "level"]):
        level = float(part.level.iloc[0])
        held = (part.low <= level) & (level <= part.high)
        rows.append(
            {
                "operating point": point,
                "parasitemia": f"{100 * level:g} %",
                "coverage %": f"{100 * held.mean():.0f}",
                "mean estimate %": f"{100 * part.parasitemia.mean():.2f}",
                "mean interval %": f"{100 * part.low.mean():.2f} to {100 * part.high.mean():.2f}",
                "called %": f"{100 * part.called.sum() / part.cells.sum():.2f}",
                "red cells": f"{part.cells.mean():.0f}",
            }
        )
    return to_markdown(pd.DataFrame(rows))


# speed


def measure_speed(model: str) -> pd.DataFrame:
    """Seconds and peak memory of `malaria predict` on copies of a drawn photograph of 16 megapixels."""
    with tempfile.TemporaryDirectory() as folder:
        lab = replace(HOME, density=0.35)
        Image.fromarray(draw_field(lab, 0, 200, 0.05, 4900, 3300).pixels).save(f"{folder}/0.jpg", quality=92)
        rows = [time_predict(model, Path(folder), copies) for copies in (1, 11, 51)]
    table = pd.DataFrame(rows)
    table["each"] = table.seconds.diff() / table.photographs.diff()
    return table


def time_predict(model: str, folder: Path, copies: int) -> dict[str, float]:
    """Of a process of its own and its workers."""
    for number in range(1, copies):
        if not (link := folder / f"{number}.jpg").exists():
            link.symlink_to(folder / "0.jpg")
    command = [sys.executable, "-m", "malaria.cli", "predict", str(folder), "--by", "photo", "--model", model, "--csv"]
    began = time.perf_counter()
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    cells = int(run.stdout.splitlines()[1].split(",")[2])
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss  # of the largest process until now
    return {"photographs": copies, "red_cells": cells, "seconds": seconds, "largest_process_mib": peak / 1024}


def show_speed(table: pd.DataFrame) -> str:
    shown = table.assign(
        seconds=table.seconds.map("{:.1f}".format),
        each=table.each.map(lambda value: "" if np.isnan(value) else f"{value:.2f}"),
        largest_process_mib=table.largest_process_mib.map("{:.0f}".format),
    ).astype(str)
    names = ["photographs", "red cells in each", "seconds in all", "largest process MiB", "seconds for one more"]
    return to_markdown(shown.set_axis(names, axis=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = parser.add_subparsers(dest="part", required=True)
    for name in ("chula", "nlm"):
        parts.add_parser(name).add_argument("folder", type=Path)
    parts.choices["nlm"].add_argument("model")
    for name in ("coverage", "speed"):
        parts.add_parser(name).add_argument("model")
    options = parser.parse_args()
    with start_pool(count_cores()) as pool:
        match options.part:
            case "chula":
                write_down("smear-chula", measure_chula(options.folder, pool), show_chula)
            case "nlm":
                card = read_card((Path(options.model) / "model.json").read_bytes())
                table = measure_nlm(options.folder, options.model, pool)
                write_down("smear-nlm", table, lambda table: show_nlm(table, card))
            case "coverage":
                write_down("smear-coverage", measure_coverage(options.model, pool), show_coverage)
            case "speed":
                write_down("smear-speed", measure_speed(options.model), show_speed)


if __name__ == "__main__":
    main()
