"""An image file becomes the square of pixels that Pillow gives, and what is no sound image is refused."""

import io

import numpy as np
import pytest
import tifffile
from PIL import Image

from malaria.data.decode import MAX_PIXELS, Pixels, blacken, read_image, read_rgb, to_square
from malaria.params import Fit
from tests.support.images import NOISE, encode, encode_deep_png, of_header_size, with_wrong_crc

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


DEEP = {
    "12-bit PNG": lambda pixels: encode_deep_png(scale(pixels, 4095, np.uint16)),
    "16-bit PNG": lambda pixels: encode_deep_png(scale(pixels, 65535, np.uint16)),
    "12-bit TIFF": lambda pixels: encode_tiff(scale(pixels, 4095, np.uint16)),
    "12-bit TIFF, big-endian": lambda pixels: encode_tiff(scale(pixels, 4095, np.uint16), byteorder=">"),
    "12-bit TIFF, compressed": lambda pixels: encode_tiff(scale(pixels, 4095, np.uint16), compression="deflate"),
    "16-bit TIFF of shades up to 255": lambda pixels: encode_tiff(pixels.astype(np.uint16)),
    "floats up to 1": lambda pixels: encode_tiff(scale(pixels, 1, np.float32)),
    "floats up to 255": lambda pixels: encode_tiff(pixels.astype(np.float32)),
}


def scale(pixels: Pixels, top: int, kind: type) -> np.ndarray:
    return (pixels * (top / 255) + (0.5 if top > 1 else 0)).astype(kind)


def encode_tiff(pixels: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, photometric="rgb", **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", DEEP)
def test_the_range_of_pixels_is_that_of_the_camera_and_not_of_the_file(kind: str, drawn: Cells) -> None:
    cell = np.array(Image.open(io.BytesIO(drawn[0][1])).convert("RGB"))
    cell[0, 0] = 255
    read = np.asarray(read_rgb(DEEP[kind](cell)))
    assert abs(read.astype(int) - cell).max() <= 1


def test_a_picture_without_colours_or_light_is_refused(drawn: Cells) -> None:
    cell = Image.open(io.BytesIO(drawn[0][1])).convert("RGB")
    assert read_rgb(encode(cell))
    gray = cell.convert("L")
    for picture in (gray, gray.convert("RGB"), Image.new("RGB", (40, 40)), Image.fromarray(np.asarray(cell) // 16)):
        for kind in ("PNG", "JPEG"):
            with pytest.raises(ValueError, match=r"black|no colours"):
                read_rgb(encode(picture, kind))


REFUSED = {
    "no image": (b"%PDF-1.4", "not a PNG"),
    "empty file": (b"", "not a PNG"),
    "format that Pillow reads, and we do not": (encode(NOISE, "PPM"), "not a PNG"),
    "PNG cut short": (encode(NOISE)[:3000], "cannot be decoded"),
    "PNG with a wrong CRC": (with_wrong_crc(encode(NOISE)), "cannot be decoded"),
    "header of 400 million pixels": (of_header_size(20_000), "too many"),
    "header of a few pixels too many": (of_header_size(int(MAX_PIXELS**0.5) + 1), "too many"),
    "several pages": (encode(NOISE, save_all=True, append_images=[NOISE.rotate(90)]), "2 pages"),
    "pixels of 32 bits": (encode(Image.new("F", (4, 4), 70_000), "TIFF"), "16 bits"),
    "pixels that are no numbers": (encode(Image.new("F", (4, 4), float("nan")), "TIFF"), "not finite"),
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
