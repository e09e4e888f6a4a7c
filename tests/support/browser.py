"""The browser that pages are tried in: Debian's chromium, or Chrome."""

import shutil
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

FOUND = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 360, "height": 740}
WCAG = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa")


def open_page(browser: Browser, path: Path, viewport: dict[str, int], scheme: str = "light") -> tuple[Page, list[str]]:
    """The page, and a list that collects console messages, errors, and requests of the network."""
    page = browser.new_context(viewport=viewport, color_scheme=scheme, offline=True).new_page()
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda it: None if it.url.startswith(("file:", "data:")) else problems.append(it.url))
    page.goto(path.as_uri())
    return page, problems


def find_violations(page: Page) -> str:
    """Where the page does not conform to WCAG 2.1, level AA, as far as axe-core can tell; empty where it does."""
    found = Axe().run(page, options={"runOnly": {"type": "tag", "values": list(WCAG)}})
    return found.generate_report() if found.violations_count else ""
