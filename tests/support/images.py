"""Image files and zips as bytes, sound and damaged."""

import io
import struct
import zipfile
import zlib

import numpy as np
from PIL import Image

NOISE = Image.fromarray(np.random.default_rng(0).integers(1, 256, (40, 50, 3), dtype=np.uint8))


def encode(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """The image as a file of that format."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def join_cells(first: bytes, second: bytes) -> Image.Image:
    """Two cells that are cut out, beside each other, so that they touch."""
    cells = [Image.open(io.BytesIO(png)).convert("RGB") for png in (first, second)]
    left = cells[0].width - 8
    both = Image.new("RGB", (left + cells[1].width, max(cell.height for cell in cells)))
    for cell, x in zip(cells, (0, left), strict=True):
        both.paste(cell, (x, (both.height - cell.height) // 2), Image.fromarray(np.asarray(cell).max(-1) > 0))
    return both


def two_colors(shade: int = 0) -> bytes:
    """A PNG of 2 x 1 pixels, another one for each shade."""
    return encode(Image.fromarray(np.array([[[200, 99, 99], [shade, 199, 199]]], np.uint8)))


def with_wrong_crc(png: bytes) -> bytes:
    """With zeros as the CRC of its pixels, which are as they were."""
    at = png.index(b"IDAT") - 4
    end = at + 8 + struct.unpack(">I", png[at : at + 4])[0]
    return png[:end] + bytes(4) + png[end + 4 :]


def of_header_size(side: int) -> bytes:
    """A PNG whose header claims side x side pixels, with few of them behind it."""
    return _png(side, side, 8, bytes(99))


def encode_deep_png(pixels: np.ndarray) -> bytes:
    """(H, W, 3) uint16 as a PNG of 16 bits a channel, which Pillow does not write."""
    height, width, _ = pixels.shape
    rows = pixels.astype(">u2").reshape(height, -1).view(np.uint8)
    return _png(width, height, 16, np.insert(rows, 0, 0, axis=1).tobytes())


def _png(width: int, height: int, depth: int, rows: bytes) -> bytes:
    """An RGB PNG; each row begins with the number of its filter."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def pack(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return file.getvalue()


def encrypted(data: bytes) -> bytes:
    """A zip whose first member is flagged as encrypted, in its own header and in the directory."""
    new = bytearray(data)
    new[6] |= 1
    new[new.index(b"PK\x01\x02") + 8] |= 1
    return bytes(new)


def claiming(data: bytes, size: int) -> bytes:
    """A zip whose headers say that its first member unpacks to that many bytes."""
    new, at = bytearray(data), data.index(b"PK\x01\x02")
    new[22:26] = new[at + 24 : at + 28] = struct.pack("<I", size)
    return bytes(new)


def empty_crop(seed: int = 0) -> bytes:
    """A PNG of a light, noisy ground without a cell, another one for each seed."""
    noise = np.random.default_rng(seed).normal((225, 200, 190), 4, (70, 80, 3))
    return encode(Image.fromarray(noise.clip(0, 255).astype(np.uint8)))


def with_background(data: bytes) -> bytes:
    """A cell that is cut out, as a PNG of it in a smear: in the middle of a light, noisy ground."""
    cell = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    height, width = (side + 2 * (side // 8) for side in cell.shape[:2])
    crop = np.random.default_rng(0).normal(235, 2, (height, width, 3)).clip(0, 255).astype(np.uint8)
    top, left = (side // 8 for side in cell.shape[:2])
    inside = crop[top : top + cell.shape[0], left : left + cell.shape[1]]
    inside[cell.any(-1)] = cell[cell.any(-1)]
    return encode(Image.fromarray(crop))
