"""An image becomes the square that the network sees: its cell in the middle, and black around it."""

import io

import numpy as np
import pytest
from PIL import Image

from malaria.data.decode import read_image, to_square
from malaria.smear.crops import decode, is_blank, isolate, to_cell
from tests.support.images import NOISE, empty_crop, encode, with_background
from tests.support.param_fields import preprocess_params

Cells = list[tuple[str, bytes]]


def test_a_cell_that_is_cut_out_is_the_same_with_and_without_mask(drawn: Cells) -> None:
    for _, data in drawn[::20]:
        plain = to_square(read_image(data), 48, "pad")
        for mask in ("auto", "none"):
            assert (decode(data, preprocess_params(48, "pad", mask)) == plain).all()


def test_a_cell_on_a_background_is_nearly_the_one_that_is_cut_out(drawn: Cells) -> None:
    for _, data in drawn[::20]:
        crop = with_background(data)
        cut, found = (decode(image, preprocess_params(64)).astype(int) for image in (data, crop))
        assert np.abs(cut - found).mean() < 12
        assert (decode(crop, preprocess_params(64, mask="none")).min(-1) > 0).all()


def test_a_crop_without_a_cell_is_refused_or_kept_whole() -> None:
    data = empty_crop()
    with pytest.raises(ValueError, match="no single red blood cell"):
        decode(data, preprocess_params(unsegmented="drop"))
    whole = to_square(read_image(data), 32, "stretch")
    for how in (preprocess_params(unsegmented="keep"), preprocess_params(mask="none")):
        assert (decode(data, how) == whole).all()
    assert isolate(read_image(data), "auto")[1] is False
    assert isolate(read_image(data), "none")[1] is True


def test_several_cells_that_are_cut_out_are_no_cell(drawn: Cells) -> None:
    cells = [Image.open(io.BytesIO(data)).convert("RGB").resize((60, 60)) for _, data in drawn[:4]]
    pictures = {
        (width, height): Image.new("RGB", (66 * width, 66 * height)) for width, height in ((1, 1), (2, 1), (2, 2))
    }
    for (width, height), picture in pictures.items():
        for n, cell in enumerate(cells[: width * height]):
            picture.paste(cell, (66 * (n % width) + 3, 66 * (n // width) + 3))
        assert isolate(picture, "auto")[1] is (width * height == 1)
    with pytest.raises(ValueError, match="no single red blood cell"):
        decode(encode(pictures[2, 2]), preprocess_params(unsegmented="drop"))


@pytest.mark.parametrize("mode", ["RGBA", "P", "CMYK"])
def test_an_image_of_another_mode_is_segmented_as_what_it_shows(mode: str, drawn: Cells) -> None:
    shown = Image.open(io.BytesIO(with_background(drawn[0][1])))
    other = shown.quantize(256) if mode == "P" else shown.convert(mode)
    difference = to_cell(other, preprocess_params()) - to_cell(shown, preprocess_params()).astype(int)
    assert np.abs(difference).mean() < 6


def test_the_image_that_is_given_stays_as_it_is(drawn: Cells) -> None:
    for data in (drawn[0][1], with_background(drawn[0][1]), empty_crop()):
        image = read_image(data)
        before = image.tobytes()
        to_cell(image, preprocess_params(unsegmented="keep"))
        assert image.tobytes() == before


@pytest.mark.parametrize(("color", "blank"), [("pink", True), ("black", True), (None, False)])
def test_a_cell_of_one_color_is_blank(color: str | None, blank: bool) -> None:
    image = Image.new("RGB", (50, 90), color) if color else NOISE
    assert is_blank(to_square(image, 32, "pad")) == blank
