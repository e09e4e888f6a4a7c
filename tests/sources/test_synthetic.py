"""The drawn cells are written to an archive with their index."""

from pathlib import Path

import pytest

from malaria.core.archive import open_archive
from malaria.params import NOTHING, Download, Synthetic
from malaria.sources.drawing import sets
from malaria.sources.nih import make_index
from malaria.sources.synthetic import write_cells


def test_the_index_is_in_the_order_of_the_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sets, "count_cores", lambda: 1)
    params = Download(
        source="synthetic",
        path=NOTHING,
        classes=["Uninfected", "Parasitized"],
        sha256=None,
        synthetic=Synthetic(patients=10, cells=100),
    )
    index = write_cells(params, tmp_path / "cells.zip")
    names = open_archive(tmp_path / "cells.zip").namelist()
    assert len(names) == 100
    assert index.equals(make_index(names))  # the names are like NLM's
