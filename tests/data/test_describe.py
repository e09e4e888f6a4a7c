"""What is said of cells follows from their source, and counts patients only where they are known."""

import pandas as pd
import pytest

from malaria.data.describe import NIH_SHA256, count_cells, describe_data, identify_data
from malaria.data.index import COLUMNS
from malaria.params import Download, load_params
from tests.support.scratch import ROOT

CELLS = [("a.png", 0, "P1"), ("b.png", 1, "P1"), ("c.png", 1, "P2")]
INDEX = pd.DataFrame(CELLS, columns=COLUMNS)


def download(**changes: object) -> Download:
    return load_params(ROOT / "params.yaml").download.model_copy(update=changes)


@pytest.mark.parametrize(
    ("source", "sha256", "expected"),
    [
        ("nih", NIH_SHA256, "nih"),
        ("nih", "0" * 64, "other"),  # a lab's cells, through MALARIA_CELLS
        ("nih", None, "other"),  # not checked
        ("synthetic", NIH_SHA256, "synthetic"),
        ("own", NIH_SHA256, "own"),
    ],
)
def test_data_are_identified_by_source_and_content(source: str, sha256: str | None, expected: str) -> None:
    changed = download(source=source, sha256=sha256, path="my/cells")
    assert identify_data(changed) == expected
    text = describe_data(changed, INDEX)
    assert "3 cells of 2 patients" in text
    assert ("NIH" in text) == (expected == "nih")
    assert ("synthetic" in text) == (expected == "synthetic")
    assert ("my/cells" in text) == (expected == "own")


def test_only_known_patients_are_counted() -> None:
    photos = INDEX.assign(patient=["1.jpg", "1.jpg", "2.jpg"], photo=["1.jpg", "1.jpg", "2.jpg"])
    assert "3 cells of 2 photographs" in describe_data(download(), photos)
    unknown = describe_data(download(), INDEX.assign(patient=INDEX.name))
    assert "3 cells" in unknown
    assert "unknown" in unknown


def test_numbers_are_grouped_and_agree_with_their_nouns() -> None:
    assert count_cells(27558, 200, "patient") == "27,558 cells of 200 patients"
    assert count_cells(1, 1, "photo") == "1 cell of 1 photograph"
