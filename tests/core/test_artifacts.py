"""An artifact is complete or not there, and a failed write names it."""

import errno
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from malaria.core.artifacts import atomic_write, write_array, write_csv, write_json


def test_a_file_appears_when_it_is_complete_in_a_folder_that_is_made(tmp_path: Path) -> None:
    path = tmp_path / "a/b/file"
    with atomic_write(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
    assert [found.read_text() for found in path.parent.iterdir()] == ["new"]


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "full"), OSError(errno.EACCES, "denied", "other"), KeyboardInterrupt(), SystemExit(1)],
    ids=repr,
)
def test_a_failure_leaves_the_file_as_it_was(error: BaseException, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(type(error)):
        write_half(path, error)
    assert [found.read_text() for found in tmp_path.iterdir()] == ["old"]
    if isinstance(error, OSError):
        assert error.filename == (str(path) if error.errno == errno.ENOSPC else "other")


def write_half(path: Path, error: BaseException) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text("ne")
        raise error


def test_a_full_disk_is_told_by_the_name_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "file.tmp").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as refused:
        write_json(tmp_path / "file", [1])
    assert refused.value.filename == str(tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


def test_the_same_content_is_the_same_bytes(tmp_path: Path) -> None:
    write_csv(tmp_path / "table.csv", pd.DataFrame({"name": ["é"], "value": [1 / 3], "none": [None]}, index=[7]))
    assert (tmp_path / "table.csv").read_bytes() == "name,value,none\né,0.333333,\n".encode()
    write_json(tmp_path / "tree.json", {"b": 1, "a": None})
    assert (tmp_path / "tree.json").read_bytes() == b'{\n  "b": 1,\n  "a": null\n}\n'
    write_array(tmp_path / "array.npy", np.arange(3, dtype=np.uint8))
    assert np.load(tmp_path / "array.npy").tolist() == [0, 1, 2]


def test_nan_in_json_and_pickles_in_arrays_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nan"):
        write_json(tmp_path / "tree.json", {"loss": float("nan")})
    with pytest.raises(ValueError, match="Object arrays"):
        write_array(tmp_path / "array.npy", np.array([{}]))
    assert list(tmp_path.iterdir()) == []
