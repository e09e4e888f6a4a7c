"""The page in one browser tab: what its panels share. All tabs show the same `Lab`, each with a reader of its own."""

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np

from malaria.app.cell_map import Box, CellMap
from malaria.core.errors import UserError
from malaria.lab.counts import name_styles
from malaria.lab.lab import Lab
from malaria.lab.sheets import Called
from malaria.labelling.labels import Chosen

MAX_PROBLEMS = 50  # shown


class Asked(NamedTuple):
    """A cell to be labelled, and how it was chosen: active, random or clicked."""

    name: str
    row: int
    chosen: Chosen


class Tab:
    """The reader, the photograph that is shown, and problems. `refresh` is called after each change."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.reader = "reader-1"
        self.name = ""  # of the entry that is shown
        self.problems: deque[str] = deque(maxlen=MAX_PROBLEMS)
        self.map: CellMap
        self.refresh: Callable[[], None]
        self.on_pick: Callable[[str, int], None]  # a cell was clicked
        self.on_open: Callable[[], None]  # another photograph is shown

    # Problems

    def report(self, line: str) -> None:
        """Show a problem."""
        self.problems.appendleft(line)
        self.refresh()

    def attempt(self, action: Callable[[], Any]) -> None:
        """Do something, and show what a user can mend of what went wrong."""
        try:
            action()
        except (UserError, ValueError, OSError) as error:
            self.report(str(error))

    def set_reader(self, name: str) -> None:
        """Go on as another reader.

        Raises:
            UserError: the name is none, or the labels cannot be read.
        """
        self.lab.labels(name)
        self.reader = name
        self.lab.changed()

    # The photograph

    @property
    def called(self) -> Called | None:
        """The entry that is shown."""
        entry = self.lab.entries.get(self.name)
        return entry.called if entry else None

    def open(self, name: str) -> None:
        """Show another entry, with its calls."""
        if name in self.lab.entries:
            self.name = name
            self.on_open()
            self.show_photograph(fit=True)
            self.map.scroll_to()
            self.refresh()

    def show_photograph(self, fit: bool = False) -> None:
        """The picture and its cells with their calls; nothing where there is none."""
        called = self.called
        if called is None:
            return
        self._show_picture(called)
        cells = self.lab.decided(self.lab.entries[self.name], self.reader)
        self.map.outline(called.sheet.outlines, name_styles(cells), (cells.label != "").tolist())
        if fit:
            self.map.fit(self._surround(called))

    def _show_picture(self, called: Called) -> None:
        # the number of cells: a sheet of crops grows
        url = f"/view/{quote(self.name)}?{len(called.sheet.table)}"
        if self.map.shown != url:
            self.map.show(url, called.sheet.size)

    def ask(self, asked: Asked) -> None:
        """Show a cell, alone and without calls, to be labelled."""
        self.name = asked.name
        called = self.called
        if called:
            self._show_picture(called)
            self.map.ask(called.sheet.outlines[asked.row], self._box(called, asked.row))
            self.refresh()

    def go_to(self, asked: Asked) -> None:
        """Show a cell among the others."""
        self.name = asked.name
        self.show_photograph()
        if called := self.called:
            self.map.mark(called.sheet.outlines[asked.row])
            self.map.go_to(self._box(called, asked.row))
            self.refresh()

    @staticmethod
    def _surround(called: Called) -> Box:
        """The box around all cells: a round field fills but half of a photograph, the rest is black."""
        cells = called.sheet.table
        if cells.empty:
            return 0, 0, *called.sheet.size
        left, top = float(cells.x.min()), float(cells.y.min())
        right, bottom = float((cells.x + cells.width).max()), float((cells.y + cells.height).max())
        return left, top, right - left, bottom - top

    @staticmethod
    def _box(called: Called, row: int) -> Box:
        cell = called.sheet.table.iloc[row]
        return float(cell.x), float(cell.y), float(cell.width), float(cell.height)

    def click(self, x: float, y: float) -> None:
        """Pick the cell in whose box a click was, the nearest of several."""
        if (called := self.called) is None:
            return
        cells = called.sheet.table
        away = np.hypot(cells.x + cells.width / 2 - x, cells.y + cells.height / 2 - y)
        inside = (cells.x <= x) & (x <= cells.x + cells.width) & (cells.y <= y) & (y <= cells.y + cells.height)
        if inside.any():
            row = int(np.argmin(np.where(inside, away, np.inf)))
            self.map.mark(called.sheet.outlines[row])
            self.on_pick(self.name, row)
