"""Atomic writes: a file appears complete or not at all, and the same content is the same bytes on every platform."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it replaces `path` when the block succeeds, and is removed when it fails.

    Raises:
        OSError: with `filename` set, also where the system gives none, as for a full disk.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    try:
        yield temporary
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())  # else a power cut may leave an empty file under the new name
        temporary.replace(path)
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Replace the file, and create its folder if need be."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """UTF-8, line ends as they are in `text`."""
    write_bytes(path, text.encode())


def write_array(path: Path, array: npt.NDArray[Any]) -> None:
    """A .npy file."""
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Without the index, floats with six significant digits."""
    write_text(path, table.to_csv(index=False, float_format="%.6g", lineterminator="\n"))


def write_json(path: Path, content: Any) -> None:
    """Indented, keys in the order given.

    Raises:
        ValueError: a number is NaN or infinite, which JSON lacks.
    """
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")
