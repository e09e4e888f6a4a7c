"""Does the cost of a cell stay what it is? `uv run python bench/scale.py [CELLS...]`

Makes archives of more and more cells, those of data/cells.zip repeated under the names of new patients, and runs
split, preprocess, one epoch of train, and evaluate on each, outside DVC and in a scratch folder. Prints for each stage
the microseconds a cell, as a ratio to the first archive too, and the peak memory of one process, files mapped into it
included. A million cells take 26 GB of disk and half an hour.
"""

import argparse
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pandas as pd

from bench.stage_costs import measure
from malaria.core.archive import write_archive
from malaria.core.artifacts import write_csv
from malaria.data.index import read_index

ROOT = Path.cwd()
CODE = ("dvc.yaml", "malaria", "stages", "versions.txt")  # what stages read besides data and params
SIZES = (27_558, 100_000, 300_000, 1_000_000)
STAGES = ("split", "preprocess", "train", "evaluate")


def repeat(index: pd.DataFrame, cells: int) -> pd.DataFrame:
    """An index of so many cells, sorted by name; each copy of a patient is a new patient. `source` is the original."""
    whole, rest = divmod(cells, len(index))
    some = index.iloc[np.linspace(0, len(index) - 1, rest).astype(int)]  # evenly, since names are sorted by class
    copies = [
        part.assign(name=f"{n:04}/" + part.name, patient=f"{n:04}-" + part.patient, source=part.name)
        for n, part in enumerate([*[index] * whole, some])
    ]
    return pd.concat(copies, ignore_index=True)


def read_sources(table: pd.DataFrame) -> Iterator[tuple[str, bytes]]:
    with ZipFile(ROOT / "data/cells.zip") as archive:
        for name, source in zip(table.name, table.source, strict=True):
            yield name, archive.read(source)


def prepare(folder: Path, cells: int) -> None:
    """A folder in which the stages run, with one epoch in its params.yaml."""
    shutil.rmtree(folder, ignore_errors=True)
    table = repeat(read_index(ROOT / "data/cells.csv"), cells)
    write_archive(folder / "data/cells.zip", read_sources(table))
    write_csv(folder / "data/cells.csv", table.drop(columns="source"))
    params = re.sub(r"epochs: \d+", "epochs: 1", (ROOT / "params.yaml").read_text("utf-8"))
    (folder / "params.yaml").write_text(params, "utf-8")
    for name in CODE:
        (folder / name).symlink_to(ROOT / name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cells", nargs="*", type=int, default=SIZES)
    sizes = parser.parse_args().cells
    first: dict[str, float] = {}
    print(f"{'cells':>9}  {'stage':<11}{'seconds':>9}{'us a cell':>11}{'ratio':>7}{'MB':>7}{'data/ GB':>10}")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "pipeline"
        for cells in sizes:
            prepare(folder, cells)
            os.chdir(folder)
            for stage in STAGES:
                seconds, megabytes = measure(stage)
                each = seconds / cells
                size = sum(path.stat().st_size for path in Path("data").rglob("*")) / 1e9
                ratio = each / first.setdefault(stage, each)
                row = f"{seconds:>9.1f}{1e6 * each:>11.1f}{ratio:>7.2f}{megabytes:>7.0f}{size:>10.2f}"
                print(f"{cells:>9}  {stage:<11}{row}", flush=True)
            os.chdir(ROOT)


if __name__ == "__main__":
    main()
