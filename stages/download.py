"""Write the images as one canonical archive, and their index: `python -m stages download`.

Reads:    what the module of malaria/sources reads: nih NLM's archive (353 MB, over the network), or the zip or
          folder that the environment variable MALARIA_CELLS names; own download.path; synthetic nothing
Writes:   data/cells.zip; data/cells.csv: name,label,patient, of own cells also photo and split where they are given,
          of those cut from photographs x,y,width,height (px), a row an image, in the order of the archive;
          while it downloads data/download/, from which a later run resumes.
Params:   download
"""

from importlib import import_module
from pathlib import Path

from malaria.core.artifacts import write_csv
from malaria.data.index import describe_groups
from malaria.params import Params


def main(params: Params) -> None:
    """Run the stage."""
    source = import_module(f"malaria.sources.{params.download.source}")
    archive, index = Path("data/cells.zip"), Path("data/cells.csv")
    cells = source.write_cells(params.download, archive)
    write_csv(index, cells)
    group = describe_groups(cells)
    groups = "" if group == "cell" else f" of {cells.patient.nunique()} {group}s"
    print(f"{archive}: {len(cells):,} cells{groups}, {archive.stat().st_size / 1e6:.1f} MB")
