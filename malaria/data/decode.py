"""Image files to pixels, and pixels to squares: the one place where images are read and resized."""

import io
import re

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageFile, ImageOps, UnidentifiedImageError

from malaria.params import Fit

Pixels = npt.NDArray[np.uint8]

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "AVIF")  # Pillow reads more, some of which run programs
MAX_PIXELS = 60_000_000  # of an image; a crop has some 20,000, a whole photograph of a smear up to 50 million
_REMEDY = f"scale it down, or divide it: at most {MAX_PIXELS // 1_000_000} megapixels are read"

BLACK = 20  # of 255: what is darker in all channels is background
GRAY = 3  # of 255: an image whose channels differ no more anywhere has no colour; all of NIH's differ by 5 somewhere
DEPTHS = 8, 10, 12, 14, 16  # bits a channel, of cameras
DEEP = re.compile(r"(?<=;16)[BLN]$")  # the order of the bytes, where Pillow reads channels of 16 bits as 8
TIFF = b"II*\0", b"MM\0*"


def read_rgb(data: bytes) -> Image.Image:
    """Decode an image file of FORMATS to 8-bit RGB, as `to_rgb` does.

    Raises:
        ValueError: `read_image` cannot decode it, or it is black, or without colours, which stains are told by.
    """
    image = to_rgb(read_image(data))
    check_colors(image)
    return image


def check_colors(image: Image.Image) -> None:
    """Raise ValueError if an RGB image is black, or has no colours."""
    red, green, blue = image.split()
    if all(_brightest(channel) < BLACK for channel in (red, green, blue)):
        raise ValueError("it is black")
    if all(_brightest(ImageChops.difference(channel, green)) <= GRAY for channel in (red, blue)):
        raise ValueError("it has no colours, and parasites are told by their stain; save it in colour")


def read_image(data: bytes, formats: tuple[str, ...] = FORMATS) -> Image.Image:
    """Decode an image file of FORMATS, or HEIF where pillow-heif is installed.

    Raises:
        ValueError: it is no such file, is broken, has several pages, or more than MAX_PIXELS.
    """
    try:
        with Image.open(io.BytesIO(data), formats=formats) as image:
            if image.width * image.height > MAX_PIXELS:  # before they take memory
                raise ValueError(f"{image.width} x {image.height} pixels are too many; {_REMEDY}")
            if (pages := getattr(image, "n_frames", 1)) > 1 and image.format != "MPO":  # a camera's, with a preview
                raise ValueError(f"it has {pages} pages; give one image a file")
            if image.format == "PNG":
                _verify(data)
            _load(image, data)
            return image
    except Image.DecompressionBombError:  # even more of them
        raise ValueError(f"its pixels are too many; {_REMEDY}") from None
    except UnidentifiedImageError:
        if data.startswith(TIFF):
            return _read_tiff(data)
        if data[4:8] == b"ftyp" and "HEIF" not in formats:
            return read_image(data, (*FORMATS, _register_heif()))
        raise ValueError("not a PNG, JPEG, TIFF, BMP, WebP, AVIF or HEIC image") from None
    except (ValueError, MemoryError):
        raise
    except Exception as error:  # whatever a decoder raises on rubbish
        raise ValueError(f"cannot be decoded: {error}") from None


def _verify(data: bytes) -> None:
    """Check the CRC of each chunk of a PNG, which loading does not do for the pixels."""
    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        image.verify()


def _brightest(channel: Image.Image) -> float:
    return channel.getextrema()[1]  # type: ignore[return-value]  # of an image of several channels a pair each


def _load(image: ImageFile.ImageFile, data: bytes) -> None:
    """Load the pixels, those of 16 bits a channel over the range that they have.

    Pillow would keep their upper bytes, in which a 12-bit camera leaves next to nothing. So both bytes are read, the
    lower ones by taking them for the upper ones.
    """
    order = {found[0] for tile in image.tile if (found := DEEP.search(_raw_mode(tile)))}
    image.load()
    if not order or image.mode.startswith("I"):
        return
    other = "L" if "B" in order else "B"  # N, the processor's own, is L
    with Image.open(io.BytesIO(data), formats=FORMATS) as lower:
        lower.tile = [tile._replace(args=_with_raw_mode(tile, other)) for tile in lower.tile]
        pixels = np.asarray(image).astype(np.uint16) << 8 | np.asarray(lower)
    image.frombytes(to_8_bits(pixels).tobytes())


def _raw_mode(tile: ImageFile._Tile) -> str:
    return tile.args if isinstance(tile.args, str) else str((tile.args or [""])[0])


def _with_raw_mode(tile: ImageFile._Tile, order: str) -> str | tuple[object, ...]:
    changed = DEEP.sub(order, _raw_mode(tile))
    return changed if isinstance(tile.args, str) else (changed, *(tile.args or ())[1:])


def _register_heif() -> str:
    """Let Pillow read HEIF, which a package more is needed for; its name among Pillow's formats."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        remedy = "install the extra heic (uv sync --extra heic), or save it as PNG or JPEG"
        raise ValueError(f"an HEIC image: {remedy}") from None
    register_heif_opener()
    return "HEIF"


def _read_tiff(data: bytes) -> Image.Image:
    """A TIFF that Pillow does not know, as one of floating-point colours."""
    from tifffile import TiffFile  # takes a while to import

    with TiffFile(io.BytesIO(data)) as file:
        page = file.pages.first
        height, width = page.shape[:2]
        if len(file.pages) > 1 or page.axes not in ("YX", "YXS") or height * width > MAX_PIXELS:
            raise ValueError(f"a TIFF of {len(file.pages)} pages of {page.axes} {page.shape}; save it as 8-bit RGB")
        try:
            pixels = page.asarray()
        except Exception as error:  # whatever a decoder raises on rubbish
            raise ValueError(f"cannot be decoded: {error}") from None
    return Image.fromarray(to_8_bits(pixels)[..., :3] if pixels.ndim == 3 else to_8_bits(pixels))


def to_8_bits(pixels: npt.NDArray[np.generic]) -> Pixels:
    """Scale pixels, integers or floats, from the range that they have to 0..255.

    Up to 1, floats are shares. Else the range is that of a camera, the smallest of DEPTHS that has the brightest pixel:
    the container says little, as most 12-bit cameras write 16-bit files.

    Raises:
        ValueError: the brightest has more than 16 bits, or one is not finite.
    """
    brightest = float(pixels.max())
    if pixels.dtype.kind == "f" and brightest <= 1:
        top = 1.0
    else:
        top = next((2.0**depth - 1 for depth in DEPTHS if brightest < 2**depth), np.nan)
    if not np.isfinite(top * pixels.min()):
        raise ValueError("pixels of more than 16 bits, or not finite; save it with 8 or 16 bits a channel")
    return np.rint(pixels.clip(0, None) * (255 / top)).astype(np.uint8)


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
        ValueError: its pixels have more than 16 bits, or are not finite.
    """
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):
        image = Image.fromarray(to_8_bits(np.asarray(image)))
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image.convert("RGBA"))
    return image.convert("RGB")
