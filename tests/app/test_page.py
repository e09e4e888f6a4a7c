"""The page of `malaria demo`, served by the command and used in a real browser."""

import base64
import io
import os
import re
import signal
import socket
import subprocess
import sys
import zlib
from argparse import Namespace
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import requests
import torch
from PIL import Image
from playwright.sync_api import Browser, Locator, Page

import malaria
from malaria.cli.__main__ import main
from malaria.cli.demo import find_port, is_loopback, run
from malaria.core.artifacts import write_text
from malaria.core.errors import UserError
from malaria.data.decode import decode
from malaria.data.sources.synthetic import encode_png
from malaria.evaluation.ood import find_quantiles, image_statistics
from malaria.model.dataset import to_floats
from malaria.model.weights import build_from_config, save_model
from malaria.predict.classifier import Classifier
from malaria.predict.load import load_model
from tests.support.browser import DESKTOP, FOUND, PHONE
from tests.support.models import config, make_card
from tests.support.scratch import ROOT
from tests.support.skips import needs

can_serve = needs("BROWSER", chromium=FOUND, nicegui=find_spec("nicegui"))


@pytest.fixture(scope="module")
def cells(drawn: list[tuple[str, bytes]]) -> list[dict[str, Any]]:
    """Twelve files, as Playwright uploads them."""
    chosen = drawn[:: len(drawn) // 12][:12]
    return [{"name": name.split("/")[-1], "mimeType": "image/png", "buffer": data} for name, data in chosen]


@pytest.fixture(scope="module")
def model(drawn: list[tuple[str, bytes]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that has learned nothing, but calls half of the drawn cells parasitized and knows their looks."""
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    made = config("small_resnet", size=32)
    save_model(folder / "model.safetensors", build_from_config(made), made)
    squares = np.stack([decode(data, 32, made.fit) for _, data in drawn])
    reference_quantiles = find_quantiles(image_statistics(to_floats(torch.from_numpy(squares))))
    write_text(folder / "model.json", make_card(made, reference_quantiles=reference_quantiles).model_dump_json())
    probability = load_model(folder).score(squares)[0]
    middle, low = np.quantile(probability, [0.5, 0.2]).tolist()
    points = {"default": middle, "sensitivity_98": low, "specificity_99": None}
    card = make_card(
        made, reference_quantiles=reference_quantiles, threshold=middle, operating_points=points, doubt_margin=1e-3
    )
    write_text(folder / "model.json", card.model_dump_json())
    return folder


@pytest.fixture(scope="module")
def classifier(model: Path) -> Classifier:
    return load_model(model)


def start(model: Path, *more: str) -> tuple["subprocess.Popen[str]", str]:
    """`malaria demo`, and the address that it says."""
    command = [sys.executable, "-m", "malaria.cli", "demo", "--no-browser", "--port", "0", "--model", str(model), *more]
    kept = {key: value for key, value in os.environ.items() if key != "PYTEST_CURRENT_TEST"}  # NiceGUI looks for it
    server = subprocess.Popen(
        command, cwd=ROOT, env=kept, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
    )
    assert server.stdout
    said = re.match(r"(http://\S+) is the page", server.stdout.readline())
    assert said, server.communicate()[1]
    return server, said[1]


@pytest.fixture(scope="module")
def address(model: Path) -> Iterator[str]:
    server, address = start(model)
    yield address
    server.kill()
    server.communicate()


class Visit:
    """The page in a window of its own, and what it complains about or asks of others."""

    def __init__(
        self, browser: Browser, address: str, viewport: dict[str, int] = DESKTOP, scheme: str = "light"
    ) -> None:
        self.context = browser.new_context(viewport=viewport, color_scheme=scheme)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(20_000)
        self.complaints: list[str] = []
        self.uploads: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.see(request.url, address))
        self.page.goto(address)
        self.page.get_by_text("Try drawn cells").wait_for()

    def see(self, url: str, address: str) -> None:
        if not url.startswith((f"{address}/", "data:", f"blob:{address}/")):
            self.complaints.append(url)
        if "/upload/" in url:
            self.uploads.append(url)

    def upload(self, files: list[dict[str, Any]], then: str) -> None:
        """Drop files and wait for what the page says of all of them."""
        self.page.set_input_files("input[type=file]", files)
        self.wait_for(then)

    def wait_for(self, status: str) -> None:
        self.page.locator("[role=status]", has_text=re.compile(f"^{status}")).wait_for()

    def trouble(self, count: int) -> list[str]:
        """The lines of trouble, once there are so many."""
        lines = self.page.locator("[role=alert] li")
        lines.nth(count - 1).wait_for()
        return lines.all_inner_texts()

    def download(self) -> pd.DataFrame:
        with self.page.expect_download() as download:
            self.page.get_by_role("button", name="Download CSV").click()
        return pd.read_csv(download.value.path(), keep_default_na=False)

    def column(self, number: int) -> list[str]:
        return self.page.locator(f"tbody td:nth-child({number})").all_inner_texts()


@pytest.fixture
def visit(browser: Browser, address: str) -> Iterator[Visit]:
    visit = Visit(browser, address)
    yield visit
    visit.context.close()


def read_picture(image: Locator) -> np.ndarray:
    source = image.get_attribute("src") or ""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(source.removeprefix("data:image/png;base64,")))))


def same(
    table: pd.DataFrame, classifier: Classifier, files: list[dict[str, Any]], threshold: float | None = None
) -> None:
    """Check that a table, in any order, says what the classifier does of the files."""
    expected = classifier.predict([file["buffer"] for file in files], threshold)
    expected.insert(0, "image", [file["name"] for file in files])
    table = table.set_index("image").loc[expected.image].reset_index()
    pd.testing.assert_frame_equal(table, expected, check_dtype=False, atol=2e-5, rtol=0)


@can_serve
def test_each_cell_gets_its_answer_and_its_pictures(
    visit: Visit, classifier: Classifier, cells: list[dict[str, Any]]
) -> None:
    assert "shows where it sees one" in visit.page.locator("body").inner_text()
    visit.upload(cells[:1], "1 cell: ")
    picture, evidence = visit.page.locator(".cells img").all()
    assert Image.open(io.BytesIO(cells[0]["buffer"])).width > 50
    assert read_picture(picture).shape[2] == 3
    assert read_picture(evidence).shape == (128, 128, 3)
    assert not np.array_equal(read_picture(picture), read_picture(evidence))
    assert picture.get_attribute("alt") == f"{cells[0]['name']}, as it came"

    visit.upload(cells[1:], "12 cells: ")
    table = visit.download()
    same(table, classifier, cells)
    assert {*table.decision} == {"Parasitized", "Uninfected"}
    assert visit.page.locator(".cells li").count() == 12
    shown = visit.page.locator(".cells li", has_text=table.image[3]).inner_text()
    assert table.decision[3] in shown
    assert f"{100 * table.probability[3]:.1f} %" in shown
    assert visit.complaints == []


@can_serve
def test_files_are_dropped(visit: Visit, cells: list[dict[str, Any]]) -> None:
    """Through events as a browser makes them; what falls beside the field does not replace the page."""
    drag = """([type, where, text]) => {
        window.data ??= new DataTransfer();
        if (!data.items.length)
            data.items.add(new File([Uint8Array.from(atob(text), it => it.charCodeAt(0))], "dropped.png"));
        const event = new DragEvent(type, {dataTransfer: data, bubbles: true, cancelable: true});
        return document.querySelector(where).dispatchEvent(event);
    }"""
    text = base64.b64encode(cells[0]["buffer"]).decode()
    assert visit.page.evaluate(drag, ["drop", "h1", text]) is False  # the browser's own way is prevented
    visit.page.evaluate(drag, ["dragover", ".upload", text])
    visit.page.locator(".q-uploader__dnd").wait_for()
    visit.page.evaluate(drag, ["drop", ".q-uploader__dnd", text])
    visit.wait_for("1 cell: ")
    assert visit.column(1) == ["dropped.png"]


@can_serve
def test_the_table_is_sorted_by_a_click_or_a_key(visit: Visit, cells: list[dict[str, Any]]) -> None:
    visit.upload(cells, "12 cells: ")
    head = visit.page.get_by_role("button", name="Probability")
    head.click()
    visit.page.locator("th[aria-sort=ascending]").wait_for()
    assert visit.column(2) == sorted(visit.column(2))
    head.press("Enter")
    visit.page.locator("th[aria-sort=descending]").wait_for()
    assert visit.column(2) == sorted(visit.column(2), reverse=True)
    assert len({*visit.column(2)}) > 6


@can_serve
def test_another_threshold_changes_the_calls_alone(
    visit: Visit, classifier: Classifier, cells: list[dict[str, Any]]
) -> None:
    visit.upload(cells, "12 cells: ")
    before = visit.download()
    visit.page.get_by_label("Call it parasitized").click()
    options = visit.page.get_by_role("option")
    assert options.count() == 2
    options.filter(has_text="sensitivity of 98 %").click()
    yes = (before.probability >= classifier.find_threshold("sensitivity_98")).sum()
    visit.wait_for(f"12 cells: {yes} parasitized")
    same(visit.download(), classifier, cells, classifier.find_threshold("sensitivity_98"))


@can_serve
def test_drawn_cells_are_judged_others_each_time_and_cleared(visit: Visit) -> None:
    visit.page.get_by_role("button", name="Try drawn cells").press("Enter")
    visit.wait_for("12 cells: ")
    visit.page.get_by_role("button", name="Try drawn cells").click()
    visit.wait_for("24 cells: ")
    names = visit.download().image
    assert names.nunique() == 24
    assert names.str.contains("drawn-1/Parasitized/").sum() == 6
    visit.page.get_by_role("button", name="Clear").click()
    visit.page.locator(".cells").wait_for(state="hidden")
    visit.page.get_by_role("button", name="Try drawn cells").click()
    visit.wait_for("12 cells: ")
    assert visit.complaints == []


def bomb(side: int = 30_000) -> bytes:
    """A PNG of 900 million black pixels, a bit each, in 110 kB."""
    chunk = lambda kind, data: len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")  # noqa: E731
    header = side.to_bytes(4, "big") * 2 + bytes([1, 0, 0, 0, 0])
    packed = zlib.compress(bytes(side * (1 + side // 8)), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


@can_serve
def test_what_is_no_cell_is_named_and_the_others_are_judged(visit: Visit, cells: list[dict[str, Any]]) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (90, 90, 3)).astype(np.uint8)
    files = [
        {"name": "<img src=x onerror=alert(1)>.png", "mimeType": "image/png", "buffer": b"a letter, not an image"},
        {"name": "bomb.png", "mimeType": "image/png", "buffer": bomb()},
        {"name": "empty.png", "mimeType": "image/png", "buffer": b""},
        {"name": "big.png", "mimeType": "image/png", "buffer": bytes(10_100_000)},
        {"name": "<b>noise.png", "mimeType": "image/png", "buffer": encode_png(noise)},
    ]
    assert len(files[1]["buffer"]) < 200_000
    visit.upload(files[:2] + cells[:2] + files[2:], "3 cells: ")
    lines = sorted(visit.trouble(4))
    assert lines[0] == "<img src=x onerror=alert(1)>.png: not a PNG, JPEG, TIFF, BMP or WebP image"
    assert lines[1] == "big.png: more than 10 MB"
    assert lines[2].startswith("bomb.png: ")
    assert lines[3].startswith("empty.png: ")
    card = visit.page.locator(".cells li", has_text="<b>noise.png")
    assert "Unlike the cells it has learned from" in card.inner_text()
    assert visit.page.locator("[role=alert] img, .cells p b, td b").count() == 0
    assert visit.complaints == []


@can_serve
def test_the_server_has_limits_of_its_own(visit: Visit, cells: list[dict[str, Any]]) -> None:
    visit.upload(cells[:1], "1 cell: ")
    (url,) = visit.uploads
    assert requests.post(url, files={"a": ("a.png", bytes(10_100_000))}).status_code == 413
    assert requests.post(url, data=iter([b"a", b"b"])).status_code == 411
    small = encode_png(np.full((20, 20, 3), 200, np.uint8))
    many = [(f"f{i}", (f"{i}.png", small)) for i in range(300)]
    assert requests.post(url, files=many).status_code == 200
    visit.wait_for(r"\d{3} cells: ")
    assert len(visit.trouble(50)) == 50
    assert "more than 200 files at a time" in visit.trouble(50)[0]
    assert visit.page.locator(".cells li").count() == 24
    visit.page.get_by_role("navigation").get_by_label("Next page").click()
    visit.page.get_by_role("button", name="Clear").click()
    visit.page.locator(".cells").wait_for(state="hidden")


@can_serve
def test_tabs_know_nothing_of_each_other(visit: Visit, browser: Browser, address: str) -> None:
    visit.page.get_by_role("button", name="Try drawn cells").click()
    visit.wait_for("12 cells: ")
    for other in (visit.context.new_page(), browser.new_page()):
        other.goto(address)
        other.get_by_text("Try drawn cells").wait_for()
        assert other.locator(".cells").is_hidden()
        assert "Parasitized/" not in other.content()
        other.close()


@can_serve
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_follows_the_system(
    browser: Browser, address: str, cells: list[dict[str, Any]], scheme: str
) -> None:
    visit = Visit(browser, address, PHONE, scheme)
    long = [{**cells[0], "name": "a-name-without-a-break" * 9 + ".png"}]
    visit.upload(
        [*cells[1:], *long, {"name": "x" * 240 + ".png", "mimeType": "image/png", "buffer": b"no"}], "12 cells: "
    )
    assert len(visit.trouble(1)[0]) < 250
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    ground = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(int(part) for part in ground.strip("rgb()").split(","))
    assert (brightness > 600) == (scheme == "light")
    assert (brightness < 150) == (scheme == "dark")
    assert visit.page.evaluate("document.documentElement.lang") == "en-GB"
    assert visit.complaints == []
    visit.context.close()


@can_serve
def test_no_file_of_the_server_can_be_read(address: str) -> None:
    host, port = address.removeprefix("http://").split(":")
    version = re.search(r"/_nicegui/([\d.]+)/", requests.get(address).text)
    assert version
    served = [
        f"/_nicegui/{version[1]}/{part}" for part in ("static", "libraries", "components", "resources/x", "esm/x")
    ]
    ups = ["/../../../../../../../../etc/passwd", "/..%2f..%2f..%2f..%2f..%2f..%2f..%2fetc%2fpasswd"]
    ups += [
        "/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "//etc/passwd",
        "/%2fetc/passwd",
        "/..%5c..%5cparams.yaml",
    ]
    for path in [base + up for base in ["", "/_nicegui", *served] for up in ups]:
        with socket.create_connection((host, int(port))) as connection:  # as it is: any library would tidy the path
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        assert re.match(rb"HTTP/1.1 40[0345] ", answer), path
        assert b"root:" not in answer
        assert b"patients:" not in answer


@can_serve
def test_pages_of_other_sites_reach_nothing(address: str) -> None:
    assert requests.get(address, headers={"Host": "evil.example"}).status_code == 400
    assert requests.get(address, headers={"Origin": "http://evil.example"}).status_code == 403
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    upgrade |= {"Sec-WebSocket-Key": base64.b64encode(bytes(16)).decode()}
    socket_url = f"{address}/_nicegui_ws/socket.io/?EIO=4&transport=websocket"
    for origin, status in (("http://evil.example", 403), (address, 101)):
        with requests.get(socket_url, headers=upgrade | {"Origin": origin}, stream=True) as answer:
            assert answer.status_code == status
    headers = requests.get(address).headers
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "Access-Control-Allow-Origin" not in headers


@can_serve
@pytest.mark.slow
def test_ctrl_c_ends_it_quietly(model: Path, browser: Browser) -> None:
    server, address = start(model, "--host", "0.0.0.0")
    visit = Visit(browser, address)
    server.send_signal(signal.SIGINT)
    said, errors = server.communicate(timeout=20)
    visit.context.close()
    assert server.returncode == 0
    assert "Traceback" not in errors
    assert errors.startswith("--host 0.0.0.0: whoever reaches this machine over the network can use the page")
    assert said.strip() == ""


@pytest.mark.slow
@can_serve
def test_an_onnx_file_is_served_and_promises_no_evidence(
    browser: Browser, model: Path, classifier: Classifier, cells: list[dict[str, Any]], tmp_path: Path
) -> None:
    main(["export", "--model", str(model), "--onnx", str(tmp_path / "model.onnx")])
    server, address = start(tmp_path / "model.onnx")
    visit = Visit(browser, address)
    assert "where it sees one" not in visit.page.locator("body").inner_text()
    visit.upload(cells[:2], "2 cells: ")
    assert visit.page.locator(".cells img").count() == 2
    assert "does not show where it looks" in visit.page.locator("body").inner_text()
    same(visit.download(), classifier, cells[:2])
    visit.context.close()
    server.kill()
    server.communicate()


def test_a_port_in_use_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(UserError, match=r"(?i)in use; --port takes"):
        find_port("127.0.0.1", taken.getsockname()[1])
    with pytest.raises(UserError, match=r"no\.such\.host\.invalid, port 8421: "):
        find_port("no.such.host.invalid", 8421)
    with pytest.raises(UserError, match="port 70000: "):
        find_port("127.0.0.1", 70_000)
    assert find_port("127.0.0.1", 0) > 1023


def test_loopback_is_told_from_the_network() -> None:
    assert [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost")] == [True] * 3
    assert [is_loopback(host) for host in ("0.0.0.0", "::", "192.168.1.7", "somewhere")] == [False] * 4


def test_nicegui_is_asked_for_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nicegui", None)
    monkeypatch.delitem(sys.modules, "malaria.demo", raising=False)
    monkeypatch.delattr(malaria, "demo", raising=False)
    with pytest.raises(UserError, match="uv run --extra demo malaria demo"):
        run(Namespace(host="127.0.0.1", port=0, model="models", no_browser=True))
