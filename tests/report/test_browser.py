"""The page in a real browser, with no network: Debian's chromium, or Chrome.

Locally the tests are skipped where there is no browser; .ci/run installs one and sets BROWSER=required.
"""

from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request

from malaria.data.splits import assign_splits, describe_cells
from malaria.evaluation.predictions import tabulate_predictions
from malaria.report.page import render_report
from tests.support.browser import DESKTOP, FOUND, PHONE
from tests.support.page import make_content
from tests.support.skips import needs

pytestmark = needs("BROWSER", chromium=FOUND)


@pytest.fixture(scope="module")
def page_file(drawn: list[tuple[str, bytes]], archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    cells = describe_cells([name for name, _ in drawn])
    cells["split"] = assign_splits(cells, "patient", 4, 0, 0.3, 42)
    held_out = cells[cells.split != "train"]
    logits = np.random.default_rng(0).normal(4.0 * held_out.label - 2, 2)
    path = tmp_path_factory.mktemp("page") / "index.html"
    path.write_text(
        render_report(make_content(tabulate_predictions(held_out, logits, logits)[0], cells, archive)), "utf-8"
    )
    return path


def open_page(browser: Browser, path: Path, viewport: dict[str, int], scheme: str = "light") -> tuple[Page, list[str]]:
    """The page, loaded without a network, and a list of what it complains about or asks for."""
    context: BrowserContext = browser.new_context(viewport=viewport, color_scheme=scheme, offline=True)
    page, complaints = context.new_page(), []

    def hear(message: ConsoleMessage) -> None:
        complaints.append(message.text)

    def see(request: Request) -> None:
        if not request.url.startswith(("file:", "data:")):
            complaints.append(request.url)

    page.on("console", hear)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", see)
    page.goto(path.as_uri())
    return page, complaints


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_it_loads_whole_and_quietly_at_any_width(
    viewport: dict[str, int], scheme: str, browser: Browser, page_file: Path
) -> None:
    page, complaints = open_page(browser, page_file, viewport, scheme)
    broken = page.evaluate(
        "Promise.all([...document.images].map(i => i.decode().then(() => i.naturalWidth ? '' : i.alt, () => i.alt)))"
    )
    assert len(broken) > 30
    assert not any(broken)
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= viewport["width"]
    assert complaints == []


def test_dark_is_dark_and_its_charts_are_drawn_for_it(browser: Browser, page_file: Path) -> None:
    brightness, charts = [], []
    for scheme in ("light", "dark"):
        page, _ = open_page(browser, page_file, DESKTOP, scheme)
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        brightness.append(sum(int(part) for part in ground.strip("rgb()").split(",")))
        charts.append(page.evaluate("document.querySelector('figure img').currentSrc"))
    assert brightness[0] > 600
    assert brightness[1] < 150
    assert charts[0] != charts[1]


def test_it_is_walked_with_the_keyboard(browser: Browser, page_file: Path) -> None:
    page, _ = open_page(browser, page_file, DESKTOP)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.hash") == "#figures"
    page.keyboard.press("Enter")
    assert abs(page.evaluate("document.getElementById('figures').getBoundingClientRect().top")) < 60
    page.focus("summary")
    page.keyboard.press("Enter")
    assert page.evaluate("document.querySelector('details').open")
    names = page.evaluate("[...document.querySelectorAll('[tabindex]')].map(e => e.getAttribute('aria-label'))")
    assert len(names) > 4
    assert all(names)


def test_paper_gets_what_is_folded_away_on_the_screen(browser: Browser, page_file: Path) -> None:
    page, _ = open_page(browser, page_file, DESKTOP)
    height = "document.querySelector('details table').getBoundingClientRect().height"
    page.emulate_media(media="print")
    assert page.evaluate(height) > 100
    assert page.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert len(page.pdf()) > 50_000


def test_it_is_small_enough_for_a_mail(page_file: Path) -> None:
    assert page_file.stat().st_size < 5_000_000
