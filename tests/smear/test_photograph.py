"""The red cells of photographs of any laboratory are found one by one, as they are drawn, and nothing else is."""

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from malaria.data.decode import read_image, to_rgb
from malaria.slide.quality import SHARP
from malaria.smear import photograph
from malaria.smear.cells import COUNTED
from malaria.smear.photograph import Photograph, RedCell, cut_out, find_cells
from malaria.sources.drawing.fields import Field
from malaria.sources.drawing.labs import BLUE, HOME, VIVID, Lab
from tests.support.fields import LABS, NOTHING, draw, findable, labs, match, nothing, to_image, true_diameter
from tests.support.images import encode

RADII = 18, 22, 27, 32
Drawn = tuple[Lab, Field, Photograph]


def search(lab: Lab, seed: int, **options: float) -> Drawn:
    field = draw(lab, seed, **options)
    return lab, field, find_cells(to_image(field))


@pytest.fixture(scope="module", params=LABS)
def several(request: pytest.FixtureRequest) -> list[Drawn]:
    """Photographs of a laboratory at several magnifications."""
    lab = LABS[request.param]
    return [search(replace(lab, radius=radius, white_cells=3), seed) for seed, radius in enumerate(RADII, 20)]


def paint(cells: Sequence[RedCell], height: int, width: int) -> np.ndarray:
    """How many cells claim each pixel."""
    claims = np.zeros((height, width), int)
    for cell in cells:
        left, top, right, bottom = cell.box
        claims[top:bottom, left:right] += cell.mask
    return claims


def boxes(found: Photograph) -> list[tuple[int, ...]]:
    return [cell.box for cell in found.cells]


def same_cells(one: Photograph, two: Photograph, near: float = 3) -> float:
    """The share of the cells of two photographs whose middle is, within a few px, that of one of the other."""
    middles = [np.array([[a + c, b + d] for a, b, c, d in boxes(found)]).reshape(-1, 2) / 2 for found in (one, two)]
    apart = np.hypot(*(middles[0][:, None] - middles[1]).T)
    return float((apart < near).sum() / max(map(len, middles)))


def test_nearly_all_cells_are_found_once_and_few_others(several: list[Drawn]) -> None:
    wanted = hit = extra = total = 0
    for lab, field, found in several:
        numbers = [number for number in match(field, found.cells) if number]
        assert len(numbers) == len(set(numbers))
        wanted += len(findable(field, lab))
        hit += len(findable(field, lab) & set(numbers))
        extra += len(found.cells) - len(numbers)
        total += len(found.cells)
    assert wanted > 40
    assert hit > 0.9 * wanted
    assert extra < 0.08 * total


def test_the_diameter_is_about_that_of_the_cells(several: list[Drawn]) -> None:
    ratios = [found.diameter / true_diameter(field) for _, field, found in several if found.diameter]
    assert len(ratios) == len(several)
    assert np.median(ratios) == pytest.approx(1, abs=0.15)
    assert np.abs(np.array(ratios) - 1).max() < 0.25


def test_white_cells_and_platelets_are_no_cells(several: list[Drawn]) -> None:
    """A platelet may be taken for a part of the cell beside it, or of one that the frame cuts, which does not count."""
    whites = 0
    for _, field, found in several:
        claims = paint(found.cells, *field.labels.shape)
        pairs = zip(match(field, found.cells), found.cells, strict=True)
        false = [cell for number, cell in pairs if not number and cell.kind != "border"]
        taken = paint(false, *field.labels.shape)
        for other in field.others.query("kind != 'speck'").itertuples():
            if 0 <= other.x < claims.shape[1] and 0 <= other.y < claims.shape[0]:
                assert not taken[other.y, other.x]
                assert other.kind == "platelet" or not claims[other.y, other.x]
                whites += other.kind == "white cell"
    assert whites


def test_what_the_frame_cuts_is_at_the_border_and_nothing_else_is(several: list[Drawn]) -> None:
    right = []
    for _, field, found in several:
        cut = {row.cell: row.cut for row in field.cells.itertuples()}
        pairs = zip(match(field, found.cells), found.cells, strict=True)
        right += [cut[number] == (cell.kind == "border") for number, cell in pairs if number]
    assert np.mean(right) > 0.9


def test_cells_that_lie_apart_are_single_and_those_that_touch_are_clumped(several: list[Drawn]) -> None:
    right = []
    for _, field, found in several:
        touching = {row.cell: row.touching for row in field.cells.itertuples()}
        pairs = zip(match(field, found.cells), found.cells, strict=True)
        right += [touching[n] == (cell.kind == "clumped") for n, cell in pairs if n and cell.kind != "border"]
    assert np.mean(right) > 0.8


def test_masks_are_in_the_frame_tight_disjoint_and_sorted(several: list[Drawn]) -> None:
    for _, field, found in several:
        height, width = field.labels.shape
        for cell in found.cells:
            left, top, right, bottom = cell.box
            assert 0 <= left < right <= width
            assert 0 <= top < bottom <= height
            assert all(edge.any() for edge in (cell.mask[0], cell.mask[-1], cell.mask[:, 0], cell.mask[:, -1]))
            assert 0 < cell.quality <= 1
        claims = paint(found.cells, height, width)
        assert (claims > 1).sum() <= 0.01 * (claims > 0).sum()
        assert [(cell.y, cell.x) for cell in found.cells] == sorted((cell.y, cell.x) for cell in found.cells)
        lit = (field.pixels.max(-1) > 60).mean()  # not black, as around a round field
        assert found.covered == pytest.approx((claims > 0).mean() / lit, abs=0.05)


@settings(deadline=None, max_examples=6, derandomize=True)
@given(labs(largest=50), st.integers(0, 99))
def test_cells_are_found_over_laboratories(lab: Lab, seed: int) -> None:
    _, field, found = search(lab, seed)
    numbers = match(field, found.cells)
    wanted = findable(field, lab)
    assert len(wanted & set(numbers)) >= 0.6 * len(wanted) - 1
    assert numbers.count(0) <= 0.25 * len(numbers) + 2
    claims = paint(found.cells, *field.labels.shape)
    assert (claims > 1).sum() <= 0.02 * (claims > 0).sum()


def test_the_same_bytes_give_the_same_cells() -> None:
    image = to_image(draw(replace(BLUE, radius=20)))
    before = image.tobytes()
    one, two = find_cells(image), find_cells(image.copy())
    assert boxes(one) == boxes(two)
    assert all((a.mask == b.mask).all() and a.kind == b.kind for a, b in zip(one.cells, two.cells, strict=True))
    assert (one.others, one.diameter, one.covered) == (two.others, two.diameter, two.covered)
    assert image.tobytes() == before


@pytest.mark.parametrize("lab", LABS)
def test_a_photograph_in_tiles_has_the_cells_of_the_whole(lab: str, monkeypatch: pytest.MonkeyPatch) -> None:
    image = to_image(draw(replace(LABS[lab], radius=20), 3, across=28))
    whole = find_cells(image)
    monkeypatch.setattr(photograph, "TILE", 280)
    tiled = find_cells(image)
    assert tiled.diameter == whole.diameter
    assert same_cells(whole, tiled) > 0.93
    claims = paint(tiled.cells, image.height, image.width)
    assert (claims > 1).sum() <= 0.02 * (claims > 0).sum()
    kinds = [Counter(cell.kind == "border" for cell in found.cells) for found in (whole, tiled)]
    assert abs(kinds[0][True] - kinds[1][True]) <= 1


def test_a_scale_bar_is_no_cell() -> None:
    for lab in LABS.values():
        fields = [draw(replace(lab, radius=18, round=False), 4, bar=bar) for bar in (False, True)]
        plain, barred = (find_cells(to_image(field)) for field in fields)
        assert abs(len(barred.cells) - len(plain.cells)) <= 1
        rows, columns = np.nonzero((fields[0].pixels != fields[1].pixels).any(-1))
        bar = paint(barred.cells, *fields[0].labels.shape)[rows, columns]
        assert bar.mean() < 0.3 or fields[0].labels[rows, columns].mean() > 0


@pytest.mark.parametrize("kind", NOTHING)
def test_where_there_is_no_smear_no_cell_is_found(kind: str) -> None:
    found = find_cells(Image.fromarray(nothing(kind)))
    assert found.cells == []
    assert found.diameter is None
    assert found.covered == found.sharpness == 0


@pytest.mark.parametrize("lab", LABS)
@pytest.mark.parametrize("bar", [True, False])
def test_in_a_field_without_cells_none_is_found(lab: str, bar: bool) -> None:
    assert find_cells(to_image(draw(replace(LABS[lab], radius=30), cells=0, bar=bar))).cells == []


@pytest.mark.parametrize("cells", [1, 2, 3, 5])
def test_a_few_cells_are_found_or_none(cells: int) -> None:
    for lab in LABS.values():
        found = search(replace(lab, radius=30), 1, cells=cells)[2]
        assert sum(cell.kind in COUNTED for cell in found.cells) <= cells


@pytest.mark.parametrize("lab", LABS)
def test_crowded_cells_are_found_or_told_to_be_clumps(lab: str) -> None:
    """Where every cell touches others the scale may be wrong; no more cells are found than there are."""
    _, field, found = search(replace(LABS[lab], radius=18, density=0.6, clumping=0.6), 1, across=18)
    numbers = match(field, found.cells)
    assert numbers.count(0) <= 0.25 * len(numbers)
    _, field, found = search(replace(LABS[lab], radius=18, density=0.6, clumping=1), 1, across=18)
    assert len(found.cells) <= 1.1 * len(field.cells)


@pytest.mark.parametrize("size", [3, 10, 20, 40])
def test_blobs_without_outlines_are_no_cells_or_out_of_focus(size: int) -> None:
    """Nuclei and stain, as in a thick smear."""
    random, (y, x) = np.random.default_rng(size), np.mgrid[:300, :400]
    image = np.full((300, 400, 3), (215.0, 190, 200))
    for row, column, radius in random.uniform((0, 0, 0.6), (300, 400, 1.6), (25, 3)):
        cover = 0.8 * np.exp(-2 * ((x - column) ** 2 + (y - row) ** 2) / (size * radius) ** 2)[..., None]
        image += cover * ((70, 30, 100) - image)
    image += random.normal(0, 4, image.shape)
    found = find_cells(Image.fromarray(image.clip(0, 255).astype(np.uint8)))
    assert not found.cells or found.sharpness < SHARP  # of which the user is told


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (3, 3), (20, 600), (2000, 30)])
def test_an_image_of_any_shape_is_searched(shape: tuple[int, int]) -> None:
    find_cells(Image.fromarray(np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)))


@pytest.mark.parametrize("lab", ["home", "blue"])
def test_a_rotated_photograph_has_the_cells_of_the_upright_one(lab: str) -> None:
    upright = to_image(draw(replace(LABS[lab], radius=24), 2)).crop((0, 0, 320, 300))
    plain = find_cells(to_rgb(read_image(encode(upright, "PNG"))))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    turned = encode(upright.transpose(Image.Transpose.ROTATE_90), "PNG", exif=exif.tobytes())
    assert Image.open(io.BytesIO(turned)).size == (300, 320)
    assert boxes(find_cells(to_rgb(read_image(turned)))) == boxes(plain)


def test_cells_are_found_in_greyscale_in_16_bits_and_saved_with_loss() -> None:
    field = draw(replace(VIVID, radius=30, contrast=1), 2)
    plain = find_cells(to_image(field))
    grey = Image.fromarray(field.pixels).convert("L")
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    lossy = encode(to_image(field), "JPEG", quality=80)
    for data in (encode(grey), encode(deep, "TIFF"), lossy):
        assert same_cells(plain, find_cells(to_rgb(read_image(data))), near=5) > 0.9


def test_a_cell_that_is_cut_out_is_itself_on_black() -> None:
    field = draw(replace(HOME, radius=20), 2)
    for cell in find_cells(to_image(field)).cells:
        pixels = np.asarray(cut_out(to_image(field), cell))
        left, top, right, bottom = cell.box
        assert pixels.shape == (bottom - top + 2, right - left + 2, 3)
        assert not pixels[[0, -1]].any()
        assert not pixels[:, [0, -1]].any()
        assert not pixels[1:-1, 1:-1][~cell.mask].any()
        inside = field.pixels[top:bottom, left:right][cell.mask].astype(int)
        assert np.abs(pixels[1:-1, 1:-1][cell.mask] - inside).max() <= 20
