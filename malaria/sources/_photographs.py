"""Labelled boxes to labelled cells: each photograph is segmented, and a box labels the red cell that it marks."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import linear_sum_assignment
from tqdm import tqdm

from malaria.core.archive import read_file, write_archive
from malaria.core.errors import UserError
from malaria.core.workers import count_cores, start_pool
from malaria.data.decode import read_rgb
from malaria.data.index import CLASSES
from malaria.smear.cells import encode_cell
from malaria.smear.photograph import find_cells
from malaria.sources._boxes import PLACE

MATCH = 0.3  # intersection over union of a box and that of a cell: boxes drawn by hand reach 0.5 or more
LISTED = 20  # photographs with boxes that match no cell

Floats = npt.NDArray[np.float64]


class _Cut(NamedTuple):
    """The rows of a photograph's boxes that match a cell, with its place, the PNG of each, and what went wrong."""

    rows: pd.DataFrame
    pngs: list[bytes]
    problem: str = ""


def cut_cells(table: pd.DataFrame, archive_path: Path) -> pd.DataFrame:
    """Write the cells that boxes mark as an archive, and return their index, in the same order.

    A photograph is in memory at a time in each process. The bytes do not depend on the number of processes.

    Args:
        table: of boxes, as `malaria.sources.own.read_labels` returns it.
        archive_path: to write.

    Raises:
        UserError: naming every photograph that cannot be read; or one class alone has cells.
    """
    table = table.sort_values("name", ignore_index=True)
    found: list[pd.DataFrame] = []
    write_archive(archive_path, _cut_all(table, found, archive_path.name))
    return pd.concat(found, ignore_index=True).drop(columns="file")


def match_boxes(boxes: Floats, cells: Floats) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """The rows of boxes (N, 4) and cells (M, 4), both x, y, width, height, that are matched one to one.

    They have the greatest sum of intersections over unions, none below MATCH.
    """
    overlap = _intersection_over_union(boxes, cells)
    overlap[overlap < MATCH] = 0  # or pairs that are refused would outweigh others
    rows, columns = linear_sum_assignment(overlap, maximize=True)
    matched = overlap[rows, columns] > 0
    return rows[matched], columns[matched]


def _intersection_over_union(a: Floats, b: Floats) -> Floats:
    """Of each pair of boxes (N, 4) and (M, 4): (N, M)."""
    first = np.maximum(a[:, None, :2], b[None, :, :2])
    last = np.minimum(a[:, None, :2] + a[:, None, 2:], b[None, :, :2] + b[None, :, 2:])
    common = (last - first).clip(0).prod(-1)
    areas = a[:, None, 2:].prod(-1) + b[None, :, 2:].prod(-1)
    overlap: Floats = common / (areas - common)
    return overlap


def _cut_all(table: pd.DataFrame, found: list[pd.DataFrame], title: str) -> Iterator[tuple[str, bytes]]:
    """The name and PNG of each cell; the rows of each photograph's cells are added to `found`."""
    photos = [rows for _, rows in table.groupby("photo", sort=False)]
    workers = min(count_cores(), len(photos))
    problems: list[str] = []
    with start_pool(workers) if workers > 1 else nullcontext() as pool:
        cuts = (pool.map if pool else map)(_cut_photo, photos)
        for rows, pngs, problem in tqdm(cuts, title, len(photos), unit="photo", delay=0.5, disable=None):
            problems += [problem] if problem else []
            found.append(rows)
            yield from zip(rows.name, pngs, strict=True)
    if problems:
        raise UserError("\n".join([f"{len(problems)} photographs cannot be read; correct or remove them:", *problems]))
    _check_found(table, pd.concat(found))


def _cut_photo(rows: pd.DataFrame) -> _Cut:
    """The cells that the boxes of a photograph mark."""
    file = rows.file.iloc[0]
    try:
        image = read_rgb(read_file(Path(file)))
    except (ValueError, OSError) as error:
        return _Cut(rows[:0], [], f"  {file}: {getattr(error, 'strerror', None) or error}")
    cells = find_cells(image).cells
    places = np.array([(cell.x, cell.y, *cell.mask.shape[::-1]) for cell in cells], float).reshape(-1, 4)
    boxes, matched = match_boxes(rows[PLACE].to_numpy(float), places)
    rows = rows.iloc[boxes].assign(**dict(zip(PLACE, places[matched].astype(int).T, strict=True)))
    return _Cut(rows, [encode_cell(image, cells[i]) for i in matched])


def _check_found(table: pd.DataFrame, found: pd.DataFrame) -> None:
    """Tell which photographs have boxes without a cell.

    Raises:
        UserError: one class alone has cells.
    """
    lines = _describe_unmatched(table, found)
    if found.label.nunique() < len(CLASSES):
        counts = " and ".join(f"{(found.label == n).sum():,} {name}" for n, name in enumerate(CLASSES))
        raise UserError(
            f"{counts} cells were found in the labelled boxes; both classes are needed. Check that boxes are in px of "
            "these very photographs, and x,y their upper left corners\n" + "\n".join(lines)
        )
    for line in lines:
        print(line, file=sys.stderr)


def _describe_unmatched(table: pd.DataFrame, found: pd.DataFrame) -> Sequence[str]:
    """How many boxes match no red cell, and in which photographs, those with most of them first."""
    lost = ~table.name.isin(found.name)
    if not lost.any():
        return []
    photos = lost.groupby(table.photo).agg(["sum", "size"]).query("sum > 0").sort_values("sum", ascending=False)
    lines = [f"{lost.sum():,} of {len(table):,} labelled boxes match no segmented red cell, and are left out:"]
    lines += [f"  {photo}: {unmatched} of {boxes}" for photo, unmatched, boxes in photos[:LISTED].itertuples()]
    return lines + [f"  ... ({len(photos):,} photographs in all)"] * (len(photos) > LISTED)
