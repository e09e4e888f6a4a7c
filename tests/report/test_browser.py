"""The report in a real browser without a network: Debian's chromium, or Chrome.

Locally the tests are skipped where there is no browser; .ci/run installs one and sets BROWSER=required.
"""

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from malaria.report.page import render_report
from tests.support.browser import DESKTOP, FOUND, PHONE, find_violations, open_page
from tests.support.page import make_content, make_predictions, make_split
from tests.support.skips import needs

pytestmark = [pytest.mark.slow, needs("BROWSER", chromium=FOUND)]


@pytest.fixture(scope="module")
def page_file(drawn: list[tuple[str, bytes]], archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    split = make_split([name for name, _ in drawn])
    path = tmp_path_factory.mktemp("page") / "index.html"
    path.write_text(render_report(make_content(make_predictions(split), split, archive)), "utf-8")
    return path


def test_it_fits_any_screen_in_both_themes(browser: Browser, page_file: Path) -> None:
    brightness, charts = {}, {}
    for viewport in (DESKTOP, PHONE):
        for scheme in ("light", "dark"):
            page, problems = open_page(browser, page_file, viewport, scheme)
            decoded = page.evaluate(
                "Promise.all([...document.images].map(i => i.decode().then(() => i.naturalWidth > 0, () => false)))"
            )
            assert len(decoded) > 30
            assert all(decoded)
            assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
            assert problems == []
            ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
            brightness[scheme] = sum(int(part) for part in ground.strip("rgb()").split(","))
            charts[scheme] = page.evaluate("document.querySelector('figure img').currentSrc")
            assert find_violations(page) == ""
    assert brightness["dark"] < 150 < 600 < brightness["light"]
    assert charts["dark"] != charts["light"]


def test_it_can_be_used_with_the_keyboard(browser: Browser, page_file: Path) -> None:
    page, _ = open_page(browser, page_file, DESKTOP)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.hash") == "#metrics"
    page.keyboard.press("Enter")
    assert abs(page.evaluate("document.getElementById('metrics').getBoundingClientRect().top")) < 60
    page.focus("summary")
    page.keyboard.press("Enter")
    assert page.evaluate("document.querySelector('details').open")
    names = page.evaluate("[...document.querySelectorAll('[tabindex]')].map(e => e.getAttribute('aria-label'))")
    assert len(names) > 4
    assert all(names)


def test_folded_tables_are_printed_and_the_file_is_small(browser: Browser, page_file: Path) -> None:
    page, _ = open_page(browser, page_file, DESKTOP)
    page.emulate_media(media="print")
    assert page.evaluate("document.querySelector('details table').getBoundingClientRect().height") > 100
    assert page.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert page_file.stat().st_size < 5_000_000  # for a mail
