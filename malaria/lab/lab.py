"""What the page works on: a folder with photographs, their cells, labels and adapted models. All tabs share one `Lab`.

    my-lab/photographs/IMG_1.jpg      as it was dropped
           cells/IMG_1.jpg/...        its cells (malaria.lab.sheets)
           patients.csv               photo,patient
           labels-READER.csv          a reader's labels (malaria.labelling.labels)
           models/1/...               adapted models, as `malaria adapt` writes them

Everything is on disk as soon as it is shown, so that a session goes on where it stopped, also after a kill.
"""

import asyncio
import csv
import re
import shutil
from collections import deque
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any, Literal

import numpy as np
import pandas as pd

from malaria.core.artifacts import write_bytes, write_csv
from malaria.core.errors import UserError
from malaria.core.workers import start_pool
from malaria.data.index import CLASSES
from malaria.lab.counts import Count, count, decide
from malaria.lab.jobs import run_job
from malaria.lab.sheets import MOST_CROPS, Called, Model, Read
from malaria.labelling.labels import Chosen, LabelFile, reader_path
from malaria.labelling.queue import choose_next, reached_at_random
from malaria.slide.groups import COUNTED

AT_A_TIME = 16  # small files of a job, which is one photograph or some crops
JOB_BYTES = 400_000  # of the small files of a job: so many crops, but one photograph
NAME = 100  # characters of a file's name that are kept
FEWEST = 10  # labels of cells, as of `malaria adapt`
AHEAD, SEED = 10, 0  # cells that are chosen at a time, and of their order
STEP = 25  # labels after which the model is adapted anew

State = Literal["waiting", "reading", "done", "failed"]


class WorkerEndedError(ValueError):
    """The worker process was killed in the middle of a job."""


@dataclass
class Entry:
    """A photograph or a sheet of crops, or a file that is to become one; `problem` says why it failed."""

    name: str
    state: State = "waiting"
    problem: str = ""
    called: Called | None = None


class Lab:
    """The state of the page; `version` grows with each change that a tab shows."""

    def __init__(self, folder: Path, source: str) -> None:
        self.folder, self.source = folder, source
        self.base = source
        self.entries: dict[str, Entry] = {}
        self.patients = self._read_patients()
        self.version = 0
        self.adapting = False
        self.message = ""  # of the last adaptation
        self._waiting: deque[Path] = deque()
        self._readers: dict[str, LabelFile] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._working = False
        self.adapted: dict[str, Model] = {}  # by number
        self._pool = start_pool(1)
        self.model: Model  # in use
        self._loop: asyncio.AbstractEventLoop

    # The worker

    async def run(self, function: str, *arguments: Any) -> Any:
        """Run a function of `malaria.lab.worker` in the worker process, which is started anew if it was killed."""
        try:
            return await self._loop.run_in_executor(self._pool, run_job, function, *arguments)
        except BrokenProcessPool:
            self._pool = start_pool(1)
            raise WorkerEndedError("the process that worked on it was ended, perhaps for lack of memory") from None

    def load(self) -> None:
        """Load the model, and find what an earlier session left.

        Raises:
            UserError: there is no such model.
        """
        self.model = self._pool.submit(run_job, "open_model", self.base).result()
        self.adapted = self._pool.submit(run_job, "read_adapted", self.folder / "models").result()
        if chosen := self._chosen_model():
            self.source, self.model = chosen, self.adapted[Path(chosen).name]
        for file in sorted(self._photographs.glob("*")) if self._photographs.is_dir() else []:
            self.entries[file.name] = Entry(file.name)
        for sheet in sorted((self.folder / "cells").glob("crops-*")):
            self.entries[sheet.name] = Entry(sheet.name)

    def start(self) -> None:
        """Read again what was there; to be called in the event loop, in which all work is then started."""
        self._loop = asyncio.get_running_loop()
        self._start(self._reopen())

    def stop(self) -> None:
        """End the worker."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _start(self, task: Any) -> None:
        started = self._loop.create_task(task)
        self._tasks.add(started)
        started.add_done_callback(self._tasks.discard)

    # Files

    @property
    def _photographs(self) -> Path:
        return self.folder / "photographs"

    def view(self, name: str) -> Path:
        """The picture of an entry that the page shows."""
        return self.folder / "cells" / name / "view.jpg"

    def receive(self, name: str, data: bytes) -> str:
        """Keep a file that was dropped, and read it in its turn; returns the name under which it is kept."""
        kept = self._pick_name(clean_name(name), data)
        if kept not in self.entries:
            write_bytes(self._photographs / kept, data)
            self.entries[kept] = Entry(kept)
            self._waiting.append(self._photographs / kept)
            self.changed()
            self._work()
        return kept

    def _pick_name(self, name: str, data: bytes) -> str:
        """The name, or with a number where another file has it; that of the same file dropped again is the same."""
        stem, suffix = Path(name).stem, Path(name).suffix
        for number in range(1, 10_000):
            kept = name if number == 1 else f"{stem}-{number}{suffix}"
            path = self._photographs / kept
            crops = list((self.folder / "cells").glob(f"crops-*/{kept}"))
            if not path.exists() and not crops:
                return kept
            if any(there.read_bytes() == data for there in [path, *crops] if there.exists()):
                return kept
        raise UserError(f"{name}: too many files of this name")

    def cancel(self) -> None:
        """Forget the files that wait; what is being read is read to its end."""
        for file in self._waiting:
            file.unlink(missing_ok=True)
            del self.entries[file.name]
        self._waiting.clear()
        self.changed()

    def dismiss(self) -> None:
        """Forget the files that could not be read."""
        self.entries = {name: entry for name, entry in self.entries.items() if entry.state != "failed"}
        self.changed()

    def remove(self, name: str) -> None:
        """Remove a photograph and its cells; labels that were given to them stay in the readers' files."""
        entry = self.entries.pop(name)
        if entry.state == "done":
            (self._photographs / name).unlink(missing_ok=True)
            shutil.rmtree(self.folder / "cells" / name, ignore_errors=True)
        self.changed()

    @property
    def waiting(self) -> int:
        """Files that are not read yet, that which is being read among them."""
        return sum(entry.state in ("waiting", "reading") for entry in self.entries.values())

    @property
    def busy(self) -> bool:
        """Whether anything goes on in the background."""
        return bool(self._tasks)

    def _work(self) -> None:
        if not self._working:
            self._working = True
            self._start(self._read_waiting())

    async def _read_waiting(self) -> None:
        """Read what waits, a photograph or some crops at a time."""
        try:
            while files := self._next_job():
                for file in files:
                    self.entries[file.name].state = "reading"
                self.changed()
                await self._read(files)
        finally:
            self._working = False
            self.changed()

    def _next_job(self) -> list[Path]:
        files: list[Path] = []
        size = 0
        while self._waiting and len(files) < AT_A_TIME:
            size += self._waiting[0].stat().st_size
            if files and size > JOB_BYTES:
                break
            files.append(self._waiting.popleft())
        return files

    async def _read(self, files: list[Path]) -> None:
        try:
            read = await self.run(
                "read_files", files, self.folder / "cells", self._crops_sheet(len(files)), self.source
            )
        except WorkerEndedError as error:
            if len(files) > 1:  # which of them was it?
                for file in files:
                    await self._read([file])
                return
            read = Read([], {files[0].name: str(error)})
        except (ValueError, OSError) as error:
            read = Read([], {file.name: str(error) for file in files})
        for file in files:
            del self.entries[file.name]
        for called in read.called:
            self.entries[called.sheet.name] = Entry(called.sheet.name, "done", called=called)
        for name, problem in read.broken.items():
            (self._photographs / name).unlink(missing_ok=True)
            self.entries[name] = Entry(name, "failed", problem)

    def _crops_sheet(self, more: int) -> str:
        """The sheet that the next crops go to."""
        sheets = [entry for name, entry in self.entries.items() if name.startswith("crops-") and entry.called]
        last = sheets[-1].called if sheets else None
        full = last is None or len(last.sheet.table) + more > MOST_CROPS
        return f"crops-{len(sheets) + 1}" if full or last is None else last.sheet.name

    async def _reopen(self) -> None:
        """Call the cells of sheets on disk; a photograph without one waits to be read."""
        for name in list(self.entries):
            try:
                called = await self.run("call_sheet", self.folder / "cells" / name, self.source)
                self.entries[name] = Entry(name, "done", called=called)
            except (ValueError, KeyError, OSError):
                self._waiting.append(self._photographs / name)
            self.changed()
        self._work()

    def changed(self) -> None:
        self.version += 1

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
        if new and len(file.labels) % STEP == 0 and self.can_adapt(reader):
            self.adapt(reader)

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
        found = choose_next(
            cells.index.tolist(), cells.probability.to_numpy(), self.model.threshold, features, labelled, AHEAD, SEED
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

    @property
    def done(self) -> list[Entry]:
        return [entry for entry in self.entries.values() if entry.called]

    def decided(self, entry: Entry, reader: str) -> pd.DataFrame:
        """The cells of an entry, with calls and the reader's labels."""
        assert entry.called
        return decide(entry.called.sheet.table, entry.called.calls, self.given(reader))

    def count_photographs(self, reader: str) -> list[Count]:
        """The count of each entry that was read."""
        return [self._count(entry.name, [entry], reader) for entry in self.done]

    def count_patients(self, reader: str) -> list[Count]:
        """The count of each patient; photographs without one are a group of their own."""
        groups: dict[str, list[Entry]] = {}
        for entry in self.done:
            if entry.called and entry.called.sheet.is_photograph:
                groups.setdefault(self.patient(entry.name), []).append(entry)
        return [self._count(name, entries, reader) for name, entries in sorted(groups.items())]

    def _count(self, name: str, entries: list[Entry], reader: str) -> Count:
        crops = any(entry.called and not entry.called.sheet.is_photograph for entry in entries)
        return count(name, [self.decided(entry, reader) for entry in entries], self.model.rates, crops)

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
        few = [name.lower() for name in CLASSES if given.count(name) < 2]
        if few:
            return f"Label at least two {' and two '.join(few)} cells."
        usable = sum(label in CLASSES for label in given)
        return f"{FEWEST - usable} more labels until the model can be adapted." if usable < FEWEST else ""

    def can_adapt(self, reader: str) -> bool:
        return not self.adapting and not self.missing_labels(reader)

    def adapt(self, reader: str) -> None:
        """Adapt the base model to a reader's labels, in the background."""
        self.adapting, self.message = True, ""
        self.changed()
        self._start(self._adapt(reader))

    async def _adapt(self, reader: str) -> None:
        out = self.folder / "models" / str(max(map(int, self.adapted), default=0) + 1)
        try:
            await self.run("adapt_model", reader_path(self.folder, reader), self.base, out)
            self.adapted[out.name] = await self.run("open_model", str(out))
            await self._use(str(out))
        except (UserError, ValueError, OSError) as error:
            self.message = str(error)
        finally:
            self.adapting = False
            self.changed()

    def use(self, model: str) -> None:
        """Call all cells by another model of `models`."""
        self._start(self._use(model))

    async def _use(self, model: str) -> None:
        self.source = model
        write_bytes(self.folder / "model.txt", model.encode())
        self.model = await self.run("open_model", model)
        for entry in list(self.done):
            entry.called = await self.run("call_sheet", self.folder / "cells" / entry.name, model)
            self.changed()

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


def clean_name(name: str) -> str:
    """A file's name without folders, and without what a file system or a page would stumble over."""
    name = PureWindowsPath(name.replace("/", "\\")).name
    name = re.sub(r"[^\w.()+ -]", "_", name.encode(errors="ignore").decode()).strip(". ") or "photograph"
    name += "_" if name.startswith("crops-") and "." not in name else ""  # the sheets of crops are called so
    return Path(name).stem[:NAME] + Path(name).suffix[:10]
