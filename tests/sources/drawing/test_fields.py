"""A drawn field is the same everywhere, holds what was asked for, and its table and labels say what it shows."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from malaria.sources.drawing.fields import Field, draw_field
from malaria.sources.drawing.labs import BLUE, HOME, VIVID, Lab

LABS = {"home": replace(HOME, radius=24), "blue": replace(BLUE, radius=24), "vivid": VIVID}  # small: quick
GOLDEN = {
    "home": "306d33623d66705f0e10f1f70683d7df28e8f14de347a83e4c14a328817f4040",
    "blue": "f5b3e888725e938cd52791c4236d5918bb80253717c7e88abced27af7140867c",
    "vivid": "0c518eff4b61d65df26d42a8ca7bbda880af81d1eae16a53582ddb41a49b2a73",
}


@pytest.fixture(scope="module", params=LABS)
def lab(request: pytest.FixtureRequest) -> Lab:
    return LABS[request.param]


@pytest.fixture(scope="module")
def field(lab: Lab) -> Field:
    return draw_field(lab, seed=1, cells=70, parasitemia=0.1)


@pytest.mark.parametrize("name", LABS)
def test_a_field_is_the_same_bytes_on_any_hardware(name: str) -> None:
    # fails where arithmetic or random numbers depend on the platform, and where the drawing is changed
    field = draw_field(LABS[name], seed=0, parasitemia=0.2, width=320, height=240, scale_bar=True)
    drawn = field.pixels.tobytes() + field.labels.astype("<i4").tobytes() + field.cells.to_csv(index=False).encode()
    assert hashlib.sha256(drawn).hexdigest() == GOLDEN[name]


def test_another_seed_patient_or_number_is_another_field() -> None:
    fields = [draw_field(VIVID, 0, 5, width=200, height=150, **it) for it in ({}, {"patient": 1}, {"number": 1})]
    fields.append(draw_field(VIVID, 1, 5, width=200, height=150))
    assert len({field.pixels.tobytes() for field in fields}) == 4


@pytest.mark.parametrize(("cells", "parasitemia", "infected"), [(0, 0.5, 0), (1, 1, 1), (37, 0.1, 4), (60, 0.004, 0)])
def test_a_field_has_the_cells_and_the_parasitemia_asked_for(cells: int, parasitemia: float, infected: int) -> None:
    table = draw_field(VIVID, 0, cells, parasitemia).cells
    assert (len(table), table.parasitized.sum()) == (cells, infected)
    assert table.cell.tolist() == list(range(1, cells + 1))


def test_density_gives_the_number_of_cells(lab: Lab) -> None:
    few, many = (draw_field(replace(lab, density=density), 0).labels > 0 for density in (0.1, 0.5))
    field = np.pi / 4 * 480**2 if lab.round else 640 * 480
    assert few.sum() == pytest.approx(0.1 * field, rel=0.25)
    assert many.sum() == pytest.approx(0.5 * field, rel=0.25)  # less than that, for cells overlap


@pytest.mark.parametrize(("width", "height"), [(640, 480), (333, 500)])
def test_a_field_has_the_size_asked_for(width: int, height: int) -> None:
    field = draw_field(VIVID, 0, width=width, height=height)
    assert (field.pixels.shape, field.pixels.dtype) == ((height, width, 3), np.uint8)
    assert (field.labels.shape, field.labels.dtype) == ((height, width), np.int32)


def test_labels_and_table_agree(field: Field) -> None:
    for cell in field.cells.itertuples():
        rows, columns = np.nonzero(field.labels == cell.cell)
        assert cell.area == len(rows) > 100
        assert cell.x0 <= columns.min() <= columns.max() < cell.x1
        assert cell.y0 <= rows.min() <= rows.max() < cell.y1
        assert cell.x0 <= cell.x < cell.x1
        assert cell.y0 <= cell.y < cell.y1
        if not cell.touching:  # none of it is hidden
            assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (
                cell.x0,
                cell.y0,
                cell.x1,
                cell.y1,
            )


def test_cells_are_darker_than_what_is_between_them(lab: Lab, field: Field) -> None:
    green = field.pixels[..., 1].astype(float)
    light = np.median(green[(field.labels == 0) & (green > 60)])
    means = np.array([green[field.labels == cell].mean() for cell in field.cells.cell])
    assert np.all(means < light - 8)
    between = green[(field.labels == 0) & (green > 60)]
    assert np.mean(between < light - 25) < 0.06  # edges out of focus, platelets and white cells


def test_cells_that_the_edge_of_the_photograph_cuts_are_marked() -> None:
    field = draw_field(VIVID, seed=2)
    cut = field.cells[field.cells.cut]
    at_edge = (cut.x0 == 0) | (cut.y0 == 0) | (cut.x1 == 640) | (cut.y1 == 480)
    assert len(cut) > 3
    assert at_edge.all()
    assert set(np.unique(field.labels[[0, -1]])) - {0} <= set(cut.cell)


def test_a_round_field_is_black_around_and_cuts_cells() -> None:
    field = draw_field(LABS["home"], seed=0)
    y, x = np.mgrid[:480, :640]
    away = np.hypot(x - 320, y - 240)
    assert field.pixels[away > 285].max() < 20
    assert not field.labels[away > 285].any()
    assert np.median(field.pixels[away < 200]) > 100
    assert 0 < field.cells.cut.sum() < len(field.cells) / 2


def test_crowded_cells_overlap_and_sparse_ones_lie_apart() -> None:
    crowded = draw_field(replace(VIVID, density=0.65), seed=0).cells
    sparse = draw_field(replace(VIVID, density=0.1, clumping=0), seed=0).cells
    clumped = draw_field(replace(VIVID, density=0.1, clumping=0.6), seed=0).cells
    assert crowded.touching.mean() > 0.7
    assert sparse.touching.mean() < 0.1
    assert clumped.touching.mean() > 0.5
    whole = crowded[~crowded.cut]
    assert (whole.area < 0.6 * (whole.x1 - whole.x0) * (whole.y1 - whole.y0)).any()  # partly hidden


def test_parasites_are_seen_in_nearly_every_parasitized_cell_even_where_it_is_cut(lab: Lab) -> None:
    healthy, infected = (draw_field(replace(lab, noise=0), 3, 50, share) for share in (0, 1))
    assert np.array_equal(healthy.labels, infected.labels)
    darker = healthy.pixels[..., 1].astype(int) - infected.pixels[..., 1] > 15
    seen = np.array([np.sum(darker & (infected.labels == cell)) >= 3 for cell in infected.cells.cell])
    assert seen.mean() > 0.85  # some are faint, or under another cell
    assert seen[infected.cells.cut].any()
    assert not np.any(darker & (infected.labels == 0) & (infected.pixels[..., 1] < 40))


def test_white_cells_platelets_and_specks_are_listed_and_are_no_red_cells() -> None:
    field = draw_field(replace(VIVID, white_cells=3), seed=0)
    assert set(field.others.kind) == {"white cell", "platelet", "speck"}
    white = field.others[field.others.kind == "white cell"]
    assert not field.labels[white.y, white.x].any()
    assert (white.radius > 1.3 * VIVID.radius).all()


def test_a_scale_bar_is_drawn_at_the_lower_right_alone() -> None:
    without, with_bar = (draw_field(VIVID, 0, 40, scale_bar=bar).pixels for bar in (False, True))
    rows, columns = np.nonzero((without != with_bar).any(axis=2))
    assert len(rows) > 50
    assert rows.min() > 420
    assert columns.min() > 400


@pytest.mark.parametrize("lab", [HOME, VIVID], ids=["round", "full"])
def test_more_cells_than_there_is_room_for_are_refused(lab: Lab) -> None:
    with pytest.raises(ValueError, match=r"900 cells would cover \d+% of the field: take fewer, or a larger field"):
        draw_field(lab, 0, cells=900)
