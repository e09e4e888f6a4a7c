"""The page of `malaria demo`, served by the command and used in a real browser."""

import base64
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import requests
import torch
from playwright.sync_api import Browser

from malaria.cli.__main__ import main
from malaria.evaluation.ood import find_quantiles, image_statistics
from malaria.model.dataset import to_floats
from malaria.predict.classifier import Classifier
from malaria.predict.load import load_model
from malaria.smear.crops import decode
from malaria.sources.drawing.png import encode_png
from tests.support.browser import DESKTOP, FOUND, PHONE
from tests.support.models import make_model
from tests.support.scratch import ROOT
from tests.support.skips import needs

pytestmark = needs("BROWSER", chromium=FOUND)
BUTTON = "Try synthetic cells"
File = dict[str, Any]  # as Playwright uploads it


@pytest.fixture(scope="module")
def cells(drawn: list[tuple[str, bytes]]) -> list[File]:
    chosen = drawn[:: len(drawn) // 12][:12]
    return [{"name": name.split("/")[-1], "mimeType": "image/png", "buffer": data} for name, data in chosen]


@pytest.fixture(scope="module")
def model(drawn: list[tuple[str, bytes]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights, whose threshold parts the drawn cells, and whose reference quantiles are theirs."""
    folder = make_model(tmp_path_factory.mktemp("model"))
    untuned = load_model(folder)
    squares = np.stack([decode(data, untuned.card.preprocess) for _, data in drawn])
    middle, low = np.quantile(untuned.score(squares)[0], [0.5, 0.2]).tolist()
    return make_model(
        folder,
        reference_quantiles=find_quantiles(image_statistics(to_floats(torch.from_numpy(squares)))),
        threshold=middle,
        operating_points={"default": middle, "sensitivity_98": low, "specificity_99": None},
    )


@pytest.fixture(scope="module")
def classifier(model: Path) -> Classifier:
    return load_model(model)


@contextmanager
def serve(model: Path, *options: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """`malaria demo`, and the address that it prints."""
    run = [sys.executable, "-m", "malaria.cli", "demo", "--no-browser", "--port", "0", "--model", str(model), *options]
    kept = {key: value for key, value in os.environ.items() if key != "PYTEST_CURRENT_TEST"}  # NiceGUI looks for it
    pipes = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(run, cwd=ROOT, env=kept, text=True, bufsize=1, **pipes) as server:
        printed = re.match(r"(http://\S+) is the page", server.stdout.readline())
        assert printed, server.communicate()[1]
        yield server, printed[1]
        server.kill()


@pytest.fixture(scope="module")
def address(model: Path) -> Iterator[str]:
    with serve(model) as (_, address):
        yield address


class Visit:
    """The page in a window of its own; `problems` collects console messages, errors, and requests of other sites."""

    def __init__(self, browser: Browser, address: str, viewport: dict[str, int] = DESKTOP, scheme: str = "light"):
        self.context = browser.new_context(viewport=viewport, color_scheme=scheme)
        self.page = self.context.new_page()
        self.page.set_default_timeout(30_000)
        self.problems: list[str] = []
        self.uploads: list[str] = []
        self.page.on("console", lambda message: self.problems.append(message.text))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("request", lambda request: self.see(request.url, address))
        self.page.goto(address)
        self.page.get_by_text(BUTTON).wait_for()

    def see(self, url: str, address: str) -> None:
        if not url.startswith((f"{address}/", "data:", f"blob:{address}/")):
            self.problems.append(url)
        if "/upload/" in url:
            self.uploads.append(url)

    def text(self) -> str:
        return self.page.locator("body").inner_text()

    def click(self, button: str) -> None:
        self.page.get_by_role("button", name=button).click()

    def upload(self, files: list[File], status: str) -> None:
        """Drop files and wait for a status that begins so."""
        self.page.set_input_files("input[type=file]", files)
        self.wait_for(status)

    def wait_for(self, status: str) -> None:
        self.page.locator("[role=status]", has_text=re.compile(f"^{status}")).wait_for()

    def alerts(self, count: int) -> list[str]:
        """The lines of the alert, once there are so many."""
        lines = self.page.locator("[role=alert] li")
        lines.nth(count - 1).wait_for()
        return lines.all_inner_texts()

    def download(self) -> pd.DataFrame:
        with self.page.expect_download() as download:
            self.click("Download CSV")
        return pd.read_csv(download.value.path(), keep_default_na=False)


@pytest.fixture
def visit(browser: Browser, address: str) -> Iterator[Visit]:
    visit = Visit(browser, address)
    yield visit
    visit.context.close()


def check(table: pd.DataFrame, classifier: Classifier, files: list[File], threshold: float | None = None) -> None:
    """Check that a table, in any order, has the classifier's predictions of the files."""
    expected = classifier.predict([file["buffer"] for file in files], threshold)
    expected.insert(0, "image", [file["name"] for file in files])
    table = table.set_index("image").loc[expected.image].reset_index()
    pd.testing.assert_frame_equal(table, expected, check_dtype=False, atol=2e-5, rtol=0)


def test_each_cell_is_shown_and_another_threshold_changes_its_prediction(
    visit: Visit, classifier: Classifier, cells: list[File]
) -> None:
    assert "saliency map" in visit.text()
    visit.upload(cells[:1], "1 cell: ")
    picture, saliency = (image.get_attribute("src") or "" for image in visit.page.locator(".cells img").all())
    assert picture.startswith("data:image/png;base64,")
    assert saliency.startswith("data:image/png;base64,")
    assert picture != saliency
    visit.upload(cells[1:], "12 cells: ")
    table = visit.download()
    check(table, classifier, cells)
    assert {*table.prediction} == {"Parasitized", "Uninfected"}
    assert visit.page.locator(".cells li").count() == 12
    card = visit.page.locator(".cells li", has_text=table.image[3]).inner_text()
    assert table.prediction[3] in card
    assert f"{100 * table.probability[3]:.1f} %" in card

    visit.page.get_by_label("Threshold").click()
    options = visit.page.get_by_role("option")
    assert options.count() == 2  # without the point that val could not choose
    options.filter(has_text="sensitivity of 98 %").click()
    threshold = classifier.find_threshold("sensitivity_98")
    visit.wait_for(f"12 cells: {(table.probability >= threshold).sum()} parasitized")
    check(visit.download(), classifier, cells, threshold)
    assert visit.problems == []


def test_a_file_dropped_beside_the_field_does_not_replace_the_page(visit: Visit) -> None:
    drop = """document.querySelector("h1").dispatchEvent(
        new DragEvent("drop", {dataTransfer: new DataTransfer(), bubbles: true, cancelable: true}))"""
    assert visit.page.evaluate(drop) is False  # the browser's own handling is prevented


def test_the_table_is_sorted_by_a_click_or_a_key(visit: Visit, cells: list[File]) -> None:
    visit.upload(cells, "12 cells: ")
    head = visit.page.get_by_role("button", name="Probability")
    for act, order in ((head.click, "ascending"), (lambda: head.press("Enter"), "descending")):
        act()
        visit.page.locator(f"th[aria-sort={order}]").wait_for()
        column = visit.page.locator("tbody td:nth-child(2)").all_inner_texts()
        assert column == sorted(column, reverse=order == "descending")
    assert len({*column}) > 6


def test_synthetic_cells_are_new_each_time_and_seen_in_their_tab_alone(visit: Visit, address: str) -> None:
    visit.page.get_by_role("button", name=BUTTON).press("Enter")
    visit.wait_for("12 cells: ")
    visit.click(BUTTON)
    visit.wait_for("24 cells: ")
    names = visit.download().image
    assert names.nunique() == 24
    assert names.str.contains("Parasitized/").sum() == 12
    other = visit.context.new_page()
    other.goto(address)
    other.get_by_text(BUTTON).wait_for()
    assert other.locator(".cells").is_hidden()
    assert "Parasitized/" not in other.content()
    visit.click("Clear")
    visit.page.locator(".cells").wait_for(state="hidden")
    visit.click(BUTTON)
    visit.wait_for("12 cells: ")
    assert visit.problems == []


def test_unreadable_files_are_named_as_text_and_the_others_predicted(visit: Visit, cells: list[File]) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (90, 90, 3)).astype(np.uint8)
    contents = {
        "<img src=x onerror=alert(1)>.png": b"a letter, not an image",
        "big.png": bytes(10_100_000),
        "empty.png": b"",
        "<b>noise.png": encode_png(noise),
    }
    files = [{"name": name, "mimeType": "image/png", "buffer": data} for name, data in contents.items()]
    visit.upload(files[:2] + cells[:2] + files[2:], "2 cells: ")
    for name, line in zip(sorted(contents), sorted(visit.alerts(4)), strict=True):
        assert line.startswith(f"{name}: ")
    assert visit.page.locator("[role=alert] img, .cells p b, td b").count() == 0
    assert visit.problems == []


def test_the_server_has_limits_of_its_own(visit: Visit, cells: list[File]) -> None:
    visit.upload(cells[:1], "1 cell: ")
    (url,) = visit.uploads
    assert requests.post(url, files={"a": ("a.png", bytes(10_100_000))}).status_code == 413
    assert requests.post(url, data=iter([b"a", b"b"])).status_code == 411
    cell = np.zeros((20, 20, 3), np.uint8)
    cell[5:15, 5:15] = 200
    small = encode_png(cell)
    assert requests.post(url, files=[(f"f{i}", (f"{i}.png", small)) for i in range(300)]).status_code == 200
    visit.wait_for(r"\d{3} cells: ")
    assert "more than 200 files" in visit.alerts(50)[0]
    assert len(visit.alerts(50)) == 50
    assert visit.page.locator(".cells li").count() == 24
    visit.page.get_by_role("navigation").get_by_label("Next page").click()
    visit.click("Clear")
    visit.page.locator(".cells").wait_for(state="hidden")


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_follows_the_systems_theme(
    browser: Browser, address: str, cells: list[File], scheme: str
) -> None:
    visit = Visit(browser, address, PHONE, scheme)
    long = [{**cells[0], "name": "a-name-without-a-break" * 9 + ".png"}]
    text = {"name": "x" * 240 + ".png", "mimeType": "image/png", "buffer": b"no"}
    visit.upload([*cells[1:], *long, text], "12 cells: ")
    assert len(visit.alerts(1)[0]) < 250
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    ground = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(int(part) for part in ground.strip("rgb()").split(","))
    assert brightness > 600 if scheme == "light" else brightness < 150
    assert visit.problems == []
    visit.context.close()


def test_no_file_of_the_server_can_be_read(address: str) -> None:
    host, port = address.removeprefix("http://").split(":")
    version = re.search(r"/_nicegui/([\d.]+)/", requests.get(address).text)
    assert version
    bases = [f"/_nicegui/{version[1]}/{part}" for part in ("static", "libraries", "components", "resources/x", "esm/x")]
    ups = [f"/{up * 8}etc/passwd" for up in ("../", "..%2f", "%2e%2e/")]
    ups += ["//etc/passwd", "/%2fetc/passwd", "/..%5c..%5cparams.yaml"]
    for path in [base + up for base in ["", "/_nicegui", *bases] for up in ups]:
        with socket.create_connection((host, int(port))) as connection:  # any library would tidy the path
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        assert re.match(rb"HTTP/1.1 40[0345] ", answer), path
        assert b"root:" not in answer
        assert b"patients:" not in answer


def test_other_sites_reach_neither_the_page_nor_its_websocket(address: str) -> None:
    assert requests.get(address, headers={"Host": "evil.example"}).status_code == 400
    assert requests.get(address, headers={"Origin": "http://evil.example"}).status_code == 403
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    upgrade |= {"Sec-WebSocket-Key": base64.b64encode(bytes(16)).decode()}
    url = f"{address}/_nicegui_ws/socket.io/?EIO=4&transport=websocket"
    for origin, status in (("http://evil.example", 403), (address, 101)):
        with requests.get(url, headers=upgrade | {"Origin": origin}, stream=True) as answer:
            assert answer.status_code == status
    assert "Access-Control-Allow-Origin" not in requests.get(address).headers


@pytest.mark.slow
def test_an_onnx_model_is_served_without_saliency_maps_until_ctrl_c(
    browser: Browser, model: Path, classifier: Classifier, cells: list[File], tmp_path: Path
) -> None:
    main(["export", "--model", str(model), "--onnx", str(tmp_path / "model.onnx")])
    with serve(tmp_path / "model.onnx", "--host", "0.0.0.0") as (server, address):
        visit = Visit(browser, address)
        visit.upload(cells[:2], "2 cells: ")
        assert visit.page.locator(".cells img").count() == 2
        assert "no saliency maps" in visit.text()
        check(visit.download(), classifier, cells[:2])
        server.send_signal(signal.SIGINT)
        output, errors = server.communicate(timeout=20)
        visit.context.close()
    assert server.returncode == 0
    (warning,) = errors.splitlines()
    assert "0.0.0.0" in warning
    assert output.strip() == ""
