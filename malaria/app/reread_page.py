"""Read suspected label errors of the pipeline's test cells again, blind: mixed with as many others, labels hidden."""

import io
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
from fastapi.responses import Response
from nicegui import app, ui
from PIL import Image

from malaria.app.label_panel import KEYS
from malaria.app.widgets import bind_keys, button, interval, percent, plural, text
from malaria.core.archive import open_archive
from malaria.core.errors import UserError
from malaria.data.decode import read_rgb
from malaria.data.index import read_index
from malaria.labelling.labels import LabelFile
from malaria.labelling.proportion import Proportion
from malaria.labelling.reread import Reread, draw, summarise, write_corrections

ARCHIVE, PREDICTIONS, SUSPECTED = Path("data/cells.zip"), Path("data/predictions.csv"), Path("plots/label_errors.csv")
CARD = Path("models/model.json")
CORRECTIONS = "corrections.csv"
ENLARGED = 384  # px

ABOUT = """
<h1>Read suspected label errors again</h1>
<p>Is this cell parasitized? Half of the cells have a label that the model suspects, the others were drawn at random;
which is which, and their labels, are hidden. Your answers are in <code>{folder}</code>, and you can go on later.</p>
"""


class Queue:
    """The drawn cells, and the answers on disk."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.threshold = folder, float(json.loads(CARD.read_bytes())["threshold"])
        self.predictions = read_index(PREDICTIONS)
        self.drawn = draw(self.predictions, pd.read_csv(SUSPECTED).name.tolist(), seed=0)
        self.answers = LabelFile(folder / "reread.csv")

    @property
    def given(self) -> dict[str, str]:
        return {name: row.label for name, row in self.answers.labels.items()}

    @property
    def next(self) -> int | None:
        """The number of the next cell; None at the end."""
        left = self.drawn.index[~self.drawn.name.isin(self.given)]
        return int(left[0]) if len(left) else None

    def answer(self, label: str) -> None:
        """Label the next cell, and write corrections.csv."""
        if self.next is not None:
            name = str(self.drawn.name[self.next])
            self.answers.set(name, label, patient="", photo="", chosen="random")
            write_corrections(self.folder / CORRECTIONS, self.drawn, self.given)

    def undo(self) -> None:
        self.answers.undo()
        write_corrections(self.folder / CORRECTIONS, self.drawn, self.given)

    def summarise(self) -> Reread:
        return summarise(self.drawn, self.given, self.predictions, self.threshold)

    def picture(self, number: int) -> Response:
        """A drawn cell, enlarged, as a PNG."""
        if not 0 <= number < len(self.drawn):
            return Response(status_code=404)
        image = read_rgb(open_archive(ARCHIVE).read(str(self.drawn.name[number])))
        scale = ENLARGED / max(image.size)
        image = image.resize([max(1, round(side * scale)) for side in image.size], Image.Resampling.BICUBIC)
        file = io.BytesIO()
        image.save(file, "PNG")
        return Response(file.getvalue(), media_type="image/png")


def is_there() -> bool:
    """Whether the pipeline's cells, predictions and suspected label errors are in the current folder."""
    return all(path.exists() for path in (ARCHIVE, PREDICTIONS, SUSPECTED, CARD))


def add_page(folder: Path, style: Callable[[], None]) -> None:
    """Serve /reread; where the pipeline's files do not belong together, it says so."""
    try:
        queue = Queue(folder)
    except UserError as error:
        problem = str(error)
        ui.page("/reread")(lambda: text("p", problem))
        return
    app.get("/reread/cell/{number}")(lambda number: queue.picture(int(number) if number.isdecimal() else -1))
    ui.page("/reread")(lambda: RereadPage(queue, style))


class RereadPage:
    """The page in one tab."""

    def __init__(self, queue: Queue, style: Callable[[], None]) -> None:
        self.queue = queue
        style()
        with ui.element("div").classes("app"):
            ui.html(ABOUT.format(folder=queue.folder.resolve()), sanitize=False)
            self.progress = text("p", "").props('role="status"')
            self.picture = ui.element("img").classes("reread").props('alt="The cell"')
            with ui.element("div").classes("actions").props('role="group" aria-label="Label of the cell"'):
                for key, label in KEYS.items():
                    button(f"{label.capitalize()} ({key.upper()})", lambda label=label: self.answer(label))
                button("Undo (Z)", self.undo)
            self.problem = text("p", "").classes("note").props('role="alert"')
            with ui.expansion("The result so far; look at it when you are done"):
                self.result = ui.element("ul")
            ui.link("Back to the photographs", "/")
        bind_keys({key: partial(self.answer, label) for key, label in KEYS.items()} | {"z": self.undo})
        self.refresh()

    def answer(self, label: str) -> None:
        self.attempt(lambda: self.queue.answer(label))

    def undo(self) -> None:
        self.attempt(self.queue.undo)

    def attempt(self, action: Callable[[], None]) -> None:
        """Do something, and show why it failed."""
        self.problem.text = ""
        try:
            action()
        except (UserError, OSError) as error:
            self.problem.text = str(error)
        self.refresh()

    def refresh(self) -> None:
        """The next cell, and the result."""
        number, total = self.queue.next, len(self.queue.drawn)
        self.progress.text = f"{len(self.queue.given)} of {plural(total, 'cell')} read." + (
            "" if number is not None else f" Done: {CORRECTIONS} has your labels, for evaluate.corrections."
        )
        self.picture.set_visibility(number is not None)
        self.problem.set_visibility(bool(self.problem.text))
        if number is not None:
            self.picture.props["src"] = f"/reread/cell/{number}"
        self.result.clear()
        with self.result:
            for line in describe(self.queue.summarise()):
                text("li", line)


def describe(found: Reread) -> list[str]:
    """The result in sentences."""
    lines = [
        f"Of suspected labels you would change {_share(found.suspected)}.",
        f"Of the others you would change {_share(found.others)}.",
        f"{plural(found.set_aside, 'cell')} set aside.",
        f"Accuracy on the data set's labels: {percent(found.accuracy)}.",
    ]
    if found.reread_accuracy == found.reread_accuracy:
        limits = interval(found.low, found.high)
        lines.append(f"Accuracy against your labels, estimated: {percent(found.reread_accuracy)} ({limits}).")
    return lines


def _share(found: Proportion) -> str:
    """As 31 of 52: 60 % (46 to 72 %)."""
    if not found.n:
        return "none so far"
    return f"{found.count} of {found.n}: {percent(found.value)} ({interval(found.low, found.high)})"
