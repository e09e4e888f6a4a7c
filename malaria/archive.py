"""The canonical archive data/cells.zip: the same cells are the same bytes, whatever they came in.

Its members are `Parasitized/<file>.png` and `Uninfected/<file>.png`, sorted by name, with nothing of the machine in
their headers, and stored: PNGs are compressed already, and another zlib would deflate them to other bytes.

What counts is the content: the sha256 of each cell and, of them all together, the digest that params.yaml holds.
"""

import glob
import hashlib
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile, ZipFile, ZipInfo

from malaria.errors import UserError
from malaria.files import whole
from malaria.names import CLASSES
from malaria.outs import reading
from malaria.zips import read_file, read_member

Sums = dict[str, str]  # name of a cell -> sha256 of its PNG, in hex
_Read = Callable[[], bytes]

MOST_TIMES = 100  # that a zip of cells may grow; NLM's grows by none


def write_archive(path: Path, cells: Iterable[tuple[str, bytes]], check: Callable[[Sums], None] | None = None) -> str:
    """Write the cells, (name, PNG) in the order of the names, as the canonical archive, and return their digest.

    `check` sees what was written before it is put in place. When it raises, or anything else does, `path` stays as
    it was and nothing half-written is left.

    Raises:
        ValueError: the names are not strictly increasing.
    """
    with whole(path) as unfinished:
        sums = _write(unfinished, cells)
        if check:
            check(sums)
    return digest(sums)


def _write(path: Path, cells: Iterable[tuple[str, bytes]]) -> Sums:
    sums: Sums = {}
    last = ""
    with ZipFile(path, "w") as archive:
        for name, png in cells:
            if name <= last:
                raise ValueError(f"{name} does not come after {last}: cells are written once each, sorted by name")
            archive.writestr(_header(name), png)
            sums[name] = hashlib.sha256(png).hexdigest()
            last = name
    return sums


def _header(name: str) -> ZipInfo:
    """All that zipfile would else take from the clock, the platform or the umask, fixed."""
    header = ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    header.create_system = 3  # Unix
    header.external_attr = 0o100644 << 16
    return header


def digest(sums: Sums) -> str:
    """The sha256 of what `sha256sum` would list, sorted by name: lines of `<sha256>  <name>`, in hex."""
    listing = "".join(f"{sums[name]}  {name}\n" for name in sorted(sums))
    return hashlib.sha256(listing.encode()).hexdigest()


def cell_names(path: Path) -> list[str]:
    """The names of the cells in a canonical archive, sorted.

    Raises:
        UserError: it is not there, no zip, or has no cells; naming what mends it.
    """
    with reading(path), ZipFile(path) as archive:
        if names := sorted(archive.namelist()):
            return names
        raise ValueError("a zip without a file in it")


def find_cells(source: Path) -> Iterator[tuple[str, bytes]]:
    """Each cell (name, PNG) in a zip or folder of whatever nesting, sorted by name, one read at a time.

    A cell is a `*.png` whose folder is named for a class; all else is passed over (Thumbs.db, `__MACOSX/._*`). One
    that is there twice, as in Kaggle's zip, counts once.

    Raises:
        UserError: the source cannot be read, has no cell of some class, or two that differ under one name.
    """
    with _opened(source) as files:
        cells = _by_name(files)
        if absent := [folder for folder in sorted(CLASSES) if not any(name.startswith(f"{folder}/") for name in cells)]:
            raise UserError(
                f"{source}: no PNGs in a folder named {' or '.join(absent)}. Give NLM's or Kaggle's cell_images.zip, "
                "or a folder unpacked from it (its top, not one class)"
            )
        for name in sorted(cells):
            first, *others = _read_all(f"{source}: {name}", cells[name])
            if any(png != first for png in others):
                raise UserError(f"{source}: {name} is in it more than once, with different bytes; remove the wrong one")
            yield name, first


def _read_all(where: str, reads: list[_Read]) -> list[bytes]:
    try:
        return [read() for read in reads]
    except (ValueError, zlib.error, EOFError) as error:
        raise UserError(f"{where} cannot be unpacked: {error}. Remove it, or get the archive anew") from None


@contextmanager
def _opened(source: Path) -> Iterator[list[tuple[str, _Read]]]:
    """The files of a folder or zip, each its path therein and a way to read it; what goes wrong, in words."""
    try:
        if source.is_dir():
            # Path.rglob would not follow links, as to a class folder on another disk
            names = glob.glob("**", root_dir=source, recursive=True)  # noqa: PTH207
            yield [(name, partial(read_file, source / name)) for name in names]
        else:
            with ZipFile(source) as archive:
                members = [member for member in archive.infolist() if member.filename.lower().endswith(".png")]
                _refuse_bomb(source, sum(member.file_size for member in members))
                yield [(member.filename, partial(read_member, archive, member)) for member in members]
    except FileNotFoundError:
        raise UserError(f"{source}: no such file or folder") from None
    except BadZipFile as error:
        raise UserError(
            f"{source}: not a zip file, or one cut short or damaged ({error}); download or copy it anew"
        ) from None
    except (RuntimeError, OSError) as error:  # encrypted, packed in a way that zipfile lacks, or not to be read
        raise UserError(f"{source}: cannot be read ({error}); unpack it yourself and give the folder") from None


def _refuse_bomb(source: Path, unpacked: int) -> None:
    """Members may share their bytes, so that few of them fill a disk; no zip makes PNGs much smaller."""
    if unpacked > MOST_TIMES * source.stat().st_size:
        raise UserError(
            f"{source}: refused, its PNGs would take {unpacked:,} bytes, more than {MOST_TIMES} times the zip. "
            "If they are cells all the same, unpack it yourself and give the folder"
        )


def _by_name(files: Iterable[tuple[str, _Read]]) -> dict[str, list[_Read]]:
    """What is a cell, under its canonical name."""
    cells: dict[str, list[_Read]] = defaultdict(list)
    for name, read in files:
        path = PurePosixPath(name.replace("\\", "/"))  # zips packed by Windows tools may have backslashes
        if path.suffix.lower() == ".png" and path.parent.name in CLASSES and not path.name.startswith("."):
            cells[f"{path.parent.name}/{path.stem}.png"].append(read)
    return cells
