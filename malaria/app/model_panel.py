"""Adapt the model to the labels, in the background; how good it is, and back to an earlier one."""

from pathlib import Path

from nicegui import ui
from nicegui.events import ValueChangeEventArguments

from malaria.app.charts import Chart, draw_models
from malaria.app.tab import Tab
from malaria.app.widgets import button, interval, percent, plural, text
from malaria.lab.hand_over import write_bundle, write_table


class ModelPanel:
    """The panel of a tab."""

    def __init__(self, tab: Tab) -> None:
        self.tab, self.lab = tab, tab.lab
        text("h2", "Model")
        self.choice = ui.select({}, label="Model in use", on_change=self.choose).props("outlined dense options-dense")
        self.choice.classes("wide")
        self.caution = text("p", "").classes("warning")
        self.adapt = button("Adapt to my labels", lambda: self.tab.attempt(lambda: self.lab.adapt(self.tab.reader)))
        self.status = text("p", "").props('role="status"')
        self.chart = Chart("Cross-validated on your labels, before and after each adaptation.")
        text("h2", "Hand over")
        with ui.element("div").classes("actions"):
            self.bundle = button("Everything (zip)", self.download_bundle)
            self.downloads = [button("Table (CSV)", self.download_table), self.bundle]
        contents = (
            "The zip has labels, tables, overlays, the report on the slide, and a list of hashes; and the model, if it "
            "is an adapted one. Reports and overlays show the model's predictions, tables your labels in their place."
        )
        text("p", contents).classes("faint")

    def choose(self, event: ValueChangeEventArguments[str]) -> None:
        if event.value and event.value != self.lab.source:
            self.lab.use(event.value)

    def refresh(self) -> None:
        """All that follows from models and labels."""
        models = self.lab.models
        self.choice.set_options({model: self._describe(model) for model in models}, value=self.lab.source)
        self.caution.text = self.lab.model.caution
        self.caution.set_visibility(bool(self.lab.model.caution))
        missing = self.lab.missing_labels(self.tab.reader)
        self.adapt.set_enabled(self.lab.can_adapt(self.tab.reader))
        self.choice.set_enabled(not self.lab.working)
        for download in self.downloads:
            download.set_enabled(not self.lab.working)
        upcoming = missing or self.lab.next_adaptation(self.tab.reader)
        self.status.text = self.lab.working or self.lab.message or upcoming
        if adapted := list(self.lab.adapted.values()):
            self.chart.show(draw_models, adapted, "; ".join(map(self._describe, models[1:])))

    def _describe(self, model: str) -> str:
        if model == self.lab.base:
            return f"{Path(model).name}, as it came"
        adapted = self.lab.adapted[Path(model).name]
        value, low, high = (adapted.metrics[f"after_balanced_accuracy{it}"] for it in ("", "_low", "_high"))
        shown = percent(value) if value is not None else "n/a"
        limits = f" ({interval(low, high)})" if low is not None and high is not None else ""
        return f"Adapted {Path(model).name}: {plural(adapted.labels, 'label')}, balanced accuracy {shown}{limits}"

    def download_table(self) -> None:
        ui.download.content(write_table(self.lab, self.tab.reader).encode(), "cells.csv", "text/csv")

    async def download_bundle(self) -> None:
        self.bundle.disable()
        self.status.text = "Making the zip; a second or two a photograph."
        try:
            path = await write_bundle(self.lab, self.tab.reader)
            ui.download.file(path)
        except (ValueError, OSError) as error:
            self.tab.report(str(error))
        finally:
            self.bundle.enable()
            self.refresh()
