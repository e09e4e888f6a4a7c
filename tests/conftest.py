"""Drawn cells that the tests share."""

from pathlib import Path

import pytest

from malaria.archive import write_archive
from malaria.synthetic import draw_cells

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def drawn() -> list[tuple[str, bytes]]:
    """240 cells of 12 patients: (name, PNG), sorted by name."""
    return list(draw_cells(patients=12, cells=240, seed=1, workers=1))


@pytest.fixture(scope="session")
def archive(drawn: list[tuple[str, bytes]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The drawn cells as a cells.zip."""
    path = tmp_path_factory.mktemp("drawn") / "cells.zip"
    write_archive(path, drawn)
    return path
