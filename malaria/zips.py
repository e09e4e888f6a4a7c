"""Reading a file or the member of a zip that may be made to fill the memory: a bomb of 42 KB can hold petabytes."""

from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

MOST_BYTES = 100_000_000  # of an image file; the largest that is decoded, images.MOST_PIXELS, has 60 MB uncompressed


def read_member(archive: ZipFile, member: ZipInfo) -> bytes:
    """What is in a member, never more in memory than its header says or MOST_BYTES.

    Raises:
        ValueError: in words, it says more, or is packed in a way whose unpacking cannot be bounded.
        BadZipFile: it is damaged, or not what its header says.
    """
    if member.file_size > MOST_BYTES:
        raise ValueError(_too_large(f"{member.file_size:,} bytes when unpacked"))
    if member.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        raise ValueError(f"packed by method {member.compress_type} of zip; pack it anew by deflate, as most do")
    with archive.open(member) as file:
        # A number makes zipfile stop unpacking there, whatever is behind; read() would unpack all and then cut it.
        return file.read(member.file_size + 1)


def read_file(path: Path) -> bytes:
    """What is in a file.

    Raises:
        ValueError: in words, it has more than MOST_BYTES.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ValueError(_too_large(f"more than {MOST_BYTES:,} bytes"))
    return data


def _too_large(what: str) -> str:
    return f"{what}, too many for an image of one cell; give crops"
