"""The page of a slide in a real browser without a network; skipped where there is none, as in tests/report."""

from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page

from malaria import load_model
from malaria.slide.page import render_slide
from malaria.slide.summary import Slide
from tests.support.browser import DESKTOP, FOUND, PHONE, find_violations, open_page
from tests.support.models import make_model
from tests.support.skips import needs
from tests.support.slides import call_photograph, write_photographs

PLACE = """(() => {
  const picture = document.querySelector("#pane img").getBoundingClientRect();
  const pane = document.getElementById("pane").getBoundingClientRect();
  return [picture.left - pane.left, picture.top - pane.top, picture.width, picture.height];
})()"""  # of the enlarged photograph, relative to what is shown of it: left, top, width, height

pytestmark = [pytest.mark.slow, needs("BROWSER", chromium=FOUND)]


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two photographs, a broken one, and cells in both galleries."""
    folder = tmp_path_factory.mktemp("slide")
    classifier = load_model(make_model(folder / "model", temperature=1e-3, abstain=0.4))
    slide = Slide(classifier.card.threshold, 900)
    for path in write_photographs(folder / "photos", 2):
        slide.add(path, call_photograph(Image.open(path), classifier, 0.5))
    slide.add_broken("a_file_with_a_name_that_is_rather_long_and_without_any_blank_in_it.jpg", "cannot be read")
    assert slide.uncertain
    (page := folder / "slide.html").write_text(render_slide(slide, classifier, "Smear", "default", 5e6), "utf-8")
    return page


def width_of_picture(page: Page) -> float:
    width: float = page.evaluate("document.querySelector('#pane img').getBoundingClientRect().width")
    return width


def test_it_fits_any_screen_in_both_themes(browser: Browser, page_file: Path) -> None:
    brightness = {}
    for viewport in (DESKTOP, PHONE):
        for scheme in ("light", "dark"):
            page, problems = open_page(browser, page_file, viewport, scheme)
            decoded = page.evaluate(
                "Promise.all([...document.images].filter(i => i.getAttribute('src'))"
                ".map(i => i.decode().then(() => i.naturalWidth > 0, () => false)))"
            )
            assert len(decoded) > 10
            assert all(decoded)
            assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
            assert problems == []
            ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
            brightness[scheme] = sum(int(part) for part in ground.strip("rgb()").split(","))
            assert find_violations(page) == ""
    assert brightness["dark"] < 150 < 600 < brightness["light"]


def test_headings_are_nested_and_pictures_have_texts(browser: Browser, page_file: Path) -> None:
    page, _ = open_page(browser, page_file, DESKTOP)
    levels = page.evaluate("[...document.querySelectorAll('h1, h2, h3')].map(h => +h.tagName[1])")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert page.evaluate("[...document.querySelectorAll('main img')].every(i => i.alt)")


def test_a_photograph_is_enlarged_and_closed_with_the_keyboard(browser: Browser, page_file: Path) -> None:
    page, problems = open_page(browser, page_file, DESKTOP)
    page.focus(".sheets a")
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('#pane img').clientWidth > 0")
    fit = width_of_picture(page)
    assert fit <= DESKTOP["width"]
    page.keyboard.press("+")
    assert width_of_picture(page) == pytest.approx(1.5 * fit, rel=0.01)
    page.keyboard.press("-")
    assert width_of_picture(page) == pytest.approx(fit, rel=0.01)
    page.keyboard.press("Escape")
    assert not page.evaluate("document.getElementById('zoom').open")
    assert page.evaluate("document.activeElement.closest('.sheets') !== null")
    assert problems == []


def test_a_cell_of_a_gallery_is_shown_in_its_photograph(browser: Browser, page_file: Path) -> None:
    page, problems = open_page(browser, page_file, PHONE)
    link = page.locator(".gallery a").first
    x, y = (float(link.get_attribute(f"data-{axis}") or "nan") for axis in "xy")
    link.click()
    page.wait_for_function("document.querySelector('#pane img').clientWidth > 2 * innerWidth")
    left, top, width, height = page.evaluate(PLACE)
    seen = left + x * width, top + y * height
    shown = page.evaluate("[document.getElementById('pane').clientWidth, document.getElementById('pane').clientHeight]")
    assert all(0 < at < side for at, side in zip(seen, shown, strict=True))
    assert problems == []


def test_in_print_the_photographs_and_galleries_are_there(browser: Browser, page_file: Path) -> None:
    page, _ = open_page(browser, page_file, {"width": 794, "height": 1123})  # A4
    page.emulate_media(media="print")
    assert page.evaluate("document.querySelector('.sheets img').getBoundingClientRect().height") > 100
    assert page.evaluate("document.documentElement.scrollWidth") <= 794
    assert page.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
