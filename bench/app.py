"""How long does one wait for the page? `uv run --extra app python bench/app.py PHOTO` opens it in headless chromium.

Prints seconds: from the command to the address, of which importing what the server needs takes a part (measured alone);
from the address to the page; and from dropping PHOTO to its outlined cells, beside `malaria predict` on it with its
imports, so that a ratio tells it from the machine. Medians of TURNS.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from playwright.sync_api import Page, sync_playwright

from bench.timing import environment, seconds

TURNS = 3
COMMAND = [sys.executable, "-m", "malaria.cli"]


@contextmanager
def serve(folder: str) -> Iterator[str]:
    """The page's address."""
    command = [*COMMAND, "app", "--no-browser", "--port", "0", "--folder", folder]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as server:
        try:
            yield re.split(" is the page", server.stdout.readline() if server.stdout else "")[0]
        finally:
            server.kill()


def drop(page: Page, photo: Path) -> None:
    page.set_input_files("input[type=file] >> nth=0", photo)
    page.locator(".map").scroll_into_view_if_needed()  # outlines are drawn once it is seen
    page.locator("path.cell").nth(10).wait_for()
    page.wait_for_function("[...document.querySelectorAll('img.leaflet-image-layer')].every(it => it.complete)")


def measure(photo: Path) -> dict[str, float]:
    """Seconds of each wait."""
    imports = [sys.executable, "-c", "import malaria.cli.app"]
    times = {"imports": seconds(lambda: subprocess.run(imports, check=True, env=environment()))}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        context = serve(folder)
        addresses: list[str] = []
        times["address"] = seconds(lambda: addresses.append(context.__enter__()))
        page.goto("about:blank")
        times["page"] = seconds(lambda: (page.goto(addresses[0]), page.get_by_text("Choose photographs").wait_for()))
        times["photograph"] = seconds(lambda: drop(page, photo))
        cells = page.locator("path.cell").count()
        context.__exit__(None, None, None)
        browser.close()
    predict = [*COMMAND, "predict", str(photo), "--csv"]
    times["predict"] = seconds(
        lambda: subprocess.run(predict, check=True, stdout=subprocess.DEVNULL, env=environment())
    )
    return times | {"cells": cells}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photo", type=Path, metavar="PHOTO")
    options = parser.parse_args()
    turns = [measure(options.photo) for _ in range(TURNS)]
    found = {name: median(turn[name] for turn in turns) for name in turns[0]}
    print(f"cells_outlined: {found['cells']:.0f}")
    print(f"imports_s: {found['imports']:.1f}")
    print(f"command_to_address_s: {found['address']:.1f}")
    print(f"address_to_page_s: {found['page']:.1f}")
    print(f"drop_to_outlined_cells_s: {found['photograph']:.1f}")
    print(f"malaria_predict_s: {found['predict']:.1f}")
    print(f"ratio_page_to_predict: {found['photograph'] / found['predict']:.2f}")


if __name__ == "__main__":
    main()
