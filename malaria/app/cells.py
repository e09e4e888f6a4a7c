"""Predict image files, each with two pictures: the original and its saliency map."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from malaria.data.decode import read_image, to_rgb
from malaria.evaluation.metrics import Array
from malaria.predict.classifier import Classifier
from malaria.report.pictures import embed, overlay, shrink
from malaria.smear.crops import decode

LARGE = 512  # px a side, kept of a picture until its saliency map is laid over it


@dataclass(frozen=True)
class Cell:
    """A predicted image: probability, scores of the OOD statistics (8,), and two pictures as data URIs."""

    name: str
    probability: float
    scores: Array
    picture: str
    saliency: str | None


def predict_named(classifier: Classifier, named: Sequence[tuple[str, bytes]]) -> tuple[list[Cell], list[str]]:
    """The cells of image files, (name, content) each, and a line for each file that cannot be read."""
    how, names, images, squares, broken = classifier.card.preprocess, [], [], [], []
    for name, data in named:
        try:
            squares.append(decode(data, how))
            image = to_rgb(read_image(data))
            image.thumbnail((LARGE, LARGE))
            images.append(image)
            names.append(name)
        except ValueError as error:
            broken.append(f"{name}: {error}")
    if not names:
        return [], broken
    cells = np.stack(squares)
    probability, scores = classifier.score(cells)
    maps: list[str | None] = [None] * len(names)
    if classifier.explain:
        pairs = zip(images, classifier.explain(cells), strict=True)
        maps = [embed(overlay(image, saliency, how)) for image, saliency in pairs]
    pictures = [embed(shrink(image)) for image in images]
    return list(map(Cell, names, probability, scores, pictures, maps)), broken
