"""Reading what an earlier stage has written: a file that is gone, damaged or another's ends in one message."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

from malaria.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    Mapped = np.memmap[tuple[int, ...], np.dtype[np.uint8]]

MODEL_FILES = WEIGHTS, CARD = "model.safetensors", "model.json"  # in models/, and in any other folder of a model
SPLIT_COLUMNS = ("name", "label", "patient", "smear", "split")
PREDICTION_COLUMNS = ("name", "patient", "label", "split", "logit", "probability", "unlikeness")

# DVC (3.67.1) believes an object of its cache that is read-only or has the time it remembers, so a bit that rots there
# is linked again and again, even over what a stage made anew. One that can be written to and is newer, it looks into.
MEND = (
    "`uv run dvc repro` brings it back, or makes it anew; "
    "should that not help, `find .dvc/cache/files -type f -exec chmod u+w {} + -exec touch {} +` first, and DVC checks "
    "its cache too"
)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Whatever is found wrong with an out in here becomes the one message for it.

    Raises:
        UserError: naming the file, what is wrong with it, and what mends it.
    """
    try:
        yield
    except FileNotFoundError:
        raise UserError(f"{path}: not there. {MEND}") from None
    except (ValueError, EOFError, BadZipFile) as error:  # pandas', json's and numpy's are ValueErrors too
        raise UserError(f"{path}: damaged, or not what its stage writes: {error}. {MEND}") from None


def read_table(path: Path, columns: Sequence[str] = ()) -> "pd.DataFrame":
    """A CSV of an earlier stage that has these columns, if any are named, and in them a value in every row.

    Raises:
        UserError: it has not, or is no CSV; naming what is wrong and what mends it.
    """
    import pandas as pd  # half a second, which who only lists names need not wait for

    with reading(path):
        table = pd.read_csv(path)
        if columns:
            check_table(table, columns)
    return table


def check_table(table: "pd.DataFrame", columns: Sequence[str]) -> None:
    """The columns are there and full, and those that we know hold what they may.

    Raises:
        ValueError: in words, what is wrong.
    """
    if absent := [name for name in columns if name not in table]:
        raise ValueError(f"no column {', '.join(absent)}")
    if table.empty:
        raise ValueError("no rows")
    if empty := [name for name in columns if table[name].isna().any()]:
        row = int(table[empty[0]].isna().to_numpy().argmax())
        raise ValueError(f"nothing in column {empty[0]} of line {row + 2}")
    for name, allowed in (("label", {0, 1}), ("split", {"train", "val", "test"})):
        if name in columns and (others := set(table[name]) - allowed):
            raise ValueError(f"column {name} says {min(map(str, others))}")
    for name in ("logit", "probability"):
        if name in columns and not table[name].dtype.kind == "f":
            raise ValueError(f"column {name} is not of numbers")


def read_json(path: Path, keys: Sequence[str] = ()) -> Any:
    """What is in a JSON file of an earlier stage that has these keys at its top.

    Raises:
        UserError: it has not, or is no JSON; naming what is wrong and what mends it.
    """
    with reading(path):
        tree = json.loads(path.read_text("utf-8"))
        if absent := [key for key in keys if not isinstance(tree, dict) or key not in tree]:
            raise ValueError(f"no entry {', '.join(absent)}")
    return tree


def read_array(path: Path, mapped: bool = False) -> Any:
    """What is in a .npy file, or a map of it, read when it is looked at.

    Raises:
        UserError: it is no array, or shorter than its header says; naming what mends it.
    """
    import numpy as np

    with reading(path):
        try:
            array = np.load(path, mmap_mode="r" if mapped else None)
        except FileNotFoundError:
            raise
        except Exception as error:  # a flipped bit of the header may make anything of it
            raise ValueError(f"no whole NumPy array ({error})") from None
        if not isinstance(array, np.ndarray):
            raise ValueError("no NumPy array, but a zip")
    return array


def map_cells(path: Path, rows: int | None = None) -> "Mapped":
    """The cells of a cells.npy, (N, size, size, 3) uint8, mapped; as many as split.csv has rows, if that is given.

    Raises:
        UserError: it is no such array, or shorter than its header says; naming what mends it.
    """
    cells: Mapped = read_array(path, mapped=True)
    with reading(path):
        size = cells.shape[1] if cells.ndim == 4 else 0
        if cells.dtype != "uint8" or not cells.size or cells.shape[1:] != (size, size, 3):
            raise ValueError(f"an array of {cells.dtype} {cells.shape}, not of uint8 (N, size, size, 3)")
        if rows not in (None, len(cells)):
            raise ValueError(f"it has {len(cells)} cells and data/split.csv {rows}")
        if not cells.flags.c_contiguous:
            raise ValueError("an array in the order of Fortran")
    return cells
