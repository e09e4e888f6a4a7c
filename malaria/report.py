"""The report: one HTML page that carries its pictures in itself and fetches nothing from anywhere."""

import base64
import io
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
from jinja2 import Environment, StrictUndefined
from matplotlib.figure import Figure
from PIL import Image

from malaria import pictures

CURVES = ("loss", "accuracy")
SHOWN = 24  # mistakes of a kind


def find_mistakes(predictions: pd.DataFrame, threshold: float) -> dict[str, pd.DataFrame]:
    """The cells of test that were called wrongly, by kind, the most confident first."""
    test = predictions[predictions.split == "test"].sort_values(["probability", "name"])
    called = test.probability >= threshold
    return {
        "False negatives": test[~called & (test.label == 1)],
        "False positives": test[called & (test.label == 0)][::-1],
    }


def read_history(folder: Path) -> pd.DataFrame:
    """What dvclive logged, a row an epoch: epoch, train/loss, train/accuracy, val/loss, val/accuracy."""
    curves = {f"{split}/{name}": folder / split / f"{name}.tsv" for split in ("train", "val") for name in CURVES}
    history = pd.DataFrame({key: pd.read_csv(path, sep="\t").iloc[:, 1] for key, path in curves.items()})
    return history.assign(epoch=history.index + 1)


def render_report(content: dict[str, Any], mistakes: dict[str, pd.DataFrame], archive: Path) -> str:
    """The page: the template filled with content, its figures as pictures, and the galleries of mistakes."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"figure": _embed_figure, "percent": _percent, "number": _number}
    template = environment.from_string((files("malaria") / "templates" / "report.html").read_text("utf-8"))
    galleries = {kind: (len(cells), _gallery(cells.head(SHOWN), archive)) for kind, cells in mistakes.items()}
    return template.render(content, galleries=galleries)


def _gallery(cells: pd.DataFrame, archive: Path) -> pd.DataFrame:
    """The cells with the file and the picture of each."""
    images = pictures.read_cells(archive, cells.name.tolist())
    files = [PurePosixPath(name).name for name in cells.name]
    return cells.assign(file=files, picture=[_embed_image(image) for image in images])


def _embed_image(image: Image.Image) -> str:
    """A picture as a data URI."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return _data_uri("image/png", buffer.getvalue())


def _embed_figure(figure: Figure) -> str:
    """A figure as a data URI: a picture, so that no script, font or id of it meets the page's."""
    return _data_uri("image/svg+xml", pictures.to_svg(figure))


def _data_uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _percent(value: float | None) -> str:
    """As 96.4 %; n/a where the figure is undefined."""
    return "n/a" if value is None else f"{value:.1%}".replace("%", " %")


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.4f}"
