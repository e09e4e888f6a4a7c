"""Cells that are in the data twice: the same pixels, or nearly the same.

Nearly the same is told by a difference hash (dHash): the cell as 16 rows of 17 greys, and a bit for each grey that is
brighter than the one before it. It stays nearly as it was when a picture is saved as JPEG, resized or made brighter.
The limit was set by NLM's cells: of their 380 million pairs none differs in fewer than 18 of the 256 bits, while of
copies of a cell as JPEG of quality 95, of half or 1.5 times its size, 10 % brighter or with noise of 2 in 255 at least
96 % differ in LIMIT or fewer. A shorter hash does not do: 29 pairs agree in all of 64 bits, 27 of them strangers.

What it does not find is a cell that was photographed twice: in two pictures of one field of a smear, it differs in 25
to 60 bits, as thousands of pairs of strangers do. NLM's data has dozens of these, all within a patient, which a split
by patient keeps on one side.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from malaria.images import Hashes, Pixels
from malaria.names import label

SIDE = 16  # rows of the hash, and bits in a row
SHOWN = 5  # pairs that a message names
LIMIT = 15  # of 256 bits, that two cells differ in to be called near-duplicates
WINDOW = 100  # cells that each is compared with, in a band: a million cells take 140 s on a core, NLM's 0.3
_CHUNK = 4096  # cells hashed at once
# Neighbouring bits say much the same, so a band takes bits from all over the cell: 101 and 256 have no common factor.
_ORDER = (np.arange(SIDE * SIDE) * 101) % (SIDE * SIDE)

Pairs = npt.NDArray[np.int64]  # (M, 2): the rows of two cells, the smaller first


def find_copies(hashes: Hashes, pixels: Pixels) -> Pairs:
    """The rows that have the same pixels as one before them, and that one; told by hashes (N,), then by the pixels."""
    order = np.argsort(hashes, kind="stable")
    firsts = order[np.searchsorted(hashes, hashes, sorter=order)]
    others = np.flatnonzero(firsts != np.arange(len(hashes)))
    same = [row for row in others if np.array_equal(pixels[firsts[row]], pixels[row])]
    return np.array([(firsts[row], row) for row in same], np.int64).reshape(-1, 2)


def refuse_contradictions(archive: Path, names: Sequence[str], copies: Pairs) -> None:
    """The same pixels under both labels: of one of them the label is wrong, and nobody knows of which.

    Raises:
        ValueError: naming the first pairs.
    """
    both = [pair for pair in copies.tolist() if label(names[pair[0]]) != label(names[pair[1]])]
    if both:
        raise ValueError(
            f"{len(both)} of the images in {archive} are in both classes, pixel for pixel: {_name(names, both)}. "
            "Remove those with the wrong label from what it was made from, and run `uv run dvc repro -f download`"
        )


def explain_copies(names: Sequence[str], copies: Pairs) -> str:
    """The end of a line, empty if there are none."""
    if not len(copies):
        return ""
    return f"; {len(copies)} the same as another, pixel for pixel: {_name(names, copies.tolist())}"


def _name(names: Sequence[str], pairs: list[list[int]]) -> str:
    shown = [" = ".join(names[row] for row in pair) for pair in pairs[:SHOWN]]
    return ", ".join(shown + [f"and {len(pairs) - SHOWN} more"] * (len(pairs) > SHOWN))


def hash_cells(pixels: Pixels) -> Hashes:
    """The difference hash of each cell, (N, 4), of (N, size, size, 3) uint8 of which a part is read at a time."""
    starts = range(0, len(pixels), _CHUNK)
    return np.concatenate([_hash(np.asarray(pixels[start : start + _CHUNK])) for start in starts])


def _hash(pixels: Pixels) -> Hashes:
    size = pixels.shape[1]
    rows, columns = (np.arange(parts + 1) * size // parts for parts in (SIDE, SIDE + 1))
    grey = pixels.sum(-1, dtype=np.uint32)
    sums = np.add.reduceat(np.add.reduceat(grey, rows[:-1], 1), columns[:-1], 2)
    greys = sums / np.diff(columns)  # by the width alone: only neighbours in a row are compared
    bits = (greys[:, :, 1:] > greys[:, :, :-1]).reshape(len(pixels), -1)
    return np.packbits(bits.take(_ORDER, axis=1), axis=1).view(np.uint64)


def find_near(hashes: Hashes) -> tuple[Pairs, npt.NDArray[np.int64]]:
    """The pairs of hashes (N, 4) that differ in LIMIT bits or fewer, and in how many.

    Of 16 bands of 16 bits such a pair has one in common, so only cells that share a band are compared, each with the
    WINDOW that come next when they are sorted by it, then by the following band. That bounds the work at 16 * WINDOW
    comparisons a cell. A pair may be missed where more cells than that share what it has in common.
    """
    bands = hashes.view(np.uint16).astype(np.uint32)
    found = [np.zeros((0, 3), np.int64)]
    for keys in ((bands << 16) | np.roll(bands, -1, axis=1)).T:
        order = np.argsort(keys, kind="stable")
        band, first = keys[order] >> 16, np.arange(len(keys))
        for step in range(1, WINDOW + 1):
            first = first[: np.searchsorted(first, len(keys) - step)]
            first = first[band[first] == band[first + step]]
            pairs = np.stack([order[first], order[first + step]], 1)
            bits = np.bitwise_count(hashes[pairs[:, 0]] ^ hashes[pairs[:, 1]]).sum(1, dtype=np.int64)
            near = bits <= LIMIT
            found.append(np.column_stack([np.sort(pairs[near], axis=1), bits[near]]))
    table = np.unique(np.concatenate(found), axis=0)
    return table[:, :2], table[:, 2]


def list_duplicates(pixels: Pixels, split: pd.DataFrame) -> pd.DataFrame:
    """The near-duplicates among the cells of split.csv, those across splits first; a row a pair.

    The columns are name, other, label, other_label, split, other_split and distance: the bits that differ, 0 to LIMIT.
    """
    pairs, distance = find_near(hash_cells(pixels))
    one, other = (split.iloc[rows].reset_index(drop=True) for rows in pairs.T)
    table = pd.DataFrame({"name": one.name, "other": other.name})
    for column in ("label", "split"):
        table[column], table[f"other_{column}"] = one[column], other[column]
    table["distance"] = distance
    across = (table.split != table.other_split).rename("across")
    order = table.assign(across=~across).sort_values(["across", "distance", "name", "other"]).index
    return table.loc[order].reset_index(drop=True)


def count_duplicates(duplicates: pd.DataFrame) -> dict[str, int]:
    """How many pairs there are, and how many of them are in two splits, and under two labels."""
    return {
        "near_duplicates": len(duplicates),
        "across_splits": int((duplicates.split != duplicates.other_split).sum()),
        "across_labels": int((duplicates.label != duplicates.other_label).sum()),
    }
