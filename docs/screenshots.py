"""Pictures for README and docs/APP.md: `uv run python docs/screenshots.py [report/index.html]`.

Draws the photograph of `malaria predict --example`, and takes screenshots of the report, of the page on that slide, by
`models`, and of `malaria app`. Writes docs/images/*.png, desktop size, light theme. Needs chromium on the PATH
(`apt-get install chromium`).
"""

import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from bench.app import serve
from malaria.cli.__main__ import main as run
from malaria.cli.predict import EXAMPLE
from malaria.sources.drawing.fields import draw_field
from malaria.sources.drawing.labs import HOME

IMAGES = Path(__file__).parent / "images"
SHOTS = {  # by name: the page, its section at the top of the picture ("main" is its start), and the height in px
    "report": ("report", "main", 440),
    "mistakes": ("report", "mistakes", 560),
    "slide": ("slide", "main", 1180),
}
WIDTH = 1200  # px
SETTLES = 1500  # ms


def main() -> None:
    """Take each of SHOTS."""
    report = Path(sys.argv[1] if len(sys.argv) > 1 else "report/index.html")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not (report.exists() and chromium):
        sys.exit(f"{report}: no such file; run `dvc repro`" if chromium else "chromium is not on the PATH; install it")
    draw_example()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        slide = Path(folder) / "slide.html"
        run(["smear-report", str(EXAMPLE), "-o", str(slide), "--title", "A drawn slide"])
        pages = {"report": report, "slide": slide}
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, (shown, section, height) in SHOTS.items():
            page = browser.new_page(viewport={"width": WIDTH, "height": height})
            page.goto(pages[shown].resolve().as_uri())
            page.locator(f"#{section}").evaluate("element => element.scrollIntoView()")
            page.screenshot(path=IMAGES / f"{name}.png")
        with serve(str(Path(folder) / "lab")) as address:
            shoot_app(browser, address)
        browser.close()


def shoot_app(browser: Browser, address: str) -> None:
    """The page with the drawn photograph; a cell to be labelled; and what a phone shows."""
    page = browser.new_page(viewport={"width": WIDTH, "height": 1150})
    page.goto(address)
    page.get_by_text("Try the drawn example").click()
    page.get_by_text("1 photograph read").wait_for()
    page.locator("path.cell").nth(30).wait_for()
    page.wait_for_timeout(SETTLES)
    page.locator(".headline").evaluate("element => element.scrollIntoView()")
    page.screenshot(path=IMAGES / "app.png")
    for key in "luuuu":
        page.keyboard.press(key)
        page.wait_for_timeout(SETTLES)
    page.locator(".bench").screenshot(path=IMAGES / "app-label.png")
    phone = browser.new_page(viewport={"width": 390, "height": 844}, device_scale_factor=2)
    phone.goto(address)
    phone.locator("path.cell").nth(30).wait_for()
    phone.locator(".photograph").scroll_into_view_if_needed()
    phone.wait_for_timeout(SETTLES)
    phone.screenshot(path=IMAGES / "app-phone.png")


def draw_example() -> None:
    """A field of NLM's look, at a lower resolution; one cell in twelve is parasitized."""
    field = draw_field(replace(HOME, radius=50), 11, parasitemia=0.08, width=1800, height=1350)
    Image.fromarray(field.pixels).save(EXAMPLE, "JPEG", quality=88)


if __name__ == "__main__":
    main()
