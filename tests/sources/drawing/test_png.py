"""A PNG is written with its pixels, at any length."""

import io

import numpy as np
import pytest
from PIL import Image

from malaria.sources.drawing.png import encode_png


@pytest.mark.parametrize("height", [1, 77, 770, 771, 772, 1542])  # of 85 bytes: 771 fill a stored block of 65535
def test_a_png_holds_its_pixels(height: int) -> None:
    pixels = np.resize(np.arange(251, dtype=np.uint8), (height, 28, 3))
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(encode_png(pixels)))), pixels)
