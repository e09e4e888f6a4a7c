"""A photograph with its cells outlined, to zoom and to pan: Leaflet, of which NiceGUI has a copy."""

from collections.abc import Callable, Sequence
from typing import Any

from nicegui import ui
from nicegui.events import GenericEventArguments

from malaria.lab.sheets import Points
from malaria.slide.overlay import STYLES

PIXELS_JS = "/static/pixels.js"  # as `page` serves malaria/app/static
AROUND = 3.0  # times its box are shown of a cell that is labelled, so that its neighbours are seen
ASKED = {"color": "#000000", "weight": 4, "fill": False, "className": "asked"}

Box = tuple[float, float, float, float]  # x, y, width, height, px


class CellMap:
    """The map, and what is on it. A cell is known by its place in the outlines that were given."""

    def __init__(self, on_click: Callable[[float, float], Any]) -> None:
        options = {"minZoom": -6, "maxZoom": 4, "zoomSnap": 0.25, "attributionControl": False, "scrollWheelZoom": False}
        self.map = ui.leaflet(zoom=-3, options=options, additional_resources=[PIXELS_JS])
        self.map.classes("map").props('aria-label="The photograph; arrow keys move it, + and - zoom"')
        self.map.clear_layers()  # NiceGUI's first layer are the tiles of openstreetmap.org
        self.map.on("map-click", lambda event: on_click(*self._place(event)))
        self.outlines: list[Any] = []
        self.asked: Any = None
        self.shown = ""
        self.corners: Any = None
        self.map.on("init", self._move)
        self.map.on("map-resize", self._move)  # as when it was hidden before

    @staticmethod
    def _place(event: GenericEventArguments) -> tuple[float, float]:
        """Where a click was, px from the upper left."""
        return event.args["latlng"]["lng"], -event.args["latlng"]["lat"]

    def show(self, url: str, size: tuple[int, int]) -> None:
        """Show a picture without outlines."""
        self.map.clear_layers()
        self.outlines, self.asked, self.shown = [], None, url
        width, height = size
        self.map.image_overlay(url=url, bounds=[[-height, 0], [0, width]])

    def outline(self, outlines: Sequence[Points], decisions: Sequence[str], labelled: Sequence[bool]) -> None:
        """Outline cells as they were decided, those that a person labelled with a fill."""
        styles = [_style(decision, own) for decision, own in zip(decisions, labelled, strict=True)]
        if len(self.outlines) == len(styles):
            for layer, style in zip(self.outlines, styles, strict=True):
                if layer.args[1] != style:
                    layer.args[1] = style
                    layer.run_method("setStyle", style)
            return
        self.outlines = [
            self.map.generic_layer(name="polygon", args=[[[-y, x] for x, y in points], style])
            for points, style in zip(outlines, styles, strict=True)
        ]

    def ask(self, points: Points, box: Box) -> None:
        """Mark one cell, alone, and go there."""
        for layer in self.outlines:
            self.map.remove_layer(layer)
        self.outlines = []
        self.unmark()
        self.asked = self.map.generic_layer(name="polygon", args=[[[-y, x] for x, y in points], ASKED])
        self.go_to(box)

    def mark(self, points: Points) -> None:
        """Mark one cell among the others."""
        self.unmark()
        self.asked = self.map.generic_layer(name="polygon", args=[[[-y, x] for x, y in points], ASKED])

    def unmark(self) -> None:
        if self.asked:
            self.map.remove_layer(self.asked)
        self.asked = None

    def go_to(self, box: Box) -> None:
        """Show a cell and its neighbours."""
        x, y, width, height = box
        side = AROUND * max(width, height) / 2
        self.fit((x + width / 2 - side, y + height / 2 - side, 2 * side, 2 * side))

    def scroll_to(self) -> None:
        """Bring the map into the window."""
        ui.run_javascript(f'getHtmlElement({self.map.id}).scrollIntoView({{block: "nearest"}})')

    def fit(self, box: Box) -> None:
        """Show a part of the picture, as large as it can be."""
        x, y, width, height = box
        self.corners = [[-y - height, x], [-y, x + width]]
        self._move()

    def _move(self) -> None:
        if self.corners:
            self.map.run_map_method("fitBounds", self.corners, {"animate": False})


def _style(decision: str, labelled: bool) -> dict[str, Any]:
    """How Leaflet draws the outline of a cell, as `malaria predict --overlay` does."""
    style = STYLES[decision]
    return {
        "color": "#{:02x}{:02x}{:02x}".format(*style.color),
        "weight": 1.5 if style.width < 0.05 else 3,
        "dashArray": " ".join(str(4 * part) for part in style.dash) if style.dash else None,
        "fill": True,  # else a click inside is not on it
        "fillOpacity": 0.25 if labelled else 0.0,
        "className": f"cell {decision.replace(' ', '-')}",
    }
