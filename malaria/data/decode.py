"""Image files to pixels, and pixels to squares: the one place where images are read and resized."""

import io

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageOps, UnidentifiedImageError

from malaria.params import Fit

Pixels = npt.NDArray[np.uint8]

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP")  # Pillow reads more, some of which run programs
MAX_PIXELS = 60_000_000  # of an image; a crop has some 20,000, a whole photograph of a smear up to 50 million
_REMEDY = f"scale it down, or divide it: at most {MAX_PIXELS // 1_000_000} megapixels are read"

BLACK = 20  # of 255: what is darker in all channels is background


def read_image(data: bytes) -> Image.Image:
    """Decode an image file of FORMATS.

    Raises:
        ValueError: it is no such file, is broken, has several pages, or more than MAX_PIXELS.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:  # before they take memory
                raise ValueError(f"{image.width} x {image.height} pixels are too many; {_REMEDY}")
            if (pages := getattr(image, "n_frames", 1)) > 1 and image.format != "MPO":  # a camera's, with a preview
                raise ValueError(f"it has {pages} pages; give one image a file")
            if image.format == "PNG":
                _verify(data)
            image.load()
            return image
    except Image.DecompressionBombError:  # even more of them
        raise ValueError(f"its pixels are too many; {_REMEDY}") from None
    except UnidentifiedImageError:
        raise ValueError("not a PNG, JPEG, TIFF, BMP or WebP image") from None
    except (ValueError, MemoryError):
        raise
    except Exception as error:  # whatever a decoder raises on rubbish
        raise ValueError(f"cannot be decoded: {error}") from None


def _verify(data: bytes) -> None:
    """Check the CRC of each chunk of a PNG, which loading does not do for the pixels."""
    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        image.verify()


def to_square(image: Image.Image, size: int, fit: Fit) -> Pixels:
    """Resize an image to (size, size, 3) uint8 RGB: bilinear with antialiasing, in Pillow's integer arithmetic.

    fit "stretch" ignores the aspect ratio as the notebook did; "pad" keeps it and centres the cell on black.
    """
    image = blacken(to_rgb(image))
    if fit == "stretch":
        return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))
    scale = size / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    square = Image.new("RGB", (size, size))
    square.paste(image.resize((width, height), Image.Resampling.BILINEAR), ((size - width) // 2, (size - height) // 2))
    return np.asarray(square)


def blacken(image: Image.Image) -> Image.Image:
    """Set nearly black pixels of an RGB image to black: what lossy compression leaves of a black background.

    In the NIH PNGs only the background is that dark.
    """
    red, green, blue = image.split()
    brightest = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    dark = brightest.point([255 if 0 < value < BLACK else 0 for value in range(256)])
    if dark.getbbox():
        image.paste((0, 0, 0), mask=dark)
    return image


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image of any mode to 8-bit RGB, upright as its EXIF says; transparent pixels become black.

    Raises:
        ValueError: its pixels have more than 16 bits.
    """
    image = ImageOps.exif_transpose(image)
    if image.mode == "F" or (image.mode == "I" and image.getextrema()[1] > 65535):  # type: ignore[operator]
        raise ValueError("pixels of more than 16 bits; save it with 8 or 16 a channel")
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image.convert("RGBA"))
    return image.convert("RGB")
