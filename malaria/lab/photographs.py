"""The photographs of a lab: kept as they come in, and read one after the other by a worker process."""

import asyncio
import hashlib
import re
import shutil
from collections import deque
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path, PureWindowsPath
from typing import Any, Literal

from malaria.core.artifacts import write_bytes
from malaria.core.workers import start_pool
from malaria.lab.jobs import run_job
from malaria.lab.sheets import MOST_CROPS, PIXELS, SHEET, VIEW, Called, Read

AT_A_TIME = 16  # small files of a job, which is one photograph or some crops
JOB_BYTES = 400_000  # of the small files of a job: so many crops, but one photograph
NAME = 100  # characters of a file's name that are kept

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


class Photographs:
    """Photographs and crops in a folder, with the calls of a model, which is known by its folder, `source`.

    `version` grows with each change that a tab shows.
    """

    def __init__(self, folder: Path, source: str) -> None:
        self.folder, self.source = folder, source
        self.entries: dict[str, Entry] = {}
        self.version = 0
        self._kept: dict[str, str] = {}  # the name of each file that was dropped, by the sha256 of its content
        self._waiting: deque[Path] = deque()
        self._working = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._pool = start_pool(1)
        self._loop: asyncio.AbstractEventLoop

    def find_files(self) -> None:
        """Find what an earlier session left."""
        for file in sorted(self._photographs.glob("*")):
            self.entries[file.name] = Entry(file.name)
            self._kept[hashlib.sha256(file.read_bytes()).hexdigest()] = file.name
        for sheet in sorted((self.folder / "cells").glob("crops-*")):
            self.entries[sheet.name] = Entry(sheet.name)
            crops = (file for file in sheet.glob("*") if file.name not in (SHEET, VIEW, PIXELS))
            self._kept |= {hashlib.sha256(file.read_bytes()).hexdigest(): file.name for file in crops}

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

    async def run(self, function: str, *arguments: Any) -> Any:
        """Run a function of `malaria.lab.worker` in the worker process, which is started anew if it was killed."""
        try:
            return await self._loop.run_in_executor(self._pool, run_job, function, *arguments)
        except BrokenProcessPool:
            self._pool = start_pool(1)
            raise WorkerEndedError("the process that worked on it was ended, perhaps for lack of memory") from None

    @property
    def done(self) -> list[Entry]:
        """The photographs and sheets that were read."""
        return [entry for entry in self.entries.values() if entry.called]

    def changed(self) -> None:
        self.version += 1

    # Files

    @property
    def _photographs(self) -> Path:
        return self.folder / "photographs"

    def view(self, name: str) -> Path:
        """The picture of an entry that the page shows."""
        return self.folder / "cells" / name / "view.jpg"

    def receive(self, name: str, data: bytes) -> str:
        """Keep a file that was dropped, and read it in its turn; returns the name under which it is kept."""
        if there := self.find_same(data):
            return there
        kept = self._pick_name(clean_name(name))
        write_bytes(self._photographs / kept, data)
        self._kept[hashlib.sha256(data).hexdigest()] = kept
        self.entries[kept] = Entry(kept)
        self._waiting.append(self._photographs / kept)
        self.changed()
        self._work()
        return kept

    def find_same(self, data: bytes) -> str | None:
        """The name of a file with this content, whatever it was called: its cells are not to be counted twice."""
        return self._kept.get(hashlib.sha256(data).hexdigest())

    def _pick_name(self, name: str) -> str:
        """The name, or with a number where another file has it."""
        stem, suffix, taken = Path(name).stem, Path(name).suffix, {*self._kept.values()}
        names = chain([name], (f"{stem}-{number}{suffix}" for number in count(2)))
        return next(it for it in names if it not in taken)

    def _forget(self, name: str) -> None:
        """Delete a photograph that was dropped."""
        (self._photographs / name).unlink(missing_ok=True)
        self._kept = {content: kept for content, kept in self._kept.items() if kept != name}

    def cancel(self) -> None:
        """Forget the files that wait; what is being read is read to its end."""
        for file in self._waiting:
            self._forget(file.name)
            del self.entries[file.name]
        self._waiting.clear()
        self.changed()

    def dismiss(self) -> None:
        """Forget the files that could not be read."""
        self.entries = {name: entry for name, entry in self.entries.items() if entry.state != "failed"}
        self.changed()

    def remove(self, name: str) -> None:
        """Remove a photograph and its cells."""
        entry = self.entries.pop(name)
        if entry.called:
            sheet = entry.called.sheet
            for file in [name] if sheet.is_photograph else [Path(image).name for image in sheet.table.image]:
                self._forget(file)
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
            self._forget(name)
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


def clean_name(name: str) -> str:
    """A file's name without folders, and without what a file system or a page would stumble over."""
    name = PureWindowsPath(name.replace("/", "\\")).name
    name = re.sub(r"[^\w.()+ -]", "_", name.encode(errors="ignore").decode()).strip(". ") or "photograph"
    name += "_" if name.startswith("crops-") and "." not in name else ""  # the sheets of crops are called so
    return Path(name).stem[:NAME] + Path(name).suffix[:10]
