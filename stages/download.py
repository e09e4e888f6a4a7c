"""Put the images into one canonical archive: `python -m stages.download`.

Reads:    NLM's archive (353 MB, over the network), or the zip or folder that the environment variable MALARIA_CELLS
          names; with download.source=synthetic nothing, it draws the cells.
Writes:   data/cells.zip, and while it downloads data/download/, which a later run goes on from.
Tuned by: download.* in params.yaml.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from malaria.archive import Sums, digest, find_cells, write_archive
from malaria.errors import UserError
from malaria.params import Download, load_params


def download(params: Download, out: Path, given: Path | None = None) -> str:
    """Write the cells that params ask for to `out`, NLM's from a `given` zip or folder if any; return their digest.

    Raises:
        UserError: NLM's cannot be had, or these are not NLM's.
    """
    if params.source == "synthetic":
        return _draw(params, out)
    from malaria import nih

    downloads = out.parent / "download"
    source = given or nih.fetch(folder=downloads)
    with tqdm(find_cells(source), desc=out.name, total=nih.CELLS, unit=" cells") as cells:
        content = write_archive(out, cells, check=_only(params.sha256, source, nih.explain))
    shutil.rmtree(downloads, ignore_errors=True)
    return content


def _draw(params: Download, out: Path) -> str:
    from malaria.synthetic import draw_cells

    drawn = params.synthetic
    source = draw_cells(drawn.patients, drawn.cells, drawn.seed)
    with tqdm(source, desc=out.name, total=drawn.cells, unit=" cells") as cells:
        return write_archive(out, cells)


def _only(sha256: str, source: Path, explain: Callable[[Sums], str]) -> Callable[[Sums], None]:
    """A check that refuses all cells but those whose digest is sha256."""

    def check(sums: Sums) -> None:
        if digest(sums) != sha256:
            raise UserError(
                f"{source}: refused, its {len(sums):,} cells are not those of download.sha256 in params.yaml. "
                f"Against NLM's they have\n{explain(sums)}\n"
                f"To work with these cells all the same: dvc exp run -S download.sha256={digest(sums)}"
            )

    return check


def main() -> None:
    """The stage."""
    params = load_params().download
    given = os.environ.get("MALARIA_CELLS")
    out = Path("data/cells.zip")
    content = download(params, out, Path(given).expanduser() if given else None)
    print(f"{out}: {out.stat().st_size / 1e6:.0f} MB, content {content}")


if __name__ == "__main__":
    main()
