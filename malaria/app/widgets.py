"""Small parts of the page. Text that somebody else chose never goes through HTML."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement
from nicegui.events import KeyEventArguments

from malaria.lab.counts import Count


def text(tag: str, content: str) -> TextElement:
    """An element with text."""
    return TextElement(tag=tag, text=content)


def button(label: str, on_click: Any) -> ui.button:
    """A button, outlined."""
    return ui.button(label, on_click=on_click).props("outline no-caps")


def bind_keys(actions: Mapping[str, Callable[[], Any]]) -> None:
    """Call an action when its key is pressed, without Ctrl, Alt or Meta, and outside of fields to write in."""

    def press(event: KeyEventArguments) -> None:
        modified = event.modifiers.ctrl or event.modifiers.alt or event.modifiers.meta
        action = actions.get(str(event.key.name).lower())
        if event.action.keydown and not modified and action:
            action()

    ui.keyboard(press, repeating=False, ignore=["input", "select", "textarea"])


def percent(share: float) -> str:
    """As 2.3 %, with two digits."""
    if math.isnan(share):
        return "n/a"
    value = 100 * share
    digits = 0 if value >= 10 or value == 0 else min(3, 1 - math.floor(math.log10(value)))
    return f"{value:.{digits}f} %"


def interval(low: float, high: float) -> str:
    """As 1.1 to 4.0 %."""
    return f"{percent(low).removesuffix(' %')} to {percent(high)}"


def describe_parasitemia(count: Count) -> str:
    """The parasitemia with its interval, or what it is below where that begins at 0."""
    found = count.parasitemia
    if found is None:
        return "not for crops"
    if math.isnan(found.parasitemia):
        return "n/a"
    if found.low == 0:
        return f"below {percent(found.high)}"
    return f"{percent(found.parasitemia)} ({interval(found.low, found.high)})"


def plural(number: int, name: str) -> str:
    """As 1 cell, 2 cells."""
    return f"{number:,} {name}{'' if number == 1 else 's'}"
