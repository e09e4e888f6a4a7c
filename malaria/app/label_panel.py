"""Label cells: one key each, in a queue or by a click on the photograph; and how often the calls were right so far."""

from collections import deque
from functools import partial

import numpy as np
import pandas as pd
from nicegui import ui
from nicegui.events import ValueChangeEventArguments

from malaria.app.charts import Chart, draw_progress
from malaria.app.tab import Asked, Tab
from malaria.app.widgets import bind_keys, button, interval, percent, plural, text
from malaria.core.errors import UserError
from malaria.data.index import CLASSES
from malaria.evaluation.metrics import Array
from malaria.labelling.agreement import compare_readers
from malaria.labelling.labels import find_readers
from malaria.labelling.progress import Progress, measure_progress

KEYS = {"p": CLASSES[1], "u": CLASSES[0], "n": "not a single cell", "s": "unsure"}
SETTLED = "settled"  # the reader whose labels two others agreed on
SHOWN = 20  # disagreements
DRAW_EVERY = 5  # random labels


class LabelPanel:
    """The panel of a tab."""

    def __init__(self, tab: Tab) -> None:
        self.tab, self.lab = tab, tab.lab
        self.asked: Asked | None = None
        self.explained: Asked | None = None
        self.in_queue = False
        self.queue: deque[Asked] = deque()
        labels = {key: partial(self.give, label) for key, label in KEYS.items()}
        bind_keys({**labels, "z": self.undo, "l": self.open_queue, "escape": self.close})

    def build(self) -> None:
        text("h2", "Label")
        ui.input("Reader", value=self.tab.reader, on_change=self.change_reader).props("outlined dense")
        self.hint = text("p", "").classes("faint")
        with ui.element("div").classes("actions"):
            self.start = button("Label the next cells", self.open_queue)
            self.stop = button("Back to the photograph", self.close)
        self.accuracy = text("p", "")
        self.enough = text("p", "").classes("faint")
        self.chart = Chart("Accuracy so far, on the random cells in the order in which you labelled them.")
        self.readers = ui.element("div")

    def build_keys(self) -> None:
        """What is asked, and the buttons of the answers."""
        self.question = text("p", "").props('role="status" aria-live="polite"')
        with ui.element("div").classes("actions keys").props('role="group" aria-label="Label of the marked cell"'):
            self.answers = [
                button(f"{label.capitalize()} ({key.upper()})", lambda label=label: self.give(label))
                for key, label in KEYS.items()
            ]
            self.undo_button = button("Undo (Z)", self.undo)

    def build_saliency(self) -> None:
        """Where the model looked in the marked cell."""
        with ui.element("div").classes("actions"):
            self.explain = button("Where did the model look?", self.show_saliency)
            self.saliency = ui.element("img").classes("saliency").props('alt="Saliency map (Grad-CAM) over the cell"')
        self.saliency.set_visibility(False)

    def leave(self) -> None:
        """Another photograph is shown: nothing is asked any more."""
        self.in_queue, self.asked = False, None
        self.tab.map.unmark()

    # Choosing

    def open_queue(self) -> None:
        """Ask for one cell after the other, their calls hidden: they would sway the reader."""
        if self.in_queue:
            return
        self.in_queue = True
        self.queue.clear()
        self.tab.map.scroll_to()
        self.ask_next()

    def close(self) -> None:
        """Show calls again."""
        self.leave()
        self.tab.show_photograph(fit=True)
        self.tab.refresh()

    def ask_next(self) -> None:
        """The next cell of the queue, or of a new one."""
        given = self.lab.labels(self.tab.reader).labels
        while self.queue and self.lab.image(*self.queue[0][:2]) in given:
            self.queue.popleft()
        if not self.queue:
            self.queue.extend(Asked(*cell) for cell in self.lab.choose_cells(self.tab.reader))
        self.asked = self.queue.popleft() if self.queue else None
        if self.asked:
            self.tab.ask(self.asked)
        else:
            self.close()

    async def show_saliency(self) -> None:
        """The saliency map of the cell that was clicked."""
        if self.asked:
            folder = self.lab.view(self.asked.name).parent
            try:
                self.saliency.props["src"] = await self.lab.run("explain_cell", folder, self.asked.row, self.lab.source)
                self.saliency.set_visibility(True)
                ui.run_javascript(f'getHtmlElement({self.saliency.id}).scrollIntoView({{block: "nearest"}})')
            except (UserError, ValueError, OSError) as error:
                self.tab.report(str(error))

    def click(self, name: str, row: int) -> None:
        """A cell was clicked; in the queue that which was asked for keeps its turn."""
        if self.in_queue and self.asked and self.asked.chosen != "clicked":
            self.queue.appendleft(self.asked)
        self.asked = Asked(name, row, "clicked")
        self.refresh()

    # Labelling

    def give(self, label: str) -> None:
        """Label the cell that is asked for."""
        if self.asked is None or self.asked.name not in self.lab.entries:
            return
        self.tab.attempt(lambda: self._give(label))

    def _give(self, label: str) -> None:
        assert self.asked
        self.lab.label(self.tab.reader, self.asked.name, self.asked.row, label, self.asked.chosen)
        if self.in_queue:
            self.ask_next()

    def undo(self) -> None:
        """Take back the last label, and ask for its cell again."""
        self.tab.attempt(self._undo)

    def _undo(self) -> None:
        chosen = {image: row.chosen for image, row in self.lab.labels(self.tab.reader).labels.items()}
        image = self.lab.undo(self.tab.reader)
        if image and (found := self.lab.find(image)):
            self.asked = Asked(*found, chosen.get(image, "clicked"))
            if self.in_queue:
                self.tab.ask(self.asked)
            self.refresh()

    # What is shown

    def change_reader(self, event: ValueChangeEventArguments[str | None]) -> None:
        self.tab.attempt(lambda: self.tab.set_reader(event.value or ""))

    def refresh(self) -> None:
        """All that follows from the labels."""
        cells, given = bool(self.lab.done), self.lab.given(self.tab.reader)
        self.start.set_enabled(cells and not self.in_queue)
        self.stop.set_visibility(self.in_queue)
        for answer in self.answers:
            answer.set_enabled(self.asked is not None)
        self.undo_button.set_enabled(bool(given))
        self.hint.text = (
            "Click a cell to correct its prediction, or label the next cells (L): those that teach the model most, and "
            "as many chosen at random, which alone say how often it is right."
        )
        self.question.text = self._ask()
        self.explain.set_visibility(self.asked is not None and not self.in_queue)
        if self.explained != self.asked or self.in_queue:
            self.explained = self.asked
            self.saliency.set_visibility(False)
        self._show_progress(given)
        self._show_readers()

    def _ask(self) -> str:
        if self.asked is None:
            return ""
        number = self.asked.row + 1
        name = self.lab.entries[self.asked.name].name
        if self.in_queue:
            return f"Cell {number} of {name}, marked: is it parasitized? Its prediction is hidden."
        called = self.lab.entries[self.asked.name].called
        assert called
        row = called.calls.iloc[self.asked.row]
        parts = [
            f"Cell {number} of {name}: {row.prediction.lower()}",
            f"probability of parasitized {row.probability:.3f}",
        ]
        parts += ["uncertain"] if row.uncertain else []
        parts += [f"out of distribution ({row.ood})"] if row.ood else []
        own = self.lab.given(self.tab.reader).get(self.lab.image(*self.asked[:2]))
        return "; ".join(parts) + "." + (f" Your label: {own.lower()}." if own else "")

    def _show_progress(self, given: dict[str, str]) -> None:
        if self.in_queue:  # the accuracy would tell the call of the last cell
            self.accuracy.text = f"{plural(len(given), 'label')}. Go back to see how often the predictions are right."
            return
        labels, called = self.compare()
        progress = measure_progress(labels, called)
        self.accuracy.text = describe(progress, len(given)) if given else ""
        self.enough.text = advise(progress) if progress.accuracy.n else ""
        shown = len(labels) // DRAW_EVERY * DRAW_EVERY
        if shown:
            self.chart.show(draw_progress, (labels == called)[:shown].tolist(), self.accuracy.text)
        else:
            self.chart.hide()

    def compare(self) -> tuple[Array, Array]:
        """The labels (n,) of random cells, and calls by models that were not trained on them; 1 is parasitized."""
        rows = self.lab.labels(self.tab.reader).labels
        random = {image: row.label for image, row in rows.items() if row.chosen == "random"}
        calls = self.lab.honest_calls(list(random))
        both = [(label, calls[image]) for image, label in random.items() if label in CLASSES and image in calls]
        table = np.array(both, str).reshape(-1, 2) == CLASSES[1]
        return table[:, 0].astype(int), table[:, 1].astype(int)

    def _show_readers(self) -> None:
        self.readers.clear()
        others = [name for name in find_readers(self.lab.folder) if name not in (self.tab.reader, SETTLED)]
        with self.readers:
            for other in others if self.tab.reader != SETTLED else []:
                self._show_agreement(other)

    def _show_agreement(self, other: str) -> None:
        found = compare_readers(self.lab.labels(self.tab.reader).labels, self.lab.labels(other).labels)
        if not found.cells:
            return
        title = f"Agreement with {other}: {percent(found.observed)} of {plural(found.cells, 'cell')}"
        with ui.expansion(title).classes("wide"):
            kappa = "n/a" if np.isnan(found.kappa) else f"{found.kappa:.2f} ({found.low:.2f} to {found.high:.2f})"
            text("p", f"Cohen's kappa: {kappa}.")
            with ui.element("ul"):
                shown = found.disagreements.head(SHOWN)
                for image, one, two in zip(shown.image, shown["first"], shown["second"], strict=True):
                    with ui.element("li"):
                        button(image, lambda image=image: self.go_to(image))
                        text("span", f" {one.lower()}; {other}: {two.lower()}")
            if len(found.disagreements):
                button("Settle them", lambda: self.settle(other, found.disagreements))

    def go_to(self, image: str) -> None:
        """Show a cell and ask for its label."""
        if found := self.lab.find(image):
            self.asked = Asked(*found, "clicked")
            self.tab.go_to(self.asked)
            self.refresh()

    def settle(self, other: str, disagreements: pd.DataFrame) -> None:
        """Go through what two readers disagree on; the result, with what they agree on, is a reader of its own."""
        first, second = (self.lab.labels(name).labels for name in (self.tab.reader, other))
        settled = self.lab.labels(SETTLED)
        for image, row in first.items():
            if image in second and row.label == second[image].label and image not in settled.labels:
                settled.set(image, row.label, row.patient, row.photo, row.chosen)
        images = [image for image in disagreements.image if image not in settled.labels]
        self.tab.set_reader(SETTLED)
        self.in_queue = True
        self.queue = deque(Asked(*found, "clicked") for image in images if (found := self.lab.find(image)))
        self.ask_next()


def describe(progress: Progress, labels: int) -> str:
    """How many labels there are, and how often calls were right."""
    found = progress.accuracy
    if not found.n:
        return f"{plural(labels, 'label')}. None of a cell drawn at random yet, so accuracy is unknown."
    right = f"{found.count} of {plural(found.n, 'random cell')} predicted correctly"
    accuracy = f"{percent(found.value)} ({interval(found.low, found.high)})"
    return f"{plural(labels, 'label')}; {right}: {accuracy}."


def advise(progress: Progress) -> str:
    """Whether more labels are worth their time."""
    if progress.enough:
        return "The next 25 labels will hardly narrow this interval: you may stop."
    return f"25 more random labels would narrow the interval by about {2 * progress.gain_of(25):.0f} points."
