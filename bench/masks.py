"""Do masks cut parasites off? `uv run python bench/masks.py PHOTOGRAPHS MODEL` writes it into docs/RESULTS.md.

PHOTOGRAPHS is the folder of NLM's photographs with cells.csv (as for `bench/smear.py nlm`), MODEL one that never saw
their patients. Each NIH crop is predicted as NIH cut it out, and as this pipeline cuts the same cell out of the
photograph. Stain that only one of the two masks shows is counted where it is as dark as the darkest hundredth of all
cells of the photograph.
"""

import argparse
from concurrent.futures import Executor
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.results import to_markdown, write_down
from bench.robustness import ARCHIVE
from bench.smear import WHOLE, overlap, read_photograph
from malaria import load_model
from malaria.core.archive import open_archive
from malaria.core.workers import count_cores, start_pool
from malaria.data.decode import BLACK, read_image, to_rgb, to_square
from malaria.data.index import CLASSES
from malaria.model.hardware import prepare
from malaria.params import Preprocess
from malaria.smear.photograph import RedCell, cut_out, find_cells

DARK = 1  # percentile, over the photograph's cells, of the green channel: stain of parasites is darker
FEW = 0.004  # share of a cell that such stain covers, from which on it counts: a young ring

Mask = npt.NDArray[np.bool_]


def compare_masks(photo: str, crops: pd.DataFrame, folder: Path, how: Preprocess) -> list[dict[str, object]]:
    """For each crop that is found: both squares, the overlap of the masks, and the shares of stain in one alone."""
    image = read_photograph(folder / photo)
    found, green = find_cells(image), np.asarray(image)[..., 1]
    dark = np.percentile(np.concatenate([crop_of(green, cell)[cell.mask] for cell in found.cells]), DARK)
    rows: list[dict[str, object]] = []
    archive = open_archive(ARCHIVE)
    for crop in crops.itertuples():
        picture = to_rgb(read_image(archive.read(crop.name)))
        mask = np.asarray(picture).max(-1) >= BLACK
        overlaps = [overlap(cell, mask, crop.x, crop.y) for cell in found.cells]
        cell = found.cells[int(np.argmax(overlaps))]
        if max(overlaps) < WHOLE:
            continue
        only_crop, only_photograph = stain_of_one(green < dark, cell, mask, (crop.x, crop.y))
        squares = (to_square(it, how.size, how.fit) for it in (picture, cut_out(image, cell)))
        facts = {"photo": photo, "label": crop.label, "iou": max(overlaps)}
        stain = {"only_crop": only_crop, "only_photograph": only_photograph}
        rows.append(facts | stain | dict(zip(("crop", "photograph"), squares, strict=True)))
    return rows


def crop_of(pixels: npt.NDArray[np.generic], cell: RedCell) -> npt.NDArray[np.generic]:
    left, top, right, bottom = cell.box
    return pixels[top:bottom, left:right]


def stain_of_one(dark: Mask, cell: RedCell, mask: Mask, place: tuple[int, int]) -> tuple[float, float]:
    """The share of the cell that is dark and in a crop's mask at x, y alone, and in the cell's own alone."""
    ours, theirs = (np.zeros(dark.shape, bool) for _ in range(2))
    crop_of(ours, cell)[cell.mask] = True
    part = theirs[place[1] : place[1] + mask.shape[0], place[0] : place[0] + mask.shape[1]]
    part |= mask[: part.shape[0], : part.shape[1]]
    return tuple(
        float((dark & one & ~other).sum() / cell.mask.sum()) for one, other in ((theirs, ours), (ours, theirs))
    )


def measure(folder: Path, model: str, pool: Executor) -> pd.DataFrame:
    """A row a crop, with the probability of either way to cut it out."""
    prepare(0)
    classifier = load_model(model)
    photos = [(str(photo), of) for photo, of in pd.read_csv(folder / "cells.csv").groupby("photo")]
    work = partial(compare_masks, folder=folder, how=classifier.card.preprocess)
    table = pd.DataFrame([row for rows in pool.map(work, *zip(*photos, strict=True)) for row in rows])
    for way in ("crop", "photograph"):
        table[way] = classifier.score(np.stack(table[way].tolist()))[0]
    return table.assign(threshold=classifier.card.threshold)


def render(table: pd.DataFrame) -> str:
    """A row a class."""
    rows = []
    for label, cells in table.groupby("label", sort=True):
        crop, photograph = ((cells[way] >= cells.threshold) == (label == 1) for way in ("crop", "photograph"))
        rows.append(
            {
                "labelled": CLASSES[label],
                "cells": f"{len(cells)}",
                "mean IoU of the masks": f"{cells.iou.mean():.2f}",
                "called so, as NIH's crop": f"{crop.sum()}",
                "as cut out of the photograph": f"{photograph.sum()}",
                "only the crop is": f"{(crop & ~photograph).sum()}",
                "only the cut-out is": f"{(~crop & photograph).sum()}",
                "dark stain in the crop alone": f"{(cells.only_crop > FEW).sum()}",
                "in the cut-out alone": f"{(cells.only_photograph > FEW).sum()}",
            }
        )
    return to_markdown(pd.DataFrame(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photographs", type=Path, metavar="PHOTOGRAPHS")
    parser.add_argument("model", metavar="MODEL")
    options = parser.parse_args()
    with start_pool(count_cores()) as pool:
        write_down("masks", measure(options.photographs, options.model, pool), render)


if __name__ == "__main__":
    main()
