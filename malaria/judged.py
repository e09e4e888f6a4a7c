"""Image files judged one for one, each with two pictures: as it came, and where the network sees a parasite."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from malaria.classifier import Classifier
from malaria.images import read_image, to_rgb, to_square
from malaria.metrics import Array
from malaria.pictures import embed, lay_over, shrink

LARGE = 512  # px a side, kept of a picture until its evidence is laid over it


@dataclass(frozen=True)
class Cell:
    """An image that was judged: what the network said, and two pictures as data URIs."""

    name: str
    probability: float
    deviations: Array
    picture: str
    evidence: str | None


def judge_files(classifier: Classifier, named: Sequence[tuple[str, bytes]]) -> tuple[list[Cell], list[str]]:
    """The cells of image files, and a line for each file that is none."""
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
    probability, deviations = classifier.score(cells)
    evidence: list[str | None] = [None] * len(names)
    if classifier.explain:
        maps = classifier.explain(cells)
        pairs = zip(images, maps, strict=True)
        evidence = [embed(lay_over(image, heat, classifier.card.fit)) for image, heat in pairs]
    pictures = [embed(shrink(image)) for image in images]
    return list(map(Cell, names, probability, deviations, pictures, evidence)), broken
