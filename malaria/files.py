"""Writing files: the same content is the same bytes on every platform, and whole or not at all."""

import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A file to write beside its place, which it takes when the block ends well; else it goes, and nothing changes.

    Raises:
        OSError: naming the place even where the system names none, as for a disk that is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".tmp")
    try:
        yield unfinished
        with unfinished.open("r+b") as file:
            os.fsync(file.fileno())  # or after a power cut the new name may be that of an empty file
        unfinished.replace(path)
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
    finally:
        unfinished.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """In place of what was there; its folder is made if need be."""
    with whole(path) as unfinished:
        unfinished.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """UTF-8, with the line ends as they are in the text."""
    write_bytes(path, text.encode())


def write_array(path: Path, array: "npt.NDArray[Any]") -> None:
    """As .npy."""
    import numpy as np  # here, since those that only write text should start at once

    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    write_bytes(path, buffer.getvalue())


def write_csv(path: Path, table: "pd.DataFrame") -> None:
    """Without the index; floats to six digits."""
    write_text(path, table.to_csv(index=False, float_format="%.6g", lineterminator="\n"))


def write_json(path: Path, tree: dict[str, Any]) -> None:
    """Sorted by key and indented, for people and for Git; NaN is refused."""
    write_text(path, json.dumps(tree, indent=2, sort_keys=True, allow_nan=False) + "\n")
