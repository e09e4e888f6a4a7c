"""Decode every cell once, on all cores, to squares of one size: `python -m stages preprocess`.

Reads:    data/cells.zip, data/cells.csv
Writes:   data/cells.npy: uint8 (N, size, size, 3), rows in the order of cells.csv. It does not read split.csv, or each
          fold of a cross-validation would decode the same cells again;
          data/unsegmented.csv: name, of the crops in which no cell was found, which split may drop
Params:   preprocess
"""

from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from malaria.core.artifacts import atomic_write, write_csv
from malaria.core.errors import UserError
from malaria.core.workers import count_cores
from malaria.data.duplicates import explain_copies, find_copies, refuse_contradictions
from malaria.data.index import read_index
from malaria.params import Params, Preprocess
from malaria.smear.archive import decode_archive


def main(params: Params) -> None:
    """Run the stage."""
    index, out = read_index(Path("data/cells.csv")), Path("data/cells.npy")
    copies, unsegmented = preprocess(Path("data/cells.zip"), index, out, params.preprocess)
    write_csv(Path("data/unsegmented.csv"), pd.DataFrame({"name": unsegmented}, dtype=str))
    size = params.preprocess.size
    print(f"{out}: {len(index):,} cells of {size} x {size} px, {out.stat().st_size / 1e6:.0f} MB{copies}")
    if unsegmented:
        print(f"data/unsegmented.csv: in {len(unsegmented)} crops no cell was found; preprocess.unsegmented says")


def preprocess(archive: Path, index: pd.DataFrame, out: Path, params: Preprocess) -> tuple[str, list[str]]:
    """Write the cells of the index to `out`; return a remark on cells with the same pixels as another, and the names of
    the crops in which no cell was found.

    Raises:
        UserError: naming every image that cannot be read, or that is in both classes, pixel for pixel.
    """
    names, hashes = index.name.tolist(), []
    unsegmented: list[str] = []
    try:
        with atomic_write(out) as temporary:
            with tqdm(desc="decoding", total=len(names), unit="cell", disable=None) as bar:
                for chunk, without_cell in decode_archive(archive, names, temporary, params, count_cores()):
                    hashes.append(chunk)
                    unsegmented += without_cell
                    bar.update(len(chunk))
            copies = find_copies(np.concatenate(hashes), np.load(temporary, mmap_mode="r"))
            refuse_contradictions(index, copies)
    except ValueError as error:
        raise UserError(f"{archive}: {error}\nThen run `uv run dvc repro -f download`") from None
    return explain_copies(names, copies), unsegmented
