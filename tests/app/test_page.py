"""The page of `malaria app`, served by the command and used in a real browser."""

import base64
import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pandas as pd
import pytest
import requests
from playwright.sync_api import Browser, Locator

from malaria.cli.__main__ import main
from tests.support.browser import DESKTOP, FOUND, PHONE, find_violations
from tests.support.labs import draw_photographs, make_lab_model
from tests.support.scratch import ROOT
from tests.support.skips import needs

pytestmark = [pytest.mark.slow, needs("BROWSER", chromium=FOUND)]
EXAMPLE = "Try the drawn example"
File = dict[str, Any]  # as Playwright uploads it


def as_file(name: str, data: bytes) -> File:
    return {"name": name, "mimeType": "image/png", "buffer": data}


@pytest.fixture(scope="module")
def photographs() -> list[File]:
    return [as_file(*named) for named in draw_photographs(3).items()]


@pytest.fixture(scope="module")
def crops(drawn: list[tuple[str, bytes]]) -> list[File]:
    """Twelve of each class, named after it."""
    return [as_file(name.replace("/", "-"), data) for name, data in drawn[:12] + drawn[-12:]]


@pytest.fixture(scope="module")
def model(drawn: list[tuple[str, bytes]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_lab_model(tmp_path_factory.mktemp("model"), drawn)


def await_port(address: str) -> None:
    """Wait until the server listens, which is a moment after it prints its address."""
    parts = urlsplit(address)
    for _ in range(200):
        try:
            socket.create_connection((str(parts.hostname), parts.port or 80)).close()
            return
        except ConnectionRefusedError:
            time.sleep(0.05)


@contextmanager
def serve(
    model: Path, folder: Path, *options: str, cwd: Path | None = None
) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """`malaria app`, and the address that it prints; without cwd where no pipeline has run."""
    run = [sys.executable, "-m", "malaria.cli", "app", "--no-browser", "--port", "0", *options]
    run += ["--model", str(model), "--folder", str(folder)]
    kept = {key: value for key, value in os.environ.items() if key != "PYTEST_CURRENT_TEST"}  # NiceGUI looks for it
    kept["PYTHONPATH"] = str(ROOT)
    pipes = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(run, cwd=cwd or folder.parent, env=kept, text=True, bufsize=1, **pipes) as server:
        printed = re.match(r"(http://\S+) is the page", server.stdout.readline())
        assert printed, server.communicate()[1]
        try:
            await_port(printed[1])
            yield server, printed[1]
        finally:
            server.kill()  # else a test that fails would wait for its end


class Visit:
    """The page in a window of its own; `problems` collects console messages, errors, and requests of other sites."""

    def __init__(self, browser: Browser, address: str, viewport: dict[str, int] = DESKTOP, scheme: str = "light"):
        self.context = browser.new_context(viewport=viewport, color_scheme=scheme)
        self.problems: list[str] = []
        self.uploads: list[str] = []
        self.address = address
        self.page = self.context.new_page()
        self.page.set_default_timeout(90_000)
        self.page.on("console", lambda message: self.problems.append(message.text))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("request", lambda request: self.see(request.url, address))
        self.page.goto(address)
        self.page.get_by_text(EXAMPLE).wait_for()

    def see(self, url: str, address: str) -> None:
        if not url.startswith((address.partition("/?")[0] + "/", "data:", "blob:")):
            self.problems.append(url)
        if "/upload/" in url:
            self.uploads.append(url)

    def upload(self, *files: File) -> None:
        self.page.set_input_files("input[type=file] >> nth=0", files)

    def wait_for(self, status: str) -> None:
        self.page.locator("[role=status]", has_text=re.compile(f"^{status}")).wait_for()

    def click(self, button: str) -> None:
        self.page.get_by_role("button", name=button).click()

    def outlines(self, decision: str = "cell") -> Locator:
        self.page.locator(".map").scroll_into_view_if_needed()  # they are drawn once it is seen
        return self.page.locator(f"path.{decision}")

    def titles(self) -> list[str]:
        """Of the table's columns, without the arrow of those that can be sorted."""
        heads = self.page.locator("[aria-label=Photographs] thead th").all_inner_texts()
        return [head.replace("arrow_upward", "").strip() for head in heads]

    def row(self, name: str) -> dict[str, str]:
        """A photograph's row of the table."""
        titles = self.titles()
        cells = self.page.locator("tbody tr", has_text=name).locator("td").all_inner_texts()
        return dict(zip(titles, cells, strict=True))

    def wait_for_cell(self, name: str, title: str, value: str) -> None:
        column = self.titles().index(title) + 1
        cells = self.page.locator("tbody tr", has_text=name).locator(f"td:nth-child({column})")
        cells.get_by_text(value, exact=True).wait_for()

    def alerts(self, count: int) -> list[str]:
        """The lines of the alert, once there are so many."""
        lines = self.page.locator("[role=alert] li")
        lines.nth(count - 1).wait_for()
        return lines.all_inner_texts()

    def ask(self) -> str:
        """Begin to label, with no field in focus; the question."""
        self.page.get_by_role("heading", level=1).click()
        self.page.keyboard.press("l")
        question = self.page.get_by_text("is it parasitized?")
        question.wait_for()
        return question.inner_text()

    def answer(self, key: str) -> None:
        """Press a key, and wait for the next question."""
        before = self.page.get_by_text("is it parasitized?").inner_text()
        self.page.keyboard.press(key)
        self.page.get_by_text(before, exact=True).wait_for(state="detached")

    def use(self, model: str) -> None:
        """Choose a model, and wait until all calls are its."""
        self.page.get_by_label("Model in use").click()
        self.page.get_by_role("option", name=model).click()
        self.page.wait_for_timeout(500)  # for the server to begin
        self.page.get_by_text("Predicting all cells").wait_for(state="detached")

    def chart(self, caption: str) -> Locator:
        return self.page.locator("figure.chart", has_text=caption).locator("img[src]")

    def download(self, button: str) -> Path:
        with self.page.expect_download() as download:
            self.click(button)
        return Path(download.value.path())


@contextmanager
def visiting(browser: Browser, address: str, *options: Any) -> Iterator[Visit]:
    visit = Visit(browser, address, *options)
    try:
        yield visit
    finally:
        visit.context.close()


def read_labels(folder: Path, reader: str = "reader-1") -> pd.DataFrame:
    return pd.read_csv(folder / f"labels-{reader}.csv", keep_default_na=False)


def write_run(folder: Path, model: Path, archive: Path, names: list[str], suspected: list[str]) -> None:
    """What the page needs of a run of the pipeline: cells of test, and which labels are suspected."""
    for part in ("data", "plots", "models"):
        (folder / part).mkdir()
    (folder / "data/cells.zip").symlink_to(archive)
    (folder / "models/model.json").symlink_to(model / "model.json")
    table = pd.DataFrame({"name": names, "patient": "P1", "label": [int("Para" in name) for name in names]})
    table = table.assign(split="test", logit=0.0, probability=table.label * 0.8 + 0.1, ood_score=0.0)
    table.to_csv(folder / "data/predictions.csv", index=False)
    pd.DataFrame({"name": suspected}).to_csv(folder / "plots/label_errors.csv", index=False)


def test_from_a_photograph_to_an_adapted_model(
    browser: Browser, model: Path, photographs: list[File], crops: list[File], tmp_path: Path
) -> None:
    with serve(model, tmp_path) as (_, address), visiting(browser, address) as visit:
        visit.upload(photographs[0])
        visit.wait_for("1 photograph read")
        cells = int(visit.row("IMG_1.png")["Cells"])
        assert visit.outlines().count() >= cells > 10

        # a correction by a click and a key
        called = int(visit.row("IMG_1.png")["Parasitized"])
        visit.outlines("parasitized").first.click()
        visit.page.get_by_text("parasitized; probability of").wait_for()
        visit.page.keyboard.press("u")
        visit.wait_for_cell("IMG_1.png", "Parasitized", str(called - 1))
        assert read_labels(tmp_path).label.tolist() == ["Uninfected"]
        visit.page.keyboard.press("z")
        visit.wait_for_cell("IMG_1.png", "Parasitized", str(called))

        # keys are of the photograph that is shown alone
        visit.upload(photographs[1])
        visit.wait_for("2 photographs read")
        visit.outlines("uninfected").first.click()
        visit.page.get_by_text("Cell").first.wait_for()
        visit.click("IMG_2.png")
        visit.page.get_by_role("heading", name="IMG_2.png").wait_for()
        visit.page.keyboard.press("p")
        visit.upload(as_file("renamed.png", photographs[1]["buffer"]))
        assert "IMG_2.png" in visit.alerts(1)[0]
        assert not (tmp_path / "labels-reader-1.csv").exists()
        visit.click("Remove this photograph")
        visit.page.get_by_role("dialog").get_by_role("button", name="Remove").click()
        visit.wait_for("1 photograph read")
        assert [path.name for path in (tmp_path / "photographs").iterdir()] == ["IMG_1.png"]

        # crops, labelled as their names say
        visit.upload(*crops)
        visit.wait_for("1 photograph and 24 crops read")
        names = pd.read_csv(visit.download("Table (CSV)")).query("photo == 'crops-1'").image.tolist()
        question = visit.ask()
        labelled = 0
        while labelled < 20:
            number, of = re.findall(r"Cell (\d+) of (\S+),", question)[0]
            labelled += of == "crops-1"
            known = "p" if "Parasitized" in names[int(number) - 1] else "u"
            visit.answer(known if of == "crops-1" else "s")
            question = visit.page.get_by_text("is it parasitized?").inner_text()
        assert {*read_labels(tmp_path).chosen} == {"active", "random"}
        visit.page.keyboard.press("Escape")
        visit.page.get_by_text(re.compile(r"\d+ labels; \d+ of \d+ random cells predicted correctly")).wait_for()
        visit.chart("Accuracy so far").wait_for()
        before = visit.row("IMG_1.png")
        visit.click("Adapt to my labels")
        visit.chart("each adaptation").wait_for()
        visit.page.get_by_text("Adapting").wait_for(state="detached")
        assert (tmp_path / "models/1/model.safetensors").exists()
        visit.use("Adapted 1: 20 labels")  # as it is already, if it is better
        after = visit.row("IMG_1.png")
        assert after != before
        visit.use("as it came")
        assert visit.row("IMG_1.png") == before

        with zipfile.ZipFile(visit.download("Everything (zip)")) as bundle:
            manifest = json.loads(bundle.read("manifest.json"))
            assert manifest["trained_on"]
            hashes = manifest["sha256"]
            assert {*hashes} | {"manifest.json"} == {*bundle.namelist()}
            assert {name: hashlib.sha256(bundle.read(name)).hexdigest() for name in hashes} == hashes
            assert {"slide.html", "overlays/IMG_1.jpg", "labels-reader-1.csv", "model/model.json"} <= {*hashes}
        assert visit.problems == []


def test_a_kill_in_the_middle_of_labelling_loses_nothing(
    browser: Browser, model: Path, photographs: list[File], tmp_path: Path
) -> None:
    with serve(model, tmp_path) as (server, address), visiting(browser, address) as visit:
        visit.upload(photographs[0])
        visit.wait_for("1 photograph read")
        visit.page.get_by_label("Patient of IMG_1.png").fill("P1")
        visit.page.get_by_label("Patient of IMG_1.png").press("Tab")
        visit.page.get_by_text("Patient P1").wait_for()
        visit.ask()
        for key in "pun":
            visit.answer(key)
        server.kill()
    labels = read_labels(tmp_path)
    assert labels.label.tolist() == ["Parasitized", "Uninfected", "not a single cell"]
    assert {*labels.patient} == {"P1"}
    with serve(model, tmp_path) as (_, address), visiting(browser, address) as visit:
        visit.wait_for("1 photograph read")
        visit.page.get_by_text("3 labels").wait_for()
        visit.page.get_by_text("Patient P1").wait_for()
        visit.ask()
        visit.answer("s")
        assert read_labels(tmp_path).label.tolist() == [*labels.label, "unsure"]


def test_two_tabs_two_readers_and_what_they_disagree_on(
    browser: Browser, model: Path, photographs: list[File], tmp_path: Path
) -> None:
    with serve(model, tmp_path) as (_, address), visiting(browser, address) as one, visiting(browser, address) as two:
        one.upload(photographs[0])
        two.wait_for("1 photograph read")
        two.page.get_by_label("Reader").fill("anna")
        two.page.get_by_label("Reader").press("Tab")
        for visit, keys in ((one, "puupu"), (two, "puuup")):
            visit.ask()
            for key in keys:
                visit.answer(key)
            visit.page.keyboard.press("Escape")
        first, second = read_labels(tmp_path), read_labels(tmp_path, "anna")
        assert first.image.tolist() == second.image.tolist()  # the same queue
        one.page.get_by_text("Agreement with anna: 60 % of 5 cells").click()
        one.page.get_by_text("Cohen's kappa").wait_for()
        one.click("Settle them")
        for _ in range(2):
            one.answer("p") if _ == 0 else one.page.keyboard.press("p")
        one.page.get_by_text("5 labels").wait_for()
        settled = read_labels(tmp_path, "settled").set_index("image").label
        assert [settled[image] for image in first.image] == ["Parasitized", "Uninfected", "Uninfected"] + [
            "Parasitized"
        ] * 2


def test_bad_files_are_lines_and_never_html(
    browser: Browser, model: Path, photographs: list[File], tmp_path: Path
) -> None:
    names = ["<img src=x onerror=alert(1)>.png", "letter.png", "empty.png"]
    bad = [as_file(name, data) for name, data in zip(names, (b"a", b"a letter", b""), strict=True)]
    with serve(model, tmp_path) as (_, address), visiting(browser, address) as visit:
        visit.upload(*bad[:2], photographs[0], bad[2])
        visit.wait_for("1 photograph read")
        assert len(visit.alerts(3)) == 3
        assert visit.page.locator("[role=alert] img").count() == 0
        visit.click("Dismiss")
        visit.page.locator("[role=alert] li").first.wait_for(state="detached")
        (url,) = {url.partition("?")[0] for url in visit.uploads}
        assert requests.post(url, files={"a": ("a.png", bytes(61_000_000))}).status_code == 413
        assert requests.post(url, data=iter([b"a", b"b"])).status_code == 411
        assert visit.problems == []


@pytest.fixture(scope="module")
def address(model: Path, archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Served beside a run whose suspected label errors are another's."""
    folder = tmp_path_factory.mktemp("run")
    write_run(folder, model, archive, ["Parasitized/a.png", "Uninfected/b.png"], ["Parasitized/c.png"])
    with serve(model, folder / "lab", cwd=folder) as (_, address):
        yield address


def test_patients_come_from_a_csv_file(browser: Browser, address: str, photographs: list[File]) -> None:
    table = "\ufeffphoto;patient\r\nIMG_1.jpg;Müller\r\nIMG_2.png;P2\r\n".encode()
    with visiting(browser, address) as visit:
        visit.upload(*photographs[:2])
        visit.wait_for("2 photographs read")
        visit.page.set_input_files("input[type=file][accept='.csv']", [as_file("p.csv", table)])
        for patient in ("Müller", "P2"):
            visit.page.get_by_text(f"Patient {patient}", exact=True).wait_for()
        visit.page.set_input_files("input[type=file][accept='.csv']", [as_file("p.csv", b"photo,patient\nx,y\n")])
        assert "p.csv" in visit.alerts(1)[0]


def test_the_saliency_map_of_a_cell_is_shown(browser: Browser, address: str, photographs: list[File]) -> None:
    with visiting(browser, address) as visit:
        visit.upload(photographs[0])
        visit.outlines("uninfected").first.click()
        visit.click("Where did the model look?")
        image = visit.page.locator("img.saliency")
        image.wait_for()
        assert (image.get_attribute("src") or "").startswith("data:image/png;base64,")


def test_a_file_dropped_beside_the_field_does_not_replace_the_page(browser: Browser, address: str) -> None:
    drop = """document.querySelector("h1").dispatchEvent(
        new DragEvent("drop", {dataTransfer: new DataTransfer(), bubbles: true, cancelable: true}))"""
    with visiting(browser, address) as visit:
        assert visit.page.evaluate(drop) is False  # the browser's own handling is prevented


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_follows_the_systems_theme(
    browser: Browser, address: str, photographs: list[File], scheme: str
) -> None:
    with visiting(browser, address, PHONE, scheme) as visit:
        visit.upload(*photographs[:2], as_file("a-name-without-a-break" * 9 + ".png", photographs[2]["buffer"]))
        visit.page.get_by_text("3 photographs read").wait_for()
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        ground = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
        brightness = sum(int(part) for part in ground.strip("rgb()").split(","))
        assert brightness > 600 if scheme == "light" else brightness < 150
        visit.ask()
        assert find_violations(visit.page) == ""
        assert visit.problems == []


@pytest.mark.exhaustive
def test_two_hundred_photographs_do_not_freeze_the_page(
    browser: Browser, model: Path, photographs: list[File], tmp_path: Path
) -> None:
    many = [tmp_path / f"IMG_{n:03}.png" for n in range(200)]  # of which each is another file
    for n, path in enumerate(many):
        path.write_bytes(photographs[n % 3]["buffer"] + bytes(n))
    with serve(model, tmp_path / "lab") as (_, address), visiting(browser, address) as visit:
        visit.page.set_input_files("input[type=file] >> nth=0", many)
        visit.page.get_by_text(re.compile(r"Reading: \d+ to go. \d")).wait_for()
        visit.ask()  # while others are read
        visit.answer("u")
        visit.page.keyboard.press("Escape")
        visit.page.get_by_text("200 photographs read").wait_for(timeout=300_000)
        assert len(read_labels(tmp_path / "lab")) == 1


def test_files_of_two_runs_do_not_stop_the_page(address: str) -> None:
    assert requests.get(address).ok
    assert "plots/label_errors.csv" in requests.get(f"{address}/reread").text


def test_no_file_of_the_server_can_be_read(address: str) -> None:
    host, port = address.removeprefix("http://").split(":")
    version = re.search(r"/_nicegui/([\d.]+)/", requests.get(address).text)
    assert version
    bases = [f"/_nicegui/{version[1]}/{part}" for part in ("static", "libraries", "components", "resources/x", "esm/x")]
    ups = [f"/{up * 8}etc/passwd" for up in ("../", "..%2f", "%2e%2e/")]
    ups += ["//etc/passwd", "/%2fetc/passwd", "/..%5c..%5cparams.yaml"]
    for path in [base + up for base in ["", "/_nicegui", "/view", "/static", *bases] for up in ups]:
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


def test_on_a_network_the_page_needs_its_token_and_ends_with_ctrl_c(
    browser: Browser, model: Path, photographs: list[File], tmp_path: Path
) -> None:
    main(["export", "--model", str(model), "--onnx", str(tmp_path / "model.onnx")])
    with serve(tmp_path / "model.onnx", tmp_path / "lab", "--host", "0.0.0.0") as (server, address):
        page, token = address.split("/?token=")
        assert len(token) > 15
        for url in (page, f"{page}/?token=guess", f"{page}/view/IMG_1.png"):
            assert requests.get(url).status_code == 403
        with visiting(browser, address) as visit:
            visit.upload(photographs[0])
            visit.wait_for("1 photograph read")
            assert visit.outlines().count() > 10
            assert visit.problems == []
        server.send_signal(signal.SIGINT)
        output, _ = server.communicate(timeout=20)
    assert server.returncode == 0
    assert output.strip() == ""


def test_suspected_label_errors_are_read_again_blind(
    browser: Browser, model: Path, drawn: list[tuple[str, bytes]], archive: Path, tmp_path: Path
) -> None:
    names = [name for name, _ in drawn]
    write_run(tmp_path, model, archive, names, names[::60])
    with serve(model, tmp_path / "lab", cwd=tmp_path) as (_, address), visiting(browser, address) as visit:
        page = visit.page
        page.get_by_role("link", name=re.compile("label errors")).click()
        page.get_by_text("0 of 8 cells read").wait_for()
        sources = []
        for number, key in enumerate("puzpupunsu"):
            sources.append(page.locator("img.reread").get_attribute("src"))
            assert not re.search(r"Parasitized/|Uninfected/", page.content())
            page.keyboard.press(key)
            read = number + 1 if number < 2 else number - 1
            page.get_by_text(f"{read} of 8 cells read").wait_for()
        assert sources[1] == sources[3]  # after undo
        page.get_by_text("The result so far").click()
        page.get_by_text(re.compile(r"Of suspected labels you would change \d of")).wait_for()
    corrections = pd.read_csv(tmp_path / "lab/corrections.csv")
    assert len(corrections) == 8
    assert {*corrections.name} <= {*names}
    assert {*corrections.label} == {"Parasitized", "Uninfected", "not a single cell", "unsure"}
