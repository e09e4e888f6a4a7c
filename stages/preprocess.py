"""Decode every cell once, on all cores, to squares of one size: `python -m stages.preprocess`.

Reads:    data/cells.zip, in place.
Writes:   data/cells.npy: uint8, (N, size, size, 3), rows in the order of split.csv: by name. It does not read
          split.csv, or each fold of a cross-validation would decode the same cells again.
Tuned by: preprocess.* in params.yaml.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from malaria.archive import cell_names
from malaria.duplicates import explain_copies, find_copies, refuse_contradictions
from malaria.errors import UserError
from malaria.files import whole
from malaria.images import decode_archive
from malaria.machine import count_cores
from malaria.params import Preprocess, load_params
from malaria.progress import progress
from malaria.stage import run


def preprocess(archive: Path, names: Sequence[str], out: Path, params: Preprocess) -> str:
    """Write the named cells of the archive to out, which is there only when all of them could be read.

    Returns what is to be said of cells that are copies of others under their own label.

    Raises:
        UserError: naming every image that could not be read, or that is in both classes, pixel for pixel.
    """
    hashes = []
    try:
        with whole(out) as unfinished:
            with progress(len(names), "decoding", "cell") as bar:
                for some in decode_archive(archive, names, unfinished, params.size, params.fit, count_cores()):
                    hashes.append(some)
                    bar.update(len(some))
            copies = find_copies(np.concatenate(hashes), np.load(unfinished, mmap_mode="r"))
            refuse_contradictions(archive, names, copies)
    except ValueError as error:
        raise UserError(str(error)) from None
    return explain_copies(names, copies)


def main() -> None:
    """The stage."""
    params = load_params().preprocess
    archive, out = Path("data/cells.zip"), Path("data/cells.npy")
    names = cell_names(archive)
    copies = preprocess(archive, names, out, params)
    print(f"{out}: {len(names)} cells of {params.size} x {params.size} px, {out.stat().st_size / 1e6:.0f} MB{copies}")


if __name__ == "__main__":
    run(main)
