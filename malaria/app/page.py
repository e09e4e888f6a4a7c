"""The page of `malaria app`: drop photographs, see their cells predicted, correct, adapt.

NiceGUI serves all that the page needs from its own package. Each browser tab has a `Tab`; all of them show one `Lab`.
"""

from html import escape
from importlib.resources import as_file, files
from pathlib import Path

from fastapi.responses import FileResponse, Response
from nicegui import app, ui
from nicegui.events import GenericEventArguments, UploadEventArguments

from malaria.app import reread_page
from malaria.app.cell_map import PIXELS_JS, CellMap
from malaria.app.label_panel import LabelPanel
from malaria.app.middleware import LocalOnly, own_names
from malaria.app.model_panel import ModelPanel
from malaria.app.result_panel import ResultPanel
from malaria.app.tab import Tab
from malaria.app.widgets import button, plural, text
from malaria.lab.lab import Lab
from malaria.slide.overlay import STYLES

MAX_BYTES = 60_000_000  # of a file
MAX_FILES = 500  # at a time
REFRESH = 0.3  # s between looks for what other tabs and the worker have changed

ABOUT = """
<h1>Parasites in thin smears</h1>
<p>Drop photographs of Giemsa-stained thin smears, or images of one red blood cell each. Cells are found, predicted, and
counted; label some, and the model adapts to your microscope. Everything stays on the computer that serves this page, in
the folder <code>{folder}</code>.</p>
<p class="note"><b>A research tool, not a diagnostic device.</b> It may fail on stains, microscopes and cameras other
than those the model was trained on: {trained_on}. It does not tell species or stage.</p>
"""
DROP = """
<button type="button" class="drop" @click="props.pickFiles">
  <b>Choose photographs or crops, or drop them here</b>
  <span>PNG, JPEG, TIFF, BMP, WebP, AVIF or HEIC; up to {files} at a time, {megabytes} MB each</span>
</button>
<span hidden><q-uploader-add-trigger /></span>
"""
# a file that is dropped beside the field would replace the page
STAY = "<script>for (const it of ['dragover', 'drop']) addEventListener(it, event => event.preventDefault());</script>"
ICON = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><circle cx="16" cy="16" r="14" fill="#e3a1a1"/>
<circle cx="19" cy="13" r="5" fill="none" stroke="#7a2f7d" stroke-width="2.5"/><circle cx="23" cy="10" r="2.5"
fill="#5b1a63"/></svg>"""
EXAMPLE = files("malaria.slide") / "example.jpg"


def serve(lab: Lab, host: str, port: int, token: str | None, show: bool) -> None:
    """Answer browsers until Ctrl-C; with a token only those that have it."""
    # what else there is in the body of an upload, besides the file, is a few hundred bytes
    app.add_middleware(LocalOnly, names=own_names(host), max_bytes=MAX_BYTES + 10_000, token=token)
    address = _url(host, port) + (f"/?token={token}" if token else "")
    app.on_startup(lambda: print(f"{address} is the page; Ctrl-C ends it", flush=True))
    app.on_startup(lab.start)
    app.on_shutdown(lab.stop)
    app.config.quasar_config["loadingBar"] = {"skipHijack": True}  # its bar has no name that is read aloud
    with as_file(files("malaria.app") / "static") as static:
        app.add_static_files(str(Path(PIXELS_JS).parent), static)
        app.get("/view/{name}")(lambda name: send_view(lab, name))
        ui.page("/")(lambda: Page(lab))
        if reread_page.is_there():
            reread_page.add_page(lab.folder, add_style)
        _run(host, port, show)


def _run(host: str, port: int, show: bool) -> None:
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
            reconnect_timeout=30,  # s, for which a tab may be cut off
            show_welcome_message=False,
            timeout_graceful_shutdown=1,
            ws_max_size=1_000_000,
            server_header=False,
        )
    except KeyboardInterrupt:  # how one ends it
        print()


def add_style() -> None:
    """The report's style, and what the page adds."""
    styles = files("malaria.report") / "templates/style.css", files("malaria.app") / "page.css"
    ui.add_css("".join(style.read_text("utf-8") for style in styles))


def send_view(lab: Lab, name: str) -> Response:
    """The picture of a photograph that was read; no other file can be asked for."""
    entry = lab.entries.get(name)
    if entry is None or entry.called is None:
        return Response(status_code=404)
    return FileResponse(lab.view(name), headers={"cache-control": "private, max-age=3600"})


class Page:
    """The panels of a tab, and what brings files in."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.tab = lab, Tab(lab)
        self.seen = -1  # the version of the lab that is shown
        add_style()
        ui.add_body_html(STAY)
        unexpected = "An unexpected error; the terminal of the server shows it."
        ui.context.client.on_exception(lambda: self.tab.report(unexpected))
        with ui.element("div").classes("app"):
            self.build()
        self.tab.refresh = self.refresh
        self.tab.on_pick, self.tab.on_open = self.labels.click, self.labels.leave
        self.refresh()
        ui.timer(REFRESH, self.look)

    def build(self) -> None:
        about = {"trained_on": escape(self.lab.model.trained_on), "folder": escape(str(self.lab.folder.resolve()))}
        ui.html(ABOUT.format(**about), sanitize=False)
        self.build_upload()
        self.results = ResultPanel(self.tab)
        self.results.build_headline()
        with ui.element("div").classes("bench") as self.bench:
            with ui.element("section").props('aria-label="Photograph"').classes("photograph"):
                self.title = text("h2", "")
                self.labels = LabelPanel(self.tab)
                self.labels.build_keys()
                self.tab.map = CellMap(self.tab.click)
                self.build_legend()
                self.labels.build_saliency()
                self.remarks = text("p", "").classes("warning")
            with ui.element("section").props('aria-label="Labels and models"').classes("side"):
                self.labels.build()
                self.models = ModelPanel(self.tab)
        with ui.element("section").props('aria-label="All photographs"') as self.table:
            self.results.build_table()
        if reread_page.is_there():
            ui.link("Read suspected label errors of the pipeline again", "/reread")
        text("footer", f"Model: {self.lab.model.input}.")

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
        with ui.element("div").classes("actions"):
            self.example = button("Try the drawn example", self.take_example)
            self.cancel = button("Cancel what waits", self.cancel_waiting)
            self.status = text("p", "").props('role="status"')
        with ui.element("div").props('role="alert"'):
            self.problems = ui.element("ul").classes("note problems").props('tabindex=0 aria-label="Problems"')
        self.dismiss = button("Dismiss", self.forget_problems)

    def build_legend(self) -> None:
        with ui.element("p").classes("legend"):
            for name, style in STYLES.items():
                color = "#{:02x}{:02x}{:02x}".format(*style.color)
                ui.element("span").classes("sample").style(f"border-color: {color}").classes(name.replace(" ", "-"))
                text("span", name)
            text("span", "Filled: labelled by you.")

    # What comes in

    async def take(self, event: UploadEventArguments) -> None:
        """A file has arrived."""
        data = await event.file.read()
        self.receive(event.file.name, data)

    def receive(self, name: str, data: bytes) -> None:
        """Keep a file, and read it in its turn."""
        if there := self.lab.find_same(data):
            self.tab.report(f"{name}: it is here already, as {there}")
        else:
            self.tab.attempt(lambda: self.lab.receive(name, data))

    def take_example(self) -> None:
        """The photograph that is part of the package."""
        self.receive("drawn-example.jpg", EXAMPLE.read_bytes())

    def cancel_waiting(self) -> None:
        """Neither read what waits nor take what is on its way."""
        self.upload.run_method("abort")
        self.empty_upload()
        self.lab.cancel()

    def show_rejected(self, event: GenericEventArguments) -> None:
        """The browser has not sent some files, or the server has not taken them."""
        reasons = {
            "max-file-size": f"more than {MAX_BYTES // 1_000_000} MB",
            "max-files": f"more than {MAX_FILES} files at a time",
        }
        for name, reason in event.args[:MAX_FILES]:
            self.tab.report(f"{name}: {reasons.get(reason, 'could not be sent')}")

    def empty_upload(self) -> None:
        """Quasar keeps what was sent, which would count for its limit, and what failed, to send it again."""
        self.upload.run_method("removeUploadedFiles")
        self.upload.run_method("removeQueuedFiles")

    def forget_problems(self) -> None:
        self.tab.problems.clear()
        self.lab.dismiss()

    # What is shown

    def look(self) -> None:
        """Refresh where anything has changed."""
        if self.seen != self.lab.version:
            self.refresh()

    def refresh(self) -> None:
        """All that follows from the lab and the tab."""
        self.seen = self.lab.version
        if self.tab.called is None:
            self.show_first()
        elif not self.labels.in_queue:
            self.tab.show_photograph()
        self.show_progress()
        self.show_problems()
        there = bool(self.lab.done)
        for part in (self.bench, self.table):
            part.set_visibility(there)
        called = self.tab.called
        self.title.text = self.tab.name
        self.remarks.text = " ".join(called.problems) if called else ""
        self.remarks.set_visibility(bool(self.remarks.text))
        if not self.labels.in_queue:  # what changes with a label there would tell its call
            self.results.refresh()
        self.labels.refresh()
        self.models.refresh()

    def show_first(self) -> None:
        """Show the first photograph as soon as there is one."""
        self.tab.name = self.lab.done[0].name if self.lab.done else ""
        self.tab.show_photograph(fit=True)

    def show_progress(self) -> None:
        waiting, read = self.lab.waiting, self.describe_read()
        done = f"{read} read." if read else ""
        self.status.text = f"Reading: {waiting} to go. {done}" if waiting else done
        self.cancel.set_visibility(waiting > 1)

    def describe_read(self) -> str:
        """As 4 photographs and 20 crops."""
        sheets = [entry.called.sheet for entry in self.lab.done if entry.called]
        photographs = sum(sheet.is_photograph for sheet in sheets)
        crops = sum(len(sheet.table) for sheet in sheets if not sheet.is_photograph)
        named = ((photographs, "photograph"), (crops, "crop"))
        return " and ".join(plural(number, name) for number, name in named if number)

    def show_problems(self) -> None:
        failed = [f"{entry.name}: {entry.problem}" for entry in self.lab.entries.values() if entry.state == "failed"]
        lines = [*self.tab.problems, *failed]
        self.problems.clear()
        self.problems.set_visibility(bool(lines))
        self.dismiss.set_visibility(bool(lines))
        with self.problems:
            for line in lines:
                text("li", line)


def _url(host: str, port: int) -> str:
    """Where a browser here finds the page."""
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"
