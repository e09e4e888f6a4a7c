"""Drawn cells, and a browser, that the tests share."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browser import FOUND
from fault_table import pytest_addoption, pytest_configure, survived  # noqa: F401 (hooks, and a fixture)
from nih_site import site  # noqa: F401 (a fixture)

from malaria.archive import write_archive
from malaria.synthetic import draw_cells

if TYPE_CHECKING:
    from playwright.sync_api import Browser

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


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    from playwright.sync_api import sync_playwright  # which few tests need

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=FOUND, args=["--no-sandbox"])
        yield browser
        browser.close()
