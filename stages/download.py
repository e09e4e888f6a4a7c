"""Put the images into one canonical archive: `python -m stages.download`.

Reads:    NLM's archive (353 MB, over the network), or the zip or folder that the environment variable MALARIA_CELLS
          names; with download.source=synthetic nothing, it draws the cells.
Writes:   data/cells.zip, and while it downloads data/download/, which a later run goes on from.
Tuned by: download.* in params.yaml.
"""

import os
import shutil
from pathlib import Path

from tqdm import tqdm

from malaria.archive import Sums, digest, find_cells, write_archive
from malaria.errors import UserError
from malaria.params import Download, load_params
from malaria.stage import run


def _draw(params: Download, out: Path, given: Path | None) -> str:
    from malaria.synthetic import draw_cells

    drawn = draw_cells(**params.synthetic.model_dump())
    with tqdm(drawn, desc=out.name, total=params.synthetic.cells, unit="cell", delay=0.5, disable=None) as cells:
        return write_archive(out, cells)


def _pack_nih(params: Download, out: Path, given: Path | None) -> str:
    from malaria import nih

    downloads = out.parent / "download"
    source = given or nih.fetch(folder=downloads)

    def refuse_others(sums: Sums) -> None:
        if digest(sums) != params.sha256:
            raise UserError(
                f"{source}: refused, its {len(sums):,} cells are not those of download.sha256 in params.yaml.\n"
                f"Compared with NLM's:\n{nih.explain(sums)}\n"
                f"To work with these cells all the same: dvc exp run -S download.sha256={digest(sums)}"
            )

    with tqdm(find_cells(source), desc=out.name, total=nih.CELLS, unit="cell", delay=0.5, disable=None) as cells:
        content = write_archive(out, cells, check=refuse_others)
    shutil.rmtree(downloads, ignore_errors=True)
    return content


SOURCES = {"nih": _pack_nih, "synthetic": _draw}  # by download.source: what writes its cells and returns their digest


def download(params: Download, out: Path, given: Path | None = None) -> str:
    """Write the cells that params ask for to `out`, NLM's from a `given` zip or folder if any; return their digest.

    Raises:
        UserError: NLM's cells cannot be had, or those given are not NLM's. `out` is then as it was.
    """
    return SOURCES[params.source](params, out, given)


def main() -> None:
    """The stage."""
    params = load_params().download
    given = os.environ.get("MALARIA_CELLS")
    out = Path("data/cells.zip")
    content = download(params, out, Path(given).expanduser() if given else None)
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB, content {content}")


if __name__ == "__main__":
    run(main, lower="download.synthetic.cells")
