"""Screenshots of the report for the README: `uv run python docs/screenshots.py [report/index.html]`.

Writes docs/images/*.png, desktop size, light theme. Needs chromium on the PATH (`apt-get install chromium`).
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

IMAGES = Path(__file__).parent / "images"
SHOTS = {  # by name: the section of the report at the top of the picture ("main" is its start), and the height in px
    "report": ("main", 440),
    "mistakes": ("mistakes", 560),
}
WIDTH = 1200  # px


def main() -> None:
    """Take each of SHOTS."""
    report = Path(sys.argv[1] if len(sys.argv) > 1 else "report/index.html")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not (report.exists() and chromium):
        sys.exit(f"{report}: no such file; run `dvc repro`" if chromium else "chromium is not on the PATH; install it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, (section, height) in SHOTS.items():
            page = browser.new_page(viewport={"width": WIDTH, "height": height})
            page.goto(report.resolve().as_uri())
            page.locator(f"#{section}").evaluate("element => element.scrollIntoView()")
            page.screenshot(path=IMAGES / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
