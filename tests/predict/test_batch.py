"""Images are predicted in their order, in memory that does not grow with their number."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from malaria import load_model
from malaria.data.image_files import ImageFile
from malaria.predict.batch import predict_files
from malaria.predict.classifier import Classifier
from malaria.smear.archive import decode_archive
from malaria.smear.files import CHUNK
from tests.support.models import make_model


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    return load_model(make_model(tmp_path_factory.mktemp("model"), temperature=1e-3))


def test_many_images_are_predicted_in_order_as_evaluation_sees_them(
    drawn: list[tuple[str, bytes]], archive: Path, classifier: Classifier, tmp_path: Path
) -> None:
    """By several processes, with one that is not there among them."""
    names = [name for name, _ in drawn]
    list(decode_archive(archive, names, tmp_path / "cells.npy", classifier.card.preprocess, 1))
    expected = classifier.predict_cells(np.load(tmp_path / "cells.npy")).assign(image=[f"{archive}/{n}" for n in names])
    wanted = [*names[:200], "missing.png", *names[200:], *names]
    parts = list(predict_files((ImageFile(str(archive), name) for name in wanted), classifier, None, workers=2))
    assert [len(part.table) + len(part.broken) for part in parts] == [part.images for part in parts]
    assert sum(part.images for part in parts) == len(wanted)
    assert max(part.images for part in parts) <= CHUNK
    table = pd.concat([part.table for part in parts], ignore_index=True)
    pd.testing.assert_frame_equal(
        table[expected.columns], pd.concat([expected, expected], ignore_index=True), atol=2e-5, rtol=0
    )
    (line,) = [line for part in parts for line in part.broken]
    assert line.startswith(f"{archive}/missing.png: ")


def test_images_are_read_no_further_ahead_than_a_few_chunks(classifier: Classifier) -> None:
    taken = itertools.count()

    def endless() -> Iterator[ImageFile]:
        for _ in taken:
            yield ImageFile("none.png")

    parts = predict_files(endless(), classifier, None, workers=2)
    assert len(next(parts).broken) == CHUNK
    assert next(taken) <= 12 * CHUNK
    parts.close()  # type: ignore[attr-defined]
