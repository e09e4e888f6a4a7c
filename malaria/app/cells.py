"""Predict image files, each with two pictures: the original and its saliency map."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from malaria.data.decode import read_image, to_rgb, to_square
from malaria.evaluation.metrics import Array
from malaria.predict.classifier import Classifier
from malaria.report.pictures import embed, overlay, shrink

LARGE = 512  # px a side, kept of a picture until its saliency map is laid over it


@dataclass(frozen=True)
class Cell:
    """A predicted image: probability, scores of the OOD statistics (9,), and two pictures as data URIs."""

    name: str
    probability: float
    scores: Array
    picture: str
    saliency: str | None


def predict_named(classifier: Classifier, named: Sequence[tuple[str, bytes]]) -> tuple[list[Cell], list[str]]:
    """The cells of image files, (name, content) each, and a line for each file that cannot be read."""
    names, images, squares, broken = [], [], [], []
    for name, data in named:
        try:
            image = read_image(data)
            squares.append(to_square(image, classifier.card.size, classifier.card.fit))
            image = to_rgb(image)
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
        maps = [embed(overlay(image, saliency, classifier.card.fit)) for image, saliency in pairs]
    pictures = [embed(shrink(image)) for image in images]
    return list(map(Cell, names, probability, scores, pictures, maps)), broken
