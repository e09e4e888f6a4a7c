"""Cells that are there twice are found, whatever was done to the copy, and others are not."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from malaria.data.decode import read_image, to_square
from malaria.data.duplicates import LIMIT, find_copies, find_near, hash_cells, list_duplicates
from tests.support.images import encode

Cells = list[tuple[str, bytes]]


@pytest.fixture(scope="module")
def images(drawn: Cells) -> list[Image.Image]:
    return [Image.open(io.BytesIO(data)).convert("RGB") for _, data in drawn]


def stack(images: list[Image.Image], size: int = 64, kind: str = "PNG", **options: object) -> np.ndarray:
    return np.stack([to_square(read_image(encode(image, kind, **options)), size, "stretch") for image in images])


def test_copies_are_told_by_their_pixels_even_if_hashes_collide() -> None:
    pixels = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    pixels[3] = pixels[1]
    assert find_copies(np.array([7, 8, 7, 8, 9], np.uint64), pixels).tolist() == [[1, 3]]
    assert find_copies(np.arange(5, dtype=np.uint64), pixels).tolist() == []


def test_exactly_the_pairs_within_the_limit_are_found() -> None:
    random = np.random.default_rng(0)
    bits = random.integers(0, 2, (600, 256))
    bits[300:] = bits[:300]
    for row in range(300, 600):  # 0 to 2 LIMIT - 1 bits away from its original
        bits[row, random.choice(256, row % (2 * LIMIT), replace=False)] ^= 1
    differing = (bits[:, None] != bits[None]).sum(-1)
    expected = [[one, other] for one, other in np.argwhere(differing <= LIMIT).tolist() if one < other]
    pairs, distance = find_near(bits.astype(np.float32))
    assert sorted(pairs.tolist()) == expected
    assert distance.tolist() == [differing[one, other] for one, other in pairs.tolist()]
    assert {0, LIMIT} <= set(distance.tolist())


@pytest.mark.parametrize("size", [32, 64, 100])
def test_different_cells_are_not_near(size: int, images: list[Image.Image]) -> None:
    bits = hash_cells(np.stack([np.asarray(image.resize((size, size))) for image in images]))
    assert bits.shape == (len(images), 256)
    assert len(find_near(bits)[0]) == 0


@pytest.mark.parametrize("change", ["JPEG", "larger", "brighter"])
def test_a_changed_copy_is_near(change: str, images: list[Image.Image]) -> None:
    changed = {
        "JPEG": lambda: stack(images, kind="JPEG", quality=95),
        "larger": lambda: stack([image.resize((image.width * 3 // 2, image.height * 3 // 2)) for image in images]),
        "brighter": lambda: stack([image.point(lambda value: min(255, value * 11 // 10)) for image in images]),
    }[change]()
    distance = (hash_cells(stack(images)) != hash_cells(changed)).sum(1)
    assert (distance <= LIMIT).mean() > 0.9


def test_pairs_across_splits_come_first(images: list[Image.Image]) -> None:
    cells = stack([images[0], images[0], images[9], images[0]])
    split = pd.DataFrame({"name": list("abcd"), "label": [1, 1, 0, 0], "split": ["train", "train", "val", "test"]})
    assert list_duplicates(cells, split).to_csv(index=False).splitlines() == [
        "name,other,label,other_label,split,other_split,distance",
        "a,d,1,0,train,test,0",
        "b,d,1,0,train,test,0",
        "a,b,1,1,train,train,0",
    ]
    assert len(list_duplicates(cells[1:3], split[1:3].reset_index(drop=True))) == 0
