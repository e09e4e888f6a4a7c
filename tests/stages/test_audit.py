"""The audit stage lists near-duplicates, those in two splits first."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from malaria.core.artifacts import write_array, write_csv
from malaria.data.decode import to_square
from malaria.data.duplicates import LIMIT
from malaria.params import Params
from malaria.sources.nih import make_index
from stages.audit import main
from tests.support.param_fields import changed


def test_a_near_duplicate_in_two_splits_is_listed(
    drawn: list[tuple[str, bytes]], workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = [Image.open(io.BytesIO(data)).convert("RGB") for _, data in drawn]
    brighter = images[3].point(lambda value: min(255, round(value * 1.1)))
    images[200] = brighter.resize([round(side * 1.2) for side in brighter.size])
    write_array(Path("data/cells.npy"), np.stack([to_square(image, 32, "stretch") for image in images]))
    split = make_index(name for name, _ in drawn).assign(split="train")
    split.loc[200, "split"] = "test"
    write_csv(Path("data/split.csv"), split)
    main(Params.model_validate(changed({})))
    (row,) = pd.read_csv("plots/duplicates.csv").itertuples()
    assert (row.name, row.other, row.split, row.other_split) == (drawn[3][0], drawn[200][0], "train", "test")
    assert 0 <= row.distance <= LIMIT
    assert drawn[3][0] in capsys.readouterr().out


def test_cells_that_are_dropped_have_no_duplicates(drawn: list[tuple[str, bytes]], workspace: Path) -> None:
    cell = to_square(Image.open(io.BytesIO(drawn[3][1])).convert("RGB"), 32, "stretch")
    write_array(Path("data/cells.npy"), np.stack([cell] * 3))
    index = make_index(name for name, _ in drawn[:3])
    write_csv(Path("data/split.csv"), index.assign(split=["train", "dropped", "test"]))
    main(Params.model_validate(changed({})))
    (row,) = pd.read_csv("plots/duplicates.csv").itertuples()
    assert (row.split, row.other_split) == ("train", "test")
