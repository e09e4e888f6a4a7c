"""Predict any number of images, in memory that does not grow with their number."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import pandas as pd

from malaria.data.image_files import ImageFile
from malaria.predict.classifier import Classifier
from malaria.smear.files import Decoded, Form, decode_files


def predict_files(
    files: Iterable[ImageFile],
    classifier: Classifier,
    threshold: float | None,
    workers: int,
    form: Form = "auto",
) -> Iterator[Decoded]:
    """Predict images in their order, a photograph or some crops at a time.

    Yields what was decoded, the columns of `Classifier.decide` added to its table.
    """
    for decoded in decode_files(files, classifier.card.preprocess, workers, form):
        calls = classifier.predict_cells(decoded.cells, threshold)
        yield replace(decoded, table=pd.concat([decoded.table, calls], axis=1))
