"""Zip files: a canonical one to write, and any zip to read without unpacking a bomb.

A canonical archive is the same bytes for the same content: its members are sorted by name, stored without compression
(PNGs are compressed already, and every build of zlib deflates to other bytes), and carry no time or platform.
"""

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from malaria.core.artifacts import atomic_write

Sums = dict[str, str]  # name of a member -> sha256 of its content, in hex

MAX_BYTES = 200_000_000  # of an image file; the largest that is decoded has 180 MB uncompressed


def write_archive(path: Path, members: Iterable[tuple[str, bytes]]) -> Sums:
    """Write (name, content) pairs, sorted by name, as a canonical archive; return their sha256 sums.

    Raises:
        ValueError: the names are not strictly increasing.
    """
    sums: Sums = {}
    last = ""
    with atomic_write(path) as temporary, ZipFile(temporary, "w") as archive:
        for name, content in members:
            if name <= last:
                raise ValueError(f"{name} does not come after {last}: members are written once each, sorted by name")
            archive.writestr(_header(name), content)
            sums[name] = hashlib.sha256(content).hexdigest()
            last = name
    return sums


def _header(name: str) -> ZipInfo:
    """Fix what zipfile would take from the clock, the platform or the umask."""
    header = ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    header.create_system = 3  # Unix
    header.external_attr = 0o100644 << 16
    return header


def digest(sums: Sums) -> str:
    """The sha256 of the listing that `sha256sum` would print of the members, sorted by name."""
    listing = "".join(f"{sums[name]}  {name}\n" for name in sorted(sums))
    return hashlib.sha256(listing.encode()).hexdigest()


def open_archive(path: Path) -> ZipFile:
    """The archive, opened once a process while it does not change: reading 27,558 names takes 0.3 s."""
    path = path.resolve()
    return _open(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _open(path: Path, changed: int) -> ZipFile:
    return ZipFile(path)


def read_member(archive: ZipFile, member: ZipInfo) -> bytes:
    """The content of a member, which never takes more memory than its header says, or MAX_BYTES.

    Raises:
        ValueError: it is too large, or compressed by a method whose output cannot be bounded.
        BadZipFile: it is damaged.
    """
    if member.file_size > MAX_BYTES:
        raise ValueError(_too_large(f"{member.file_size:,} bytes when unpacked"))
    if member.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        raise ValueError(f"compressed by method {member.compress_type} of zip; use deflate, as most programs do")
    with archive.open(member) as file:
        return file.read(member.file_size + 1)  # with a number zipfile stops there; read() would unpack all of it first


def read_file(path: Path) -> bytes:
    """The content of a file.

    Raises:
        ValueError: it has more than MAX_BYTES.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(_too_large(f"more than {MAX_BYTES:,} bytes"))
    return data


def _too_large(what: str) -> str:
    return f"{what}, too many for an image; save it as JPEG or PNG, or scale it down"
