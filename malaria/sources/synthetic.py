"""Drawn red blood cells: a stand-in for NLM's images that needs no data and no network.

Cells look like thin-smear crops: pink to lilac or grey after their patient's stain, black around the outline, with
rings, dots and larger bodies in the parasitized ones and platelets and specks to mistake for them. They are made to
run and test the pipeline with; a score on them says nothing about microscopes.
"""

from pathlib import Path

import pandas as pd
from tqdm import tqdm

from malaria.core.archive import write_archive
from malaria.data.index import COLUMNS
from malaria.params import Download
from malaria.sources.drawing.sets import draw_cells, plan

SEED = 0


def write_cells(params: Download, path: Path) -> pd.DataFrame:
    """Write the drawn cells of `download.synthetic`, and return their index."""
    settings = params.synthetic
    drawn = draw_cells(settings.patients, settings.cells, SEED)
    with tqdm(drawn, path.name, settings.cells, unit="cell", delay=0.5, disable=None) as cells:
        write_archive(path, cells)
    rows = [
        (cell.name, int(cell.parasitized), f"C{cell.patient + 1}")
        for cell in plan(settings.patients, settings.cells, SEED)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)
