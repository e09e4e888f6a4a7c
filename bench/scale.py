"""Does the cost of a cell stay what it is? `uv run python bench/scale.py [CELLS...]`

Makes archives of more and more cells, those of data/cells.zip repeated under the names of new patients, and runs
split, preprocess, one epoch of train, and evaluate from one side (evaluate.tta off) on each, outside DVC and in a
scratch folder. Prints for each stage the microseconds a cell, as a ratio to the first archive too, and the most memory
that a process held at a time, files mapped into it included. A million cells take 26 GB of disk and half an hour.
"""

import argparse
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

from stage_costs import measure

from malaria.core.archive import write_archive

ROOT = Path(__file__).parents[1]
SIZES = (27_558, 100_000, 300_000, 1_000_000)
STAGES = ("split", "preprocess", "train", "evaluate")


def repeat(source: Path, cells: int) -> Iterator[tuple[str, bytes]]:
    """So many cells, sorted by name: a patient's second copy is the patient C10100 where the first is C100."""
    with ZipFile(source) as archive:
        names = archive.namelist()
        rounds = range(-(-cells // len(names)))
        copies = {_rename(name, copy): name for copy in rounds for name in names[: cells - copy * len(names)]}
        for name in sorted(copies):
            yield name, archive.read(copies[name])


def _rename(name: str, copy: int) -> str:
    return re.sub(r"/C(\d+)", lambda found: f"/C{copy * 10_000 + int(found[1])}", name)


def prepare(folder: Path, cells: int) -> None:
    """What the stages read, and params.yaml with one epoch and one view of each cell."""
    shutil.rmtree(folder, ignore_errors=True)
    params = (ROOT / "params.yaml").read_text("utf-8")
    params = re.sub(r"epochs: \d+", "epochs: 1", params).replace("tta: true", "tta: false")
    write_archive(folder / "data/cells.zip", repeat(ROOT / "data/cells.zip", cells))
    (folder / "params.yaml").write_text(params, "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cells", nargs="*", type=int, default=SIZES)
    sizes = parser.parse_args().cells
    os.environ["PYTHONPATH"] = str(ROOT)
    first: dict[str, float] = {}
    print(f"{'cells':>9}  {'stage':<11}{'seconds':>9}{'us a cell':>11}{'ratio':>7}{'MB':>7}{'data/ GB':>10}")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "pipeline"
        for cells in sizes:
            prepare(folder, cells)
            os.chdir(folder)
            for stage in STAGES:
                seconds, megabytes = measure(f"{sys.executable} -m stages.{stage}")
                each = seconds / cells
                size = sum(path.stat().st_size for path in Path("data").iterdir()) / 1e9
                ratio = each / first.setdefault(stage, each)
                row = f"{seconds:>9.1f}{1e6 * each:>11.1f}{ratio:>7.2f}{megabytes:>7.0f}{size:>10.2f}"
                print(f"{cells:>9}  {stage:<11}{row}", flush=True)
            os.chdir(ROOT)


if __name__ == "__main__":
    main()
