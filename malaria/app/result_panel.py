"""What was found: parasitemia by patient, first; then a table of the photographs, with their patients to type."""

from typing import Any

from nicegui import ui
from nicegui.events import GenericEventArguments, UploadEventArguments

from malaria.app.tab import Tab
from malaria.app.widgets import button, describe_parasitemia, percent, plural, text
from malaria.data.patients import Patients
from malaria.lab.counts import Count

COLUMNS = {
    "name": "Photograph",
    "patient": "Patient",
    "cells": "Cells",
    "parasitized": "Parasitized",
    "parasitemia": "Parasitemia, 95 % interval",
    "uncertain": "Uncertain",
    "ood": "Out of distribution",
    "labelled": "Labelled",
    "problems": "Remarks",
}
# Quasar sorts by a click on the cell, which no key reaches: the click of a button in it does
HEAD = """
<q-th :props="props" :aria-sort="!props.col.__thClass.includes('sorted') ? null
  : props.col.__thClass.includes('sort-desc') ? 'descending' : 'ascending'">
  <button type="button">{{ props.col.label }}</button>
</q-th>
"""
NAME = """
<q-td :props="props">
  <button type="button" class="link" @click="() => $parent.$emit('open', props.row.name)">{{ props.value }}</button>
</q-td>
"""
PATIENT = """
<q-td :props="props"><input class="patient" :value="props.value" :aria-label="`Patient of ${props.row.name}`"
 @change="event => $parent.$emit('patient', [props.row.name, event.target.value])" /></q-td>
"""


class ResultPanel:
    """The headline and the table of a tab."""

    def __init__(self, tab: Tab) -> None:
        self.tab, self.lab = tab, tab.lab

    def build_headline(self) -> None:
        self.headline = ui.element("dl").classes("headline").props('aria-label="Result"')
        self.caveat = text("p", "").classes("faint")

    def build_table(self) -> None:
        text("h2", "Photographs and patients")
        columns: list[dict[str, Any]] = [
            {"name": name, "field": name, "label": label, "sortable": name != "problems", "align": "left"}
            for name, label in COLUMNS.items()
        ]
        self.table = ui.table(rows=[], columns=columns, row_key="name", pagination={"rowsPerPage": 10})
        self.table.props('flat dense aria-label="Photographs"').classes("wide")
        self.table.add_slot("header-cell", HEAD)
        self.table.add_slot("body-cell-name", NAME)
        self.table.add_slot("body-cell-patient", PATIENT)
        self.table.on("open", lambda event: self.tab.open(event.args))
        self.table.on("patient", self.type_patient)
        with ui.element("div").classes("actions"):
            self.patients = ui.upload(on_upload=self.take_patients, auto_upload=True, max_file_size=1_000_000)
            self.patients.props("flat accept=.csv").classes("hidden-upload")
            button("Patients from a CSV file", lambda: self.patients.run_method("pickFiles"))
            self.removal = button("Remove this photograph", self.remove)
            text("span", "A CSV file has the columns photo and patient.").classes("faint")

    def type_patient(self, event: GenericEventArguments) -> None:
        name, patient = event.args
        if name in self.lab.entries:
            self.tab.attempt(lambda: self.lab.set_patients({name: str(patient)}))

    async def take_patients(self, event: UploadEventArguments) -> None:
        """A table of photographs and patients; names may lack their folder or suffix."""
        data = await event.file.read()
        self.patients.reset()
        self.tab.attempt(lambda: self.set_patients(data, event.file.name))

    def set_patients(self, data: bytes, name: str) -> None:
        """Set the patients that the CSV file names, and tell which photographs are not in it."""
        table = Patients(data, name)
        found = {entry.name: table.find(entry.name) for entry in self.lab.done}
        self.lab.set_patients({photo: patient for photo, patient in found.items() if patient})
        if missing := table.describe_missing():
            self.tab.report(f"{name}: {missing}")

    def remove(self) -> None:
        """Ask first, since labels go with it."""
        name = self.tab.name
        if name not in self.lab.entries:
            return
        labels = self.lab.count_labels(name)
        with ui.dialog(value=True) as dialog, ui.card():
            text("p", f"Remove {name}" + (f" and {plural(labels, 'label')} of its cells?" if labels else "?"))
            with ui.element("div").classes("actions"):
                button("Remove", lambda: self.remove_now(name, dialog))
                button("Keep", dialog.close)

    def remove_now(self, name: str, dialog: ui.dialog) -> None:
        dialog.close()
        if name in self.lab.entries:
            self.lab.remove(name)

    def refresh(self) -> None:
        """All that follows from calls and labels."""
        reader = self.tab.reader
        counts = self.lab.count_photographs(reader)
        self.headline.clear()
        with self.headline:
            for count in self.lab.count_patients(reader):
                self._show_patient(count)
        self.caveat.text = CAVEAT if counts else ""
        self.table.rows = [self._row(count) for count in counts]
        self.removal.set_visibility(self.tab.name != "")

    def _show_patient(self, count: Count) -> None:
        several = any(self.lab.patients.values())
        with ui.element("div"):
            name = f"Patient {count.name}" if count.name else "No patient named" if several else "Parasitemia"
            text("dt", name)
            with text("dd", describe_parasitemia(count)):
                text(
                    "small",
                    f"{count.parasitized:,} of {plural(count.cells, 'red cell')} in "
                    f"{plural(count.photographs, 'photograph')} parasitized",
                )
                if count.parasitemia and count.parasitemia.any_parasite == count.parasitemia.any_parasite:
                    text("small", f"any parasite: probability {percent(count.parasitemia.any_parasite)}")

    def _row(self, count: Count) -> dict[str, Any]:
        called = self.lab.entries[count.name].called
        assert called
        return {
            "name": count.name,
            "patient": self.lab.patient(count.name),
            "cells": count.cells,
            "parasitized": count.parasitized,
            "parasitemia": describe_parasitemia(count),
            "uncertain": count.uncertain,
            "ood": count.ood,
            "labelled": count.labelled,
            "problems": " ".join(called.problems),
        }


CAVEAT = (
    "With 95 % intervals, or what it is below where there may be no parasite at all, since the model predicts some "
    "healthy cells parasitized. They hold the sampling of cells and photographs, and the model's errors in a patient "
    "it has not seen. On another microscope than those it was trained on it errs more: label cells, and adapt it."
)
