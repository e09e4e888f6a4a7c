"""An image file becomes the square of pixels that Pillow gives, and what is no sound image is refused."""

import io

import numpy as np
import pytest
from PIL import Image

from malaria.data.decode import MAX_PIXELS, blacken, read_image, to_square
from malaria.params import Fit
from tests.support.images import NOISE, encode, of_header_size, with_wrong_crc

Cells = list[tuple[str, bytes]]
ORANGE = (200, 100, 50)


@pytest.mark.parametrize("fit", ["stretch", "pad"])
@pytest.mark.parametrize("sides", [(394, 40), (40, 394), (1, 1), (64, 64)])
@pytest.mark.parametrize("size", [32, 512])
def test_an_image_of_any_shape_becomes_a_square(fit: Fit, sides: tuple[int, int], size: int) -> None:
    square = to_square(Image.new("RGB", sides, ORANGE), size, fit)
    assert (square.shape, square.dtype) == ((size, size, 3), np.uint8)


def test_stretch_fills_the_square_and_pad_keeps_the_aspect_on_black() -> None:
    wide = Image.new("RGB", (80, 40), ORANGE)
    assert (to_square(wide, 64, "stretch") == ORANGE).all()
    padded = to_square(wide, 64, "pad")
    assert (padded[16:48] == ORANGE).all()
    assert not padded[:16].any()
    assert not padded[48:].any()


def test_nearly_black_pixels_become_black() -> None:
    image = Image.fromarray(np.array([[[19, 19, 19], [20, 0, 0], [0, 1, 2], [0, 0, 0]]], np.uint8))
    assert np.asarray(blacken(image)).tolist() == [[[0, 0, 0], [20, 0, 0], [0, 0, 0], [0, 0, 0]]]


@pytest.mark.parametrize("kind", ["palette", "1-bit", "grey", "16-bit grey", "CMYK JPEG", "CMYK TIFF", "transparent"])
def test_an_image_of_another_mode_is_read_as_what_it_shows(kind: str, drawn: Cells) -> None:
    cell = Image.open(io.BytesIO(drawn[0][1])).convert("RGB")
    gray = cell.convert("L")
    over_white = Image.merge("RGBA", (*Image.composite(cell, Image.new("RGB", cell.size, "white"), gray).split(), gray))
    data, shown = {
        "palette": (encode(cell.quantize(256)), cell),
        "1-bit": (encode(gray.convert("1")), gray.convert("1")),
        "grey": (encode(gray), gray),
        "16-bit grey": (encode(Image.fromarray(np.asarray(gray).astype(np.uint16) * 257)), gray),
        "CMYK JPEG": (encode(cell.convert("CMYK"), "JPEG", quality=98), cell),
        "CMYK TIFF": (encode(cell.convert("CMYK"), "TIFF"), cell),
        "transparent": (encode(over_white), Image.alpha_composite(Image.new("RGBA", cell.size, "black"), over_white)),
    }[kind]
    expected = to_square(shown.convert("RGB"), 32, "stretch").astype(int)
    assert abs(to_square(read_image(data), 32, "stretch") - expected).mean() < 4


REFUSED = {
    "no image": (b"%PDF-1.4", "not a PNG"),
    "empty file": (b"", "not a PNG"),
    "format that Pillow reads, and we do not": (encode(NOISE, "PPM"), "not a PNG"),
    "PNG cut short": (encode(NOISE)[:3000], "cannot be decoded"),
    "PNG with a wrong CRC": (with_wrong_crc(encode(NOISE)), "cannot be decoded"),
    "header of 400 million pixels": (of_header_size(20_000), "too many"),
    "header of a few pixels too many": (of_header_size(int(MAX_PIXELS**0.5) + 1), "too many"),
    "several pages": (encode(NOISE, save_all=True, append_images=[NOISE.rotate(90)]), "2 pages"),
    "pixels of 32 bits": (encode(Image.new("F", (4, 4), 0.5), "TIFF"), "16 bits"),
}


@pytest.mark.parametrize("image", REFUSED)
def test_a_file_that_is_no_sound_image_is_refused(image: str) -> None:
    data, told = REFUSED[image]
    with pytest.raises(ValueError, match=told):
        to_square(read_image(data), 32, "stretch")


def test_a_sound_png_with_several_chunks_of_pixels_is_read() -> None:
    large = NOISE.resize((400, 400))
    assert encode(large, compress_level=0).count(b"IDAT") > 1
    assert read_image(encode(large, compress_level=0)).tobytes() == large.tobytes()
