"""Decode every cell once, on all cores, to squares of one size: `python -m stages preprocess`.

Reads:    data/cells.zip, data/cells.csv
Writes:   data/cells.npy: uint8 (N, size, size, 3), rows in the order of cells.csv. It does not read split.csv, or each
          fold of a cross-validation would decode the same cells again.
Params:   preprocess
"""

from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from malaria.core.artifacts import atomic_write
from malaria.core.errors import UserError
from malaria.core.workers import count_cores
from malaria.data.decode import decode_archive
from malaria.data.duplicates import explain_copies, find_copies, refuse_contradictions
from malaria.data.index import read_index
from malaria.params import Params, Preprocess


def main(params: Params) -> None:
    """Run the stage."""
    index, out = read_index(Path("data/cells.csv")), Path("data/cells.npy")
    copies = preprocess(Path("data/cells.zip"), index, out, params.preprocess)
    size = params.preprocess.size
    print(f"{out}: {len(index):,} cells of {size} x {size} px, {out.stat().st_size / 1e6:.0f} MB{copies}")


def preprocess(archive: Path, index: pd.DataFrame, out: Path, params: Preprocess) -> str:
    """Write the cells of the index to `out`; return a remark on cells with the same pixels as another.

    Raises:
        UserError: naming every image that cannot be read, or that is in both classes, pixel for pixel.
    """
    names, hashes = index.name.tolist(), []
    try:
        with atomic_write(out) as temporary:
            with tqdm(desc="decoding", total=len(names), unit="cell", disable=None) as bar:
                for chunk in decode_archive(archive, names, temporary, params.size, params.fit, count_cores()):
                    hashes.append(chunk)
                    bar.update(len(chunk))
            copies = find_copies(np.concatenate(hashes), np.load(temporary, mmap_mode="r"))
            refuse_contradictions(archive, index, copies)
    except ValueError as error:
        raise UserError(str(error)) from None
    return explain_copies(names, copies)
