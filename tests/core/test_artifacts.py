"""A file is written whole or not at all, and who could not write it says which."""

import errno
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from malaria.core.artifacts import whole, write_array, write_csv, write_json


def test_what_is_whole_takes_its_place_in_a_folder_that_is_made(tmp_path: Path) -> None:
    place = tmp_path / "a/b/file"
    with whole(place) as unfinished:
        unfinished.write_text("new")
        assert not place.exists()
    assert [path.read_text() for path in place.parent.iterdir()] == ["new"]


@pytest.mark.parametrize("named", [None, "other"])
def test_a_block_that_fails_leaves_what_was_there(named: str | None, tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_text("old")
    with pytest.raises(OSError, match="full") as raised:
        _write_half(place, OSError(errno.ENOSPC, "the disk is full", named))
    assert raised.value.filename == (named or str(place))
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def _write_half(place: Path, error: OSError) -> None:
    with whole(place) as unfinished:
        unfinished.write_text("ne")
        raise error


def test_the_same_content_is_the_same_bytes(tmp_path: Path) -> None:
    write_csv(tmp_path / "table.csv", pd.DataFrame({"name": ["é"], "value": [1 / 3], "none": [None]}, index=[7]))
    assert (tmp_path / "table.csv").read_bytes() == "name,value,none\né,0.333333,\n".encode()
    write_json(tmp_path / "tree.json", {"b": 1, "a": None})
    assert (tmp_path / "tree.json").read_bytes() == b'{\n  "a": null,\n  "b": 1\n}\n'
    write_array(tmp_path / "array.npy", np.arange(3, dtype=np.uint8))
    assert np.load(tmp_path / "array.npy").tolist() == [0, 1, 2]


def test_what_a_reader_could_not_understand_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nan"):
        write_json(tmp_path / "tree.json", {"loss": float("nan")})
    with pytest.raises(ValueError, match="Object arrays"):
        write_array(tmp_path / "array.npy", np.array([{}]))
    assert list(tmp_path.iterdir()) == []
