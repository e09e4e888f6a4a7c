"""Images in files, folders and zips, found one at a time."""

import os
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from malaria.core.archive import open_archive, read_file, read_member

SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".avif", ".heic", ".heif"}


@dataclass(frozen=True)
class ImageFile:
    """An image file or a member of a zip; `problem` says why it cannot be read, where that is known."""

    path: str
    member: str | None = None
    problem: str | None = None

    @property
    def name(self) -> str:
        """A path such as `folder/cell.png` or `cells.zip/Parasitized/cell.png`."""
        return self.path if self.member is None else f"{self.path}/{self.member}"

    @property
    def size(self) -> int:
        """Bytes; 0 where it cannot be read."""
        try:
            if self.member is None:
                return Path(self.path).stat().st_size
            return open_archive(Path(self.path)).getinfo(self.member).file_size
        except Exception:  # whatever zipfile raises: `read` says what is wrong
            return 0

    def read(self) -> bytes:
        """The content.

        Raises:
            ValueError: it cannot be read; the message says why.
        """
        if self.problem:
            raise ValueError(self.problem)
        try:
            if self.member is None:
                return read_file(Path(self.path))
            archive = open_archive(Path(self.path))
            return read_member(archive, archive.getinfo(self.member))
        except ValueError:
            raise
        except OSError as error:
            raise ValueError(error.strerror or str(error)) from None
        except Exception as error:  # whatever zipfile raises on a broken or encrypted member
            raise ValueError(f"cannot be unpacked: {error}") from None


def find_images(paths: Iterable[str], others: Counter[str] | None = None) -> Iterator[ImageFile]:
    """The images of files, folders (recursively) and zips; what is none of these is returned with its `problem`.

    A file is taken for an image whatever its name; of folders and zips, the files with one of SUFFIXES. The other files
    are counted in `others` by their suffix, without hidden ones.
    """
    others = Counter() if others is None else others
    for path in paths:
        if Path(path).is_dir():
            yield from _some(path, _walk(path, set(), others))
        elif path.lower().endswith(".zip"):
            yield from _some(path, _list_zip(path, others))
        else:
            yield ImageFile(path)


def _some(path: str, found: Iterator[ImageFile]) -> Iterator[ImageFile]:
    """What was found, or an ImageFile whose problem is that nothing was."""
    first = next(found, None)
    yield first or ImageFile(path, problem=f"no images in it; looked for {', '.join(sorted(SUFFIXES))}")
    yield from found


def _walk(folder: str, above: set[tuple[int, int]], others: Counter[str]) -> Iterator[ImageFile]:
    """The images of a folder, sorted, then those of its folders; links are followed, but not in a cycle."""
    status = Path(folder).stat()
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    try:
        with os.scandir(folder) as listed:
            entries = sorted((entry.name, entry.is_dir()) for entry in listed)
    except OSError as error:
        yield ImageFile(folder, problem=f"cannot be listed: {error.strerror}")
        return
    images = _choose((name for name, is_folder in entries if not is_folder), others)
    yield from (ImageFile(os.path.join(folder, name)) for name in images)  # noqa: PTH118
    for name, is_folder in entries:
        if is_folder:
            yield from _walk(os.path.join(folder, name), above | {here}, others)  # noqa: PTH118


def _list_zip(path: str, others: Counter[str]) -> Iterator[ImageFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
    except (OSError, zipfile.BadZipFile) as error:
        reason = error.strerror if isinstance(error, OSError) else f"not a zip file, or one cut short ({error})"
        yield ImageFile(path, problem=reason)
        return
    yield from (ImageFile(path, member) for member in _choose(members, others))


def _choose(names: Iterable[str], others: Counter[str]) -> Iterator[str]:
    """Those of images; the others are counted."""
    for name in names:
        path = PurePosixPath(name)
        if path.name.startswith(".") or name.endswith("/"):
            continue
        suffix = path.suffix.lower()
        if suffix in SUFFIXES:
            yield name
        else:
            others[suffix or "no suffix"] += 1
