"""Cells that are there twice are found, whatever was done to the copy, and strangers are not."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from malaria.data import duplicates
from malaria.data.decode import decode
from malaria.data.duplicates import LIMIT, count_duplicates, find_copies, find_near, hash_cells, list_duplicates

Cells = list[tuple[str, bytes]]


@pytest.fixture(scope="module")
def pictures(drawn: Cells) -> list[Image.Image]:
    return [Image.open(io.BytesIO(data)).convert("RGB") for _, data in drawn]


def stack(pictures: list[Image.Image], **save: object) -> np.ndarray:
    cells = []
    for picture in pictures:
        file = io.BytesIO()
        picture.save(file, **({"format": "PNG"} | save))
        cells.append(decode(file.getvalue(), 64, "stretch"))
    return np.stack(cells)


def test_copies_are_told_by_their_pixels_even_where_hashes_agree_by_chance() -> None:
    pixels = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    pixels[3] = pixels[1]
    assert find_copies(np.array([7, 8, 7, 8, 9], np.uint64), pixels).tolist() == [[1, 3]]
    assert find_copies(np.arange(5, dtype=np.uint64), pixels).tolist() == []


def test_the_bands_find_what_comparing_all_pairs_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2, (300, 256), dtype=np.uint8)
    bits[150:] = bits[:150]
    for row in range(150, 300):
        bits[row, rng.choice(256, row % (2 * LIMIT), replace=False)] ^= 1
    hashes = np.packbits(bits, axis=1).view(np.uint64)
    distance = np.bitwise_count(hashes[:, None] ^ hashes[None]).sum(-1)
    expected = [[one, other] for one, other in np.argwhere(distance <= LIMIT).tolist() if one < other]
    pairs, found = find_near(hashes)
    assert pairs.tolist() == expected
    assert found.tolist() == [distance[one, other] for one, other in expected]
    monkeypatch.setattr(duplicates, "WINDOW", 1)  # bounded, it finds no other pairs
    assert {tuple(pair) for pair in find_near(hashes)[0].tolist()} <= {tuple(pair) for pair in expected}


@pytest.mark.parametrize("size", [32, 64, 100])
def test_strangers_are_far_from_each_other(size: int, pictures: list[Image.Image]) -> None:
    cells = np.stack([np.asarray(picture.resize((size, size))) for picture in pictures])
    hashes = hash_cells(cells)
    assert hashes.shape == (len(pictures), 4)
    assert len(find_near(hashes)[0]) == 0


@pytest.mark.parametrize("change", ["JPEG", "larger", "brighter"])
def test_a_changed_copy_is_near(change: str, pictures: list[Image.Image]) -> None:
    changed = {
        "JPEG": lambda: stack(pictures, format="JPEG", quality=95),
        "larger": lambda: stack([p.resize((p.width * 3 // 2, p.height * 3 // 2)) for p in pictures]),
        "brighter": lambda: stack([p.point(lambda value: min(255, value * 11 // 10)) for p in pictures]),
    }[change]()
    distance = np.bitwise_count(hash_cells(stack(pictures)) ^ hash_cells(changed)).sum(1)
    assert (distance <= LIMIT).mean() > 0.9


def test_pairs_in_two_splits_come_first(pictures: list[Image.Image]) -> None:
    cells = stack([pictures[0], pictures[0], pictures[9], pictures[0]])
    split = pd.DataFrame({"name": list("abcd"), "label": [1, 1, 0, 0], "split": ["train", "train", "val", "test"]})
    table = list_duplicates(cells, split)
    assert [(row.name, row.other, row.distance) for row in table.itertuples(index=False)] == [
        ("a", "d", 0),
        ("b", "d", 0),
        ("a", "b", 0),
    ]
    assert count_duplicates(table) == {"near_duplicates": 3, "across_splits": 2, "across_labels": 2}
    assert len(list_duplicates(cells[1:3], split.iloc[1:3].reset_index(drop=True))) == 0
