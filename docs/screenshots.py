"""Pictures for the README: `uv run python docs/screenshots.py [report/index.html]`.

Draws the photograph of `malaria predict --example`, and takes screenshots of the report and of the page on that slide,
by `models`. Writes docs/images/*.png, desktop size, light theme. Needs chromium on the PATH
(`apt-get install chromium`).
"""

import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

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
        browser.close()


def draw_example() -> None:
    """A field of NLM's look, at a lower resolution; one cell in twelve is parasitized."""
    field = draw_field(replace(HOME, radius=50), 11, parasitemia=0.08, width=1800, height=1350)
    Image.fromarray(field.pixels).save(EXAMPLE, "JPEG", quality=88)


if __name__ == "__main__":
    main()
