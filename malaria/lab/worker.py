"""What the page leaves to a process of its own, so that it answers meanwhile: reading files, calling cells, adapting.

It alone imports torch. Its functions take and return plain data, and keep nothing but the model that was used last.
"""

import re
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from malaria.core.artifacts import write_text
from malaria.core.errors import UserError
from malaria.data.decode import Pixels
from malaria.data.image_files import ImageFile
from malaria.data.index import CLASSES
from malaria.evaluation.metrics import Array
from malaria.evaluation.model_card import ModelCard, read_card
from malaria.lab.reading import add_crops, find_problems, read_file, write_photograph
from malaria.lab.sheets import Called, Model, Read, Sheet, read_pixels, read_sheet
from malaria.model.dataset import to_floats
from malaria.model.hardware import prepare
from malaria.model.network import find_head
from malaria.model.weights import CARD
from malaria.predict.adapt import adapt, find_replay, read_base, write_adapted
from malaria.predict.batch import predict_files
from malaria.predict.classifier import Classifier
from malaria.predict.labelled import read_labelled
from malaria.predict.load import as_classifier, load_model, load_scorer
from malaria.report.pictures import embed, overlay
from malaria.slide.exports import Exports
from malaria.slide.page import choose_side, render_slide
from malaria.slide.parasitemia import RED_CELLS
from malaria.slide.photographs import reopen
from malaria.slide.summary import Slide

CELLS, SPLIT = Path("data/cells.npy"), Path("data/split.csv")
_BATCH = 128  # cells a forward pass


def open_model(source: str) -> Model:
    """Load a model.

    Raises:
        UserError: there is no such model.
    """
    prepare(seed=0)
    return describe_model(_load(source)[0].card)


def read_adapted(folder: Path) -> dict[str, Model]:
    """The adapted models in a folder, by number."""
    cards = {it.parent.name: it for it in folder.glob(f"*/{CARD}") if it.parent.name.isdecimal()}
    return {name: describe_model(read_card(path.read_bytes())) for name, path in cards.items()}


def describe_model(card: ModelCard) -> Model:
    """What the page needs of a card."""
    rates = card.error_rates.at(card.threshold) if card.error_rates else (None, None)
    shown = f"{card.arch} on {card.size} x {card.size} px, {card.parameters:,} parameters"
    adaptation = card.adaptation
    labels, metrics = (adaptation.cells, adaptation.metrics) if adaptation else (0, {})
    return Model(card.trained_on, shown, card.threshold, rates, card.caution, labels, metrics)


@lru_cache(maxsize=1)
def _load(source: str) -> tuple[Classifier, nn.Module | None]:
    """The classifier, and its network where it runs in torch."""
    if source.endswith(".onnx"):
        return load_model(source), None
    scorer, card = load_scorer(source)
    return as_classifier(scorer, card), scorer.network


def read_files(files: Sequence[Path], cells: Path, crops: str, source: str) -> Read:
    """Read files: a folder in `cells` for each photograph, and the one called `crops` for all that are of one cell."""
    how = _load(source)[0].card.preprocess
    called, broken = [], {}
    squares: list[tuple[Path, Pixels]] = []
    for file in files:
        try:
            content = read_file(file, how)
        except (ValueError, OSError) as error:
            broken[file.name] = str(error)
            continue
        if isinstance(content, Image.Image):
            called.append(_call(write_photograph(content, cells / file.name, how), cells / file.name, source))
        else:
            squares.append((file, content))
    if squares:
        sheet = add_crops([file for file, _ in squares], [cell for _, cell in squares], cells / crops, how)
        called.append(_call(sheet, cells / crops, source))
    return Read(called, broken)


def call_sheet(folder: Path, source: str) -> Called:
    """Call the cells of a sheet that was written before.

    Raises:
        ValueError, KeyError, OSError: it was not written to its end, or for models with another input.
    """
    sheet = read_sheet(folder)
    if sheet.how != _load(source)[0].card.preprocess.model_dump():
        raise ValueError("made for models with another input")
    return _call(sheet, folder, source)


def _call(sheet: Sheet, folder: Path, source: str) -> Called:
    classifier, network = _load(source)
    pixels = read_pixels(folder)
    calls = classifier.predict_cells(pixels)
    features = find_features(network, pixels) if network else calls[["probability"]].to_numpy()
    return Called(sheet, calls, features.astype(np.float16), find_problems(sheet, calls))


@torch.inference_mode()
def find_features(network: nn.Module, pixels: Pixels) -> Array:
    """The input of the network's last linear layer, (N, D)."""
    kept: list[Tensor] = []
    _, head = find_head(network)
    handle = head.register_forward_hook(lambda _, inputs, __: kept.append(inputs[0].cpu()))
    device = head.weight.device
    for batch in torch.split(torch.from_numpy(pixels), _BATCH):
        network(to_floats(batch.to(device)))
    handle.remove()
    return torch.cat(kept).numpy() if kept else np.zeros((0, head.in_features), np.float32)


def adapt_model(labels: Path, base: str, out: Path, seed: int = 0) -> None:
    """Adapt the base model to a reader's labels, and write the folder.

    Raises:
        UserError: the labels are too few, or of one class.
    """
    with tempfile.TemporaryDirectory() as folder:
        model = read_base(base)
        cells = read_labelled(labels, CLASSES, model.card.preprocess, Path(folder) / "cells.zip")
    adapted = adapt(model, cells, find_replay(CELLS, SPLIT, model, seed), seed)
    write_adapted(adapted, out)


def write_report(photographs: Sequence[Path], folder: Path, patient: str, source: str) -> None:
    """The report on a patient's slide and an overlay of each photograph, as `malaria smear-report` and `malaria predict
    --overlay` write them: of the model's calls alone."""
    classifier, _ = _load(source)
    card = classifier.card
    slide = Slide(card.threshold, choose_side(len(photographs)))
    exports = Exports(folder / "overlays", None)
    for part in predict_files([ImageFile(str(it)) for it in photographs], classifier, None, 1, "photo"):
        exports.add(part)
        slide.add(Path(str(part.file and part.file.name)).name, reopen(part))
    title = f"Malaria smear report: {patient}" if patient else "Malaria smear report"
    name = "slide-" + re.sub(r"[^\w.-]", "_", patient) if patient else "slide"
    write_text(folder / f"{name}.html", render_slide(slide, classifier, title, card.operating_point, RED_CELLS))


def explain_cell(folder: Path, row: int, source: str) -> str:
    """The saliency map of a cell over what the network sees of it, as a data URI.

    Raises:
        UserError: the model has none.
    """
    classifier, _ = _load(source)
    if classifier.explain is None:
        raise UserError("An ONNX model has no saliency maps.")
    pixels = read_pixels(folder)[row : row + 1]
    how = classifier.card.preprocess.model_copy(update={"mask": "none"})
    return embed(overlay(Image.fromarray(pixels[0]).resize((256, 256)), classifier.explain(pixels)[0], how))
