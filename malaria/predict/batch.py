"""Predict any number of images, in memory that does not grow with their number."""

from collections.abc import Iterable, Iterator

import pandas as pd

from malaria.data.image_files import ImageFile
from malaria.predict.classifier import Classifier
from malaria.smear.files import decode_files


def predict_files(
    files: Iterable[ImageFile], classifier: Classifier, threshold: float | None, workers: int
) -> Iterator[tuple[pd.DataFrame, list[str]]]:
    """Predict images in their order, a chunk at a time.

    Yields a table, image and the columns of `Classifier.decide`, and a line for each image that could not be read.
    """
    for decoded in decode_files(files, classifier.card.preprocess, workers):
        table = classifier.predict_cells(decoded.cells, threshold)
        table.insert(0, "image", decoded.names)
        yield table, decoded.broken
