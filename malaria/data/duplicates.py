"""Cells that are in the data twice: with the same pixels, or nearly so.

Near-duplicates are found by a difference hash (dHash): the cell as 16 rows of 17 grey values, and a bit for each value
that is larger than the one before it. The hash hardly changes when an image is saved as JPEG, resized or brightened.
LIMIT was set on NIH's cells: none of their 380 million pairs differs in fewer than 18 of the 256 bits, while of copies
of a cell as JPEG of quality 95, of 0.5 or 1.5 times the size, 10 % brighter or with noise of 2 in 255 at least 96 %
differ in LIMIT or fewer.

A cell that was photographed twice is not found: it differs in 25 to 60 bits, as thousands of pairs of strangers do.
NIH's data has dozens of these, all within a patient, whom a split by patient keeps on one side.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from malaria.core.hashing import Hashes
from malaria.data.decode import Pixels

SIDE = 16  # rows of the hash, and bits in a row
LIMIT = 15  # of 256 bits, in which two near-duplicates differ at most
_SHOWN = 5  # pairs that a message names
_CHUNK = 4096  # cells hashed at once

Pairs = npt.NDArray[np.int64]  # (M, 2): the rows of two cells, the smaller first
Bits = npt.NDArray[np.float32]  # (N, 256) of 0 and 1


def find_copies(hashes: Hashes, pixels: Pixels) -> Pairs:
    """The rows that have the same pixels as one before them, and that one; told by hashes (N,), then by the pixels."""
    order = np.argsort(hashes, kind="stable")
    firsts = order[np.searchsorted(hashes, hashes, sorter=order)]
    others = np.flatnonzero(firsts != np.arange(len(hashes)))
    same = [row for row in others if np.array_equal(pixels[firsts[row]], pixels[row])]
    return np.array([(firsts[row], row) for row in same], np.int64).reshape(-1, 2)


def refuse_contradictions(index: pd.DataFrame, copies: Pairs) -> None:
    """Raise ValueError, naming the first pairs, if cells with the same pixels have different labels."""
    labels, names = index.label.to_numpy(), index.name.tolist()
    both = copies[labels[copies[:, 0]] != labels[copies[:, 1]]].tolist()
    if both:
        raise ValueError(
            f"{len(both)} of the images are in both classes, pixel for pixel: {_name(names, both)}. Remove those with "
            "the wrong label from what the archive was made from"
        )


def explain_copies(names: Sequence[str], copies: Pairs) -> str:
    """The end of a line, empty if there are none."""
    if not len(copies):
        return ""
    return f"; {len(copies)} the same as another, pixel for pixel: {_name(names, copies.tolist())}"


def _name(names: Sequence[str], pairs: list[list[int]]) -> str:
    shown = [" = ".join(names[row] for row in pair) for pair in pairs[:_SHOWN]]
    return ", ".join(shown + [f"and {len(pairs) - _SHOWN} more"] * (len(pairs) > _SHOWN))


def hash_cells(pixels: Pixels) -> Bits:
    """The difference hash of each cell of (N, size, size, 3) uint8, which may be a memory map."""
    starts = range(0, len(pixels), _CHUNK)
    return np.concatenate([_hash(np.asarray(pixels[start : start + _CHUNK])) for start in starts])


def _hash(pixels: Pixels) -> Bits:
    size = pixels.shape[1]
    rows, columns = (np.arange(parts + 1) * size // parts for parts in (SIDE, SIDE + 1))
    gray = pixels.sum(-1, dtype=np.uint32)
    sums = np.add.reduceat(np.add.reduceat(gray, rows[:-1], 1), columns[:-1], 2)
    grays = sums / np.diff(columns)  # by the width alone: only neighbours in a row are compared
    bits: Bits = (grays[:, :, 1:] > grays[:, :, :-1]).reshape(len(pixels), -1).astype(np.float32)
    return bits


def find_near(bits: Bits) -> tuple[Pairs, npt.NDArray[np.int64]]:
    """The pairs of hashes that differ in LIMIT bits or fewer, and in how many they differ.

    Of bits, the squared Euclidean distance is the number that differ. Compares all pairs, which takes some 15 s for
    NIH's cells on two cores.
    """
    from sklearn.neighbors import NearestNeighbors  # takes a second, and preprocess needs only `find_copies`

    search = NearestNeighbors(radius=(LIMIT + 0.5) ** 0.5, algorithm="brute").fit(bits)
    distances, others = search.radius_neighbors(bits)
    first = np.repeat(np.arange(len(bits)), [len(found) for found in others])
    second, bit_counts = np.concatenate(others), np.concatenate(distances) ** 2
    once = first < second
    return np.stack([first[once], second[once]], 1), bit_counts[once].round().astype(np.int64)


def list_duplicates(pixels: Pixels, split: pd.DataFrame) -> pd.DataFrame:
    """The near-duplicates among the cells of split.csv that are not dropped, a row a pair, those across splits first.

    The columns are name, other, label, other_label, split, other_split and distance: the bits that differ, 0 to LIMIT.
    """
    pairs, distance = find_near(hash_cells(pixels))
    taken = (split.split != "dropped").to_numpy()[pairs].all(1)
    pairs, distance = pairs[taken], distance[taken]
    one, other = (split.iloc[rows].reset_index(drop=True) for rows in pairs.T)
    table = pd.DataFrame({"name": one.name, "other": other.name})
    for column in ("label", "split"):
        table[column], table[f"other_{column}"] = one[column], other[column]
    table["distance"] = distance
    across = (table.split != table.other_split).rename("across")
    order = table.assign(across=~across).sort_values(["across", "distance", "name", "other"]).index
    return table.loc[order].reset_index(drop=True)
