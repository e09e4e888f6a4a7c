"""What the page works on: a folder with photographs, their cells, labels and adapted models. All tabs share one `Lab`.

    my-lab/photographs/IMG_1.jpg      as it was dropped
           cells/IMG_1.jpg/...        its cells (malaria.lab.sheets)
           patients.csv               photo,patient
           labels-READER.csv          a reader's labels (malaria.labelling.labels)
           models/1/...               adapted models, as `malaria adapt` writes them

Everything is on disk as soon as it is shown, so that a session goes on where it stopped, also after a kill.
"""

import csv
from pathlib import Path

import numpy as np
import pandas as pd

from malaria.core.artifacts import write_bytes, write_csv
from malaria.core.errors import UserError
from malaria.data.index import CLASSES
from malaria.lab.counts import Count, combine, count, decide
from malaria.lab.jobs import run_job
from malaria.lab.photographs import Entry, Photographs
from malaria.lab.sheets import Called, Model
from malaria.labelling.labels import Chosen, LabelFile, find_readers, reader_path
from malaria.labelling.queue import choose_next, reached_at_random
from malaria.slide.groups import COUNTED

FEWEST = 10  # labels of cells, as of `malaria adapt`
AHEAD, SEED = 10, 0  # cells that are chosen at a time, and of their order
FEW = 2  # labels of a class, without which there is no adaptation
STEP = 25  # labels after which the model is adapted anew


class Lab(Photographs):
    """The photographs with patients, readers' labels, counts and adapted models: the state of the page."""

    def __init__(self, folder: Path, source: str) -> None:
        super().__init__(folder, source)
        self.base = source
        self.patients = self._read_patients()
        self.working = ""  # what goes on with models
        self.message = ""  # of the last adaptation
        self.model: Model  # in use
        self.adapted: dict[str, Model] = {}  # by number
        self._readers: dict[str, LabelFile] = {}
        self._counts: dict[tuple[str, str], tuple[Called, dict[str, str], Count]] = {}  # by reader and entry

    def load(self) -> None:
        """Load the model, and find what an earlier session left.

        Raises:
            UserError: there is no such model.
        """
        self.model = self._pool.submit(run_job, "open_model", self.base).result()
        self.adapted = self._pool.submit(run_job, "read_adapted", self.folder / "models").result()
        if chosen := self._chosen_model():
            self.source, self.model = chosen, self.adapted[Path(chosen).name]
        self.find_files()

    # Patients

    def _read_patients(self) -> dict[str, str]:
        path = self.folder / "patients.csv"
        if not path.exists():
            return {}
        with path.open(encoding="utf-8-sig", newline="") as file:
            return {row["photo"]: row["patient"] for row in csv.DictReader(file) if row.get("photo")}

    def set_patients(self, patients: dict[str, str]) -> None:
        """Set the patient of some photographs, "" for none."""
        self.patients |= {name: patient.strip() for name, patient in patients.items()}
        table = pd.DataFrame(sorted(self.patients.items()), columns=["photo", "patient"])
        write_csv(self.folder / "patients.csv", table)
        for labels in self._readers.values():
            for name, patient in patients.items():
                labels.set_patient(name, patient)
        self.changed()

    def patient(self, name: str) -> str:
        return self.patients.get(name, "")

    # Labels

    def labels(self, reader: str) -> LabelFile:
        """A reader's labels.

        Raises:
            UserError: the name is none, or the file cannot be read.
        """
        if reader not in self._readers:
            self._readers[reader] = LabelFile(reader_path(self.folder, reader))
        return self._readers[reader]

    def given(self, reader: str) -> dict[str, str]:
        """A reader's labels by image."""
        return {image: row.label for image, row in self.labels(reader).labels.items()}

    def label(self, reader: str, name: str, row: int, label: str, chosen: Chosen) -> None:
        """Label a cell of an entry; adapt where enough labels have come in."""
        called = self.entries[name].called
        assert called
        image = self.image(name, row)
        photo = name if called.sheet.is_photograph else ""
        file = self.labels(reader)
        new = image not in file.labels
        file.set(image, label, patient=self.patient(name), photo=photo, chosen=chosen)
        self._mark_random(reader)
        self.changed()
        usable = sum(given in CLASSES for given in self.given(reader).values())
        newest = self.source == self.models[-1]  # else another was chosen on purpose
        if new and label in CLASSES and usable % STEP == 0 and newest and self.can_adapt(reader):
            self.adapt(reader)

    def remove(self, name: str) -> None:
        """Remove a photograph, its cells, and all readers' labels of these: nothing could be adapted to them."""
        images = set(called.sheet.table.image) if (called := self.entries[name].called) else set()
        super().remove(name)
        for reader in find_readers(self.folder):
            self.labels(reader).remove(images)
        self.changed()

    def count_labels(self, name: str) -> int:
        """The labels that all readers gave to cells of an entry."""
        images = set(called.sheet.table.image) if (called := self.entries[name].called) else set()
        return sum(len(images & self.labels(reader).labels.keys()) for reader in find_readers(self.folder))

    def image(self, name: str, row: int) -> str:
        """By what a cell is known in labels: the path of its image in the folder."""
        called = self.entries[name].called
        assert called
        return str(called.sheet.table.image.iloc[row])

    def find(self, image: str) -> tuple[str, int] | None:
        """The entry and row of a cell."""
        for entry in self.done:
            if entry.called and len(rows := np.flatnonzero(entry.called.sheet.table.image == image)):
                return entry.name, int(rows[0])
        return None

    def choose_cells(self, reader: str) -> list[tuple[str, int, Chosen]]:
        """What a reader should label next, of all cells that count: entry, row, and how each was chosen."""
        cells = self._countable()
        if cells.empty:
            return []
        labelled = {image: row.chosen for image, row in self.labels(reader).labels.items()}
        features = np.stack(cells.features.to_list()).astype(np.float32)
        given = list(self.given(reader).values())
        missing = next((name for name in reversed(CLASSES) if given.count(name) < FEW), None)
        found = choose_next(
            cells.index.tolist(),
            cells.probability.to_numpy(),
            self.model.threshold,
            features,
            labelled,
            AHEAD,
            SEED,
            CLASSES.index(missing) if missing else None,
        )
        return [(*cells.loc[image, ["entry", "row"]], how) for image, how in found.cells]

    def _countable(self) -> pd.DataFrame:
        """The cells that count, by image: entry, row, probability and features."""
        parts = [
            pd.DataFrame(
                {
                    "image": called.sheet.table.image,
                    "entry": entry.name,
                    "row": range(len(called.calls)),
                    "probability": called.calls.probability,
                    "features": list(called.features),
                }
            )[called.sheet.table.kind.isin(COUNTED)]
            for entry in self.done
            if (called := entry.called)
        ]
        return pd.concat(parts).set_index("image") if parts else pd.DataFrame()

    def _mark_random(self, reader: str) -> None:
        """Count labels that the random order has reached as random, however their cells were chosen."""
        labels = self.labels(reader)
        chosen = {image: row.chosen for image, row in labels.labels.items()}
        for image in reached_at_random(self._countable().index.tolist(), chosen, SEED):
            labels.mark_random(image)

    def undo(self, reader: str) -> str | None:
        """Take back the last label; the image of its cell."""
        image = self.labels(reader).undo()
        self.changed()
        return image

    # What is shown

    def decided(self, entry: Entry, reader: str) -> pd.DataFrame:
        """The cells of an entry, with calls and the reader's labels."""
        assert entry.called
        return decide(entry.called.sheet.table, entry.called.calls, self.given(reader))

    def count_photographs(self, reader: str) -> list[Count]:
        """The count of each photograph, and of each sheet of crops."""
        given: dict[str, dict[str, str]] = {entry.name: {} for entry in self.done}
        for image, label in self.given(reader).items():
            given.setdefault(image.split("/")[1], {})[image] = label
        return [self._count(entry, reader, given[entry.name]) for entry in self.done]

    def _count(self, entry: Entry, reader: str, labels: dict[str, str]) -> Count:
        """The count of an entry, kept until its calls or labels change: of 200 photographs one does."""
        called = entry.called
        assert called
        kept = self._counts.get((reader, entry.name))
        if kept is None or kept[0] is not called or kept[1] != labels:
            cells = decide(called.sheet.table, called.calls, labels)
            counted = count(entry.name, cells, self.model.rates, not called.sheet.is_photograph)
            kept = self._counts[reader, entry.name] = called, labels, counted
        return kept[2]

    def count_patients(self, reader: str) -> list[Count]:
        """The count of each patient; photographs without one are a group of their own."""
        groups: dict[str, list[Count]] = {}
        for found in self.count_photographs(reader):
            if found.parasitemia is not None:
                groups.setdefault(self.patient(found.name), []).append(found)
        return [combine(name, counts, self.model.rates) for name, counts in sorted(groups.items())]

    # Models

    @property
    def models(self) -> list[str]:
        """The model that the page was started with, and the adapted ones."""
        return [self.base, *(str(self.folder / "models" / number) for number in sorted(self.adapted, key=int))]

    def _chosen_model(self) -> str | None:
        """The model that was in use when the page was closed."""
        path = self.folder / "model.txt"
        name = path.read_text("utf-8").strip() if path.exists() else ""
        return name if name in self.models[1:] else None

    def missing_labels(self, reader: str) -> str:
        """What is still missing for an adaptation; empty where nothing is."""
        given = list(self.given(reader).values())
        few = [name.lower() for name in CLASSES if given.count(name) < FEW]
        if few:
            return f"Label at least two {' and two '.join(few)} cells."
        usable = sum(label in CLASSES for label in given)
        left = FEWEST - usable
        return f"{left} more parasitized or uninfected until the model can be adapted." if left > 0 else ""

    def next_adaptation(self, reader: str) -> str:
        """When the model adapts by itself; empty where another than the newest was chosen on purpose."""
        usable = sum(label in CLASSES for label in self.given(reader).values())
        if self.source != self.models[-1]:
            return ""
        return f"{STEP - usable % STEP} more labels, parasitized or uninfected, until it adapts by itself."

    def can_adapt(self, reader: str) -> bool:
        return not self.working and not self.missing_labels(reader)

    def adapt(self, reader: str) -> None:
        """Adapt the base model to a reader's labels, in the background."""
        self._begin("Adapting; this takes ten seconds or some more.")
        self._start(self._adapt(reader))

    def _begin(self, work: str) -> None:
        self.working, self.message = work, ""
        self.changed()

    async def _adapt(self, reader: str) -> None:
        out = self.folder / "models" / str(max(map(int, self.adapted), default=0) + 1)
        try:
            await self.run("adapt_model", reader_path(self.folder, reader), self.base, out)
            self.adapted[out.name] = await self.run("open_model", str(out))
            self.message = describe_failure(self.adapted[out.name])
            if not self.message:
                await self._call_all(str(out))
        except (UserError, ValueError, OSError) as error:
            self.message = str(error)
        finally:
            self.working = ""
            self.changed()

    def use(self, model: str) -> None:
        """Call all cells by another model of `models`."""
        self._begin("Predicting all cells by another model.")
        self._start(self._use(model))

    async def _use(self, model: str) -> None:
        try:
            await self._call_all(model)
        except (UserError, ValueError, OSError) as error:
            self.message = str(error)
        finally:
            self.working = ""
            self.changed()

    async def _call_all(self, source: str) -> None:
        """Call all cells by another model, and only then show any of it: what is counted is always of one model."""
        model = await self.run("open_model", source)
        called: dict[str, Called] = {}
        while left := [entry.name for entry in self.done if entry.name not in called]:  # some may just have been read
            called[left[0]] = await self.run("call_sheet", self.folder / "cells" / left[0], source)
        for entry in self.done:
            entry.called = called[entry.name]
        self.source, self.model = source, model
        write_bytes(self.folder / "model.txt", source.encode())

    def honest_calls(self, images: list[str]) -> dict[str, str]:
        """The calls of some cells by a network that was not trained on them, by image.

        Of those that the model in use was adapted to they are cross-validated.
        """
        calls = {
            image: str(call)
            for entry in self.done
            if entry.called
            for image, call in zip(entry.called.sheet.table.image, entry.called.calls.prediction, strict=True)
        }
        if self.source != self.base:
            predictions = pd.read_csv(Path(self.source) / "predictions.csv", dtype={"name": str})
            called = predictions.probability >= self.model.threshold
            calls |= {name: CLASSES[int(call)] for name, call in zip(predictions.name, called, strict=True)}
        return {image: calls[image] for image in images if image in calls}


def describe_failure(adapted: Model) -> str:
    """Why an adapted model is not taken into use; empty where it is better, on the labels, than what it began with."""
    before, after = (adapted.metrics[f"{part}_balanced_accuracy"] for part in ("before", "after"))
    if before is None or after is None or after >= before:
        return ""
    return (
        f"Adapted to {adapted.labels} labels the model is no better: balanced accuracy {100 * before:.0f} % before and "
        f"{100 * after:.0f} % after, cross-validated. It is in the list, but not in use. If the model as it came "
        "is nearly always right, it needs no adaptation; else label more cells, both classes in each patient that has "
        "both."
    )
