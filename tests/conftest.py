"""Drawn cells, the pipeline run on them, and a browser, that the tests share."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from malaria.core.archive import write_archive
from malaria.sources.drawing.sets import draw_cells
from tests.support.browser import FOUND
from tests.support.nih_site import site  # noqa: F401 (a fixture)
from tests.support.scratch import Repository, Scratch, make_once

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# Of a shell that runs the tests with & all that they start would ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)


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


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """All of it has run on drawn cells and is committed: to be read and copied, not to be changed.

    The processes that share the tests share it too.
    """
    folder = tmp_path_factory.getbasetemp()
    if run := os.environ.get("PYTEST_XDIST_TESTRUNUID"):
        folder = folder.parent / run

    def make(path: Path) -> None:
        scratch = Scratch(path)
        scratch.set_params({"source: nih ": "source: synthetic "})
        scratch.run("dvc repro && git add . && git commit -qm ran")

    return make_once(folder / "ran", make)


@pytest.fixture
def scratch(ran: Repository, tmp_path: Path) -> Repository:
    """A copy of it, to be changed."""
    return ran.copy(tmp_path / "scratch")


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    from playwright.sync_api import sync_playwright  # which few tests need

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=FOUND, args=["--no-sandbox"])
        yield browser
        browser.close()
