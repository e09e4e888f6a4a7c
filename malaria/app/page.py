"""The page of `malaria demo`: drop crops of cells, see predictions and saliency maps.

NiceGUI serves all that the page needs from its own package. A browser tab is a `Tab`, which knows of no other; its
cells are in memory alone, and gone when the tab is closed; a file above 1 MB is a temporary one until it is predicted.
"""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from html import escape
from importlib.resources import files
from itertools import count
from typing import Any

import numpy as np
import pandas as pd
from nicegui import Client, app, ui
from nicegui.elements.mixins.text_element import TextElement
from nicegui.elements.upload_files import FileUpload
from nicegui.events import GenericEventArguments, UploadEventArguments, ValueChangeEventArguments

from malaria.app.cells import Cell, predict_named
from malaria.app.middleware import LocalOnly, own_names
from malaria.evaluation.model_card import ModelCard
from malaria.evaluation.ood import STATISTICS
from malaria.predict.classifier import Classifier
from malaria.report.page import POINTS
from malaria.sources.drawing.sets import draw_cells

MAX_BYTES = 10_000_000  # of a file
MAX_FILES = 200  # of a tab that wait
MAX_CELLS = 1000  # of a tab: their pictures take about 40 MB, 130 if they all are noise
MAX_PROBLEMS = 50  # shown of a tab
MAX_NAME = 200  # characters shown of a file's
CHUNK = 16  # files predicted at a time: they all are in memory at once
DRAWN = 12  # cells, half of them with a parasite, of three looks
CARDS = 24  # shown at a time

ABOUT = """
<h1>Is there a parasite in this cell?</h1>
<p>Give thin-smear crops of <b>one red blood cell each{background}</b>. The model predicts the probability of a parasite
in each{where}. It was trained on: {trained_on}. Images are processed on the computer that
serves this page; they are sent nowhere else, and deleted when the tab is closed or reloaded.</p>
<p class="note"><b>A research tool, not a diagnostic device.</b> The model may fail on stains, microscopes and
cameras other than those it was trained on. It does not tell species, stage or parasitemia.</p>
"""
DROP = """
<button type="button" class="drop" @click="props.pickFiles">
  <b>Choose images, or drop them here</b>
  <span>PNG, JPEG, TIFF, BMP or WebP, one cell in each; up to {files} at a time, {megabytes} MB each</span>
</button>
<span hidden><q-uploader-add-trigger /></span>
"""
# Quasar sorts by a click on the cell, which no key reaches: the click of a button in it does
HEAD = """
<q-th :props="props" :aria-sort="!props.col.__thClass.includes('sorted') ? null
  : props.col.__thClass.includes('sort-desc') ? 'descending' : 'ascending'">
  <button type="button">{{ props.col.label }}</button>
</q-th>
"""
# a file that is dropped beside the field would replace the page, and its cells with it
STAY = "<script>for (const it of ['dragover', 'drop']) addEventListener(it, event => event.preventDefault());</script>"
ICON = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><circle cx="16" cy="16" r="14" fill="#e3a1a1"/>
<circle cx="19" cy="13" r="5" fill="none" stroke="#7a2f7d" stroke-width="2.5"/><circle cx="23" cy="10" r="2.5"
fill="#5b1a63"/></svg>"""
LABELS = {"ood_score": "OOD score", "ood": "Out of distribution"}
COLUMNS = ("image", "probability", "prediction", "uncertain", "ood_score", "ood")

# one thread for all tabs: the CPU is busy with one batch anyway, and the server goes on answering meanwhile
_worker = ThreadPoolExecutor(1)


def serve(classifier: Classifier, host: str, port: int, show: bool) -> None:
    """Answer browsers until Ctrl-C."""
    # what else there is in the body of an upload, besides the file, is a few hundred bytes
    app.add_middleware(LocalOnly, names=own_names(host), max_bytes=MAX_BYTES + 10_000)
    app.on_startup(lambda: print(f"{_url(host, port)} is the page; Ctrl-C ends it", flush=True))

    def page(client: Client) -> None:
        tab = Tab(classifier)
        client.on_delete(tab.forget)
        client.on_exception(lambda: tab.report("An unexpected error; the terminal of the server shows it."))

    ui.page("/")(page)
    try:
        ui.run(
            host=host,
            port=port,
            title="Malaria cells",
            favicon=ICON,
            dark=None,  # as the system is
            language="en-GB",
            show=show,
            reload=False,
            tailwind=False,
            reconnect_timeout=30,  # s, for which a tab may be cut off without losing its cells
            show_welcome_message=False,
            timeout_graceful_shutdown=1,
            ws_max_size=1_000_000,
            server_header=False,
        )
    except KeyboardInterrupt:  # how one ends it
        print()


class Tab:
    """The page in one browser tab, and its cells."""

    def __init__(self, classifier: Classifier) -> None:
        self.classifier, self.threshold = classifier, classifier.card.threshold
        self.cells: list[Cell] = []
        self.waiting: deque[FileUpload] = deque()
        self.problems: deque[str] = deque(maxlen=MAX_PROBLEMS)
        self.seeds = count(1)
        self.working = self.gone = False
        styles = files("malaria.report") / "templates/style.css", files("malaria.app") / "page.css"
        ui.add_css("".join(style.read_text("utf-8") for style in styles))
        ui.add_body_html(STAY)
        with ui.element("div").classes("app"):
            self.build()
        self.show()

    def build(self) -> None:
        """What is on the page before any cell is."""
        where = ", and a saliency map shows where" if self.classifier.explain else ""
        ui.html(ABOUT.format(where=where, **describe_model(self.classifier.card)), sanitize=False)
        self.build_upload()
        with ui.element("div").classes("actions"):
            self.drawn = _button("Try synthetic cells", self.draw)
            _text("p", f"{DRAWN} synthetic cells, drawn by a program.").classes("faint")
        self.status = _text("p", "").props('role="status"')
        with ui.element("div").props('role="alert"'):
            self.problem_list = ui.element("ul").classes("note problems")
        with ui.element("section").props('aria-label="Results"') as self.results:
            with ui.element("div").classes("actions"):
                self.build_points()
                _button("Download CSV", self.download)
                _button("Clear", self.clear)
            _text("p", self.explain_pictures()).classes("faint")
            self.cards = ui.element("ul").classes("cells")
            self.pages = ui.pagination(1, 1, direction_links=True, on_change=self.show_cards)
            self.build_table()
        card = self.classifier.card
        _text("footer", f"Model: {card.arch} on {card.size} x {card.size} px, {card.parameters:,} parameters.")

    def build_upload(self) -> None:
        """Where one drops files; Quasar's limits only spare one the sending, the server has its own."""
        self.upload = ui.upload(
            multiple=True, auto_upload=True, max_file_size=MAX_BYTES, max_files=MAX_FILES, on_upload=self.take
        )
        self.upload.classes("upload").props("flat no-thumbnails")
        self.upload.add_slot("header", DROP.format(files=MAX_FILES, megabytes=MAX_BYTES // 1_000_000))
        self.upload.add_slot("list", "<span></span>")
        tell = "files => emit(files.map(it => it.file ? [it.file.name, it.failedPropValidation] : [it.name, 'failed']))"
        self.upload.on("rejected", self.show_rejected, js_handler=tell)
        self.upload.on("failed", self.show_rejected, js_handler=f"info => ({tell})(info.files)")
        self.upload.on("finish", self.empty_upload, [])

    def build_points(self) -> None:
        """The choice of a threshold; the others that the model has change the prediction, not the probability."""
        points, own = self.classifier.points, self.classifier.card.operating_point
        names = {name: f"{value:.3g}{_describe_point(name)}" for name, value in points.items()}

        def choose(event: ValueChangeEventArguments[Any]) -> None:
            self.threshold = points[event.value]
            self.show()

        select = ui.select(names, value=own if own in points else None, label="Threshold", on_change=choose)
        select.props("outlined dense options-dense").classes("points")

    def build_table(self) -> None:
        columns: list[dict[str, Any]] = [
            {"name": name, "field": name, "label": LABELS.get(name, name.capitalize()), "sortable": True}
            for name in COLUMNS
        ]
        for column in columns:
            if column["name"] in ("probability", "ood_score"):
                column[":format"] = "value => value.toFixed(4)"
            else:
                column["align"] = "left"
        self.table = ui.table(rows=[], columns=columns, row_key="row", pagination={"rowsPerPage": 25})
        self.table.props('flat dense aria-label="All cells"').add_slot("header-cell", HEAD)

    # What comes in

    async def take(self, event: UploadEventArguments) -> None:
        """A file has arrived."""
        if len(self.waiting) >= MAX_FILES:
            self.report(f"{_name(event.file.name)}: more than {MAX_FILES} files at a time")
        elif len(self.waiting) + len(self.cells) >= MAX_CELLS:
            self.report(f"{_name(event.file.name)}: the page holds {MAX_CELLS} cells; Clear makes room")
        else:
            self.waiting.append(event.file)
            await self.work()

    async def work(self) -> None:
        """Predict the waiting files, CHUNK at a time."""
        if self.working:
            return
        self.working = True
        try:
            while self.waiting and not self.gone:
                chunk = [self.waiting.popleft() for _ in range(min(CHUNK, len(self.waiting)))]
                self.show_progress()
                named = [(_name(file.name), await file.read()) for file in chunk]
                await self.predict(named)
        finally:
            self.working = False
            self.show()

    async def predict(self, named: Sequence[tuple[str, bytes]]) -> None:
        """Predict files, in the one thread that does it, and show them."""
        shown, loop = self.cells, asyncio.get_running_loop()
        cells, broken = await loop.run_in_executor(_worker, predict_named, self.classifier, named)
        shown += cells  # which Clear may have replaced meanwhile
        for line in broken:
            self.report(line)
        self.show()

    async def draw(self) -> None:
        """Predict some drawn cells, others each time."""
        if len(self.cells) + DRAWN > MAX_CELLS:
            self.report(f"the page holds {MAX_CELLS} cells; Clear makes room")
            return
        seed = next(self.seeds)
        self.drawn.disable()
        try:
            loop = asyncio.get_running_loop()
            drawn = await loop.run_in_executor(_worker, lambda: list(draw_cells(DRAWN // 4, DRAWN, seed, workers=1)))
            await self.predict([(f"drawn-{seed}/{name}", data) for name, data in drawn])
        finally:
            if not self.gone:
                self.drawn.enable()

    def show_rejected(self, event: GenericEventArguments) -> None:
        """The browser has not sent some files, or the server has not taken them."""
        reasons = {
            "max-file-size": f"more than {MAX_BYTES // 1_000_000} MB",
            "max-files": f"more than {MAX_FILES} files at a time",
        }
        for name, reason in event.args[:MAX_PROBLEMS]:
            self.report(f"{_name(str(name))}: {reasons.get(reason, 'could not be sent')}")

    def empty_upload(self) -> None:
        """Quasar keeps what was sent, which would count for its limit, and what failed, to send it again."""
        self.upload.run_method("removeUploadedFiles")
        self.upload.run_method("removeQueuedFiles")

    def report(self, line: str) -> None:
        if self.gone:
            return
        self.problems.appendleft(line)
        self.show_problems()

    # What is shown

    def tabulate(self) -> pd.DataFrame:
        """The predictions, as `malaria predict --csv` writes them."""
        probability = np.array([cell.probability for cell in self.cells], np.float32)
        scores = np.array([cell.scores for cell in self.cells], np.float32).reshape(-1, len(STATISTICS))
        table = self.classifier.decide(probability, scores, self.threshold)
        table.insert(0, "image", [cell.name for cell in self.cells])
        return table

    def show(self) -> None:
        """All that follows from the cells and the threshold."""
        if self.gone:
            return
        table = self.tabulate()
        self.results.set_visibility(bool(self.cells))
        self.status.text = "" if table.empty else self.count(table)
        self.pages.max = max(1, -(-len(table) // CARDS))
        self.pages.set_visibility(self.pages.max > 1)
        self.pages.value = min(self.pages.value or 1, self.pages.max)
        table["row"] = range(len(table))
        table["uncertain"] = np.where(table.uncertain, "yes", "")
        self.table.rows = table.to_dict("records")
        self.show_cards()
        self.show_problems()

    def show_cards(self) -> None:
        """A page of them, the newest first."""
        rows = self.tabulate().to_dict("records")
        first = CARDS * ((self.pages.value or 1) - 1)
        newest = list(zip(self.cells, rows, strict=True))[::-1]
        self.cards.clear()
        with self.cards:
            for cell, row in newest[first : first + CARDS]:
                draw_card(cell, row)

    def show_problems(self) -> None:
        self.problem_list.clear()
        self.problem_list.set_visibility(bool(self.problems))
        with self.problem_list:
            for line in self.problems:
                _text("li", line)

    def show_progress(self) -> None:
        left = len(self.waiting) + CHUNK
        self.status.text = f"Predicting; {len(self.cells)} done, about {left} to go."

    def count(self, table: pd.DataFrame) -> str:
        """As in 3 cells: 2 parasitized, 1 uninfected; 1 uncertain, 0 out of distribution."""
        no, yes = self.classifier.card.classes
        parts = [f"{(table.prediction == name).sum()} {name.lower()}" for name in (yes, no)]
        warnings = f"{table.uncertain.sum()} uncertain, {(table.ood != '').sum()} out of distribution"
        return f"{len(table)} cell{'s' * (len(table) > 1)}: {', '.join(parts)}; {warnings}."

    def explain_pictures(self) -> str:
        where = "Left: the image. Right: its saliency map (Grad-CAM)."
        if not self.classifier.explain:
            where = "An ONNX model has no saliency maps."
        return f"{where} Beside the prediction: the probability of a parasite. Uncertain: near the threshold."

    def download(self) -> None:
        text = self.tabulate().to_csv(index=False, lineterminator="\n")
        ui.download.content(text.encode("utf-8", "replace"), "cells.csv", "text/csv")

    def clear(self) -> None:
        """Forget all cells, and what waits."""
        self.cells = []
        self.waiting.clear()
        self.problems.clear()
        self.show()

    def forget(self) -> None:
        """The tab was closed."""
        self.gone = True
        self.cells.clear()
        self.waiting.clear()


def describe_model(card: ModelCard) -> dict[str, str]:
    """What the page says of the model and the crops that it takes, as HTML."""
    background = " on a black background" if card.mask == "none" else ""
    return {"trained_on": escape(card.trained_on), "background": background}


def draw_card(cell: Cell, row: Mapping[Any, Any]) -> None:
    """One cell; its name is text that somebody else chose, and never goes through HTML or a string of props."""
    with ui.element("li"):
        with ui.element("div").classes("pair"):
            _image(cell.picture, f"{cell.name}, original image")
            if cell.saliency:
                _image(cell.saliency, f"{cell.name}, saliency map")
        ui.element("div").classes("bar").style(f"--part: {row['probability']:.4f}")
        with ui.element("div").classes("said"):
            _text("b", row["prediction"])
            _text("span", _percent(row["probability"])).props('title="probability of a parasite"')
        if row["uncertain"]:
            _text("p", "Uncertain").classes("warning")
        if row["ood"]:
            text = f"Out of distribution. Compared with training cells, {STATISTICS[row['ood']]}."
            _text("p", text).classes("warning")
        _text("p", cell.name).classes("name")


def _image(source: str, description: str) -> None:
    image = ui.element("img")
    image.props["src"], image.props["alt"] = source, description


def _text(tag: str, text: str) -> TextElement:
    return TextElement(tag=tag, text=text)


def _button(text: str, on_click: Any) -> ui.button:
    return ui.button(text, on_click=on_click).props("outline no-caps")


def _name(name: str) -> str:
    """What a file is called on the page: the end of a long name, which has the number of the cell."""
    return name if len(name) <= MAX_NAME else f"...{name[-MAX_NAME:]}"


def _percent(probability: float) -> str:
    """As 97.3 %, and never as certain."""
    if 0.001 <= probability <= 0.999:
        return f"{100 * probability:.1f} %"
    return "> 99.9 %" if probability > 0.5 else "< 0.1 %"


def _describe_point(name: str) -> str:
    return "" if name == "default" else f": {POINTS.get(name, name)} in validation"


def _url(host: str, port: int) -> str:
    """Where a browser here finds the page."""
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"
