"""The 27,558 NIH/NLM malaria cell images: download, read from a zip or folder, check.

Data: National Library of Medicine, Lister Hill National Center for Biomedical Communications (Rajaraman et al., PeerJ
6:e4568, 2018), public domain.

nih_manifest.csv.gz holds a line `<name>,<first 8 hex digits of its sha256>` a cell. It was made in the unpacked
cell_images folder by

    find Parasitized Uninfected -name '*.png' | xargs sha256sum | LC_ALL=C sort -k 2 |
        awk '{print $2 "," substr($1, 1, 8)}' | gzip -9n
"""

import glob
import gzip
import hashlib
import os
import re
import shutil
import sys
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.resources import files
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile, ZipFile

import pandas as pd
import pooch
import requests
from tqdm import tqdm

from malaria.core.archive import Sums, digest, read_file, read_member, write_archive
from malaria.core.artifacts import atomic_write
from malaria.core.errors import UserError
from malaria.data.index import CLASSES, COLUMNS
from malaria.params import Download

URL = "https://data.lhncbc.nlm.nih.gov/public/Malaria/cell_images.zip"
SHA256 = "0a949556b2414159b5100192609805376654c4266d8d187be9b1922fad43c668"
CELLS = 27_558

_TRIES = 5  # in vain, in a row, until we give up
_TIMEOUT = 10, 60  # seconds, to connect and to wait for the next bytes
_CHUNK = 1 << 16  # bytes; a cut connection loses up to one chunk
_SHOWN = 5  # names of each kind that `compare_with_nlm` gives
_MAX_GROWTH = 100  # times that the PNGs of a zip may be larger than it; NLM's are no larger
_PATIENT = re.compile(r"C\d+(?=[A-Za-z_])")  # C100P61ThinF_, C37BP2_, C1_thinF_, C3thin_original_

_Read = Callable[[], bytes]

_WAYS_ON = """Three ways on:
  - with a copy of NLM's or Kaggle's cell_images.zip, or a folder unpacked from it: set the environment variable
    MALARIA_CELLS to its path, or to the address (https://...) of another server that has the zip
  - with a DVC remote that has the data: dvc pull
  - with neither, on drawn cells: dvc exp run -S download.source=synthetic"""


def write_cells(params: Download, path: Path) -> pd.DataFrame:
    """Write NLM's cells, from the zip, folder or URL that MALARIA_CELLS names or else NLM's, and return their index.

    Raises:
        UserError: they cannot be had, or are not those of `download.sha256`. `path` is then as it was.
    """
    downloads = path.parent / "download"
    source = _find_source(os.environ.get("MALARIA_CELLS"), downloads)
    with atomic_write(path) as temporary:
        with tqdm(find_cells(source), path.name, CELLS, unit="cell", delay=0.5, disable=None) as cells:
            sums = write_archive(temporary, cells)
        _check_digest(source, sums, params.sha256)
        index = make_index(sums)
    shutil.rmtree(downloads, ignore_errors=True)
    return index


def _find_source(given: str | None, downloads: Path) -> Path:
    """What MALARIA_CELLS names, downloaded where it is an URL, or else NLM's archive."""
    if not given:
        return fetch(folder=downloads)
    if re.match("https?://", given):
        # its zip may be another with the same cells, which are checked when they are read
        return fetch(given, None, downloads / hashlib.sha256(given.encode()).hexdigest()[:8])
    return Path(given).expanduser()


def _check_digest(source: Path, sums: Sums, sha256: str | None) -> None:
    if sha256 is not None and digest(sums) != sha256:
        raise UserError(
            f"{source}: refused, its {len(sums):,} cells are not those of download.sha256 in params.yaml.\n"
            f"Compared with NLM's:\n{compare_with_nlm(sums)}\n"
            f"To work with these cells all the same: dvc exp run -S download.sha256={digest(sums)}"
        )


def find_patient(name: str) -> str | None:
    """The patient, such as `C47`, that a file name of NLM's begins with, without the microscope; None if none."""
    match = _PATIENT.match(PurePosixPath(name).name)
    return match.group() if match else None


def make_index(names: Iterable[str]) -> pd.DataFrame:
    """The index of cells with NLM's names.

    Raises:
        UserError: naming the first name without a patient, and counting them.
    """
    rows = [(name, CLASSES.index(PurePosixPath(name).parent.name), find_patient(name)) for name in sorted(names)]
    index = pd.DataFrame(rows, columns=COLUMNS)
    if len(nameless := index.name[index.patient.isna()]):
        raise UserError(
            f"{nameless.iloc[0]}: no patient in the name; NLM's begin like C100P61ThinF_ ({len(nameless)} of "
            f"{len(index)} names do not)"
        )
    return index


def fetch(
    url: str = URL, sha256: str | None = SHA256, folder: Path = Path("data/download"), backoff: float = 1
) -> Path:
    """Download the archive into a folder, from where an earlier call was broken off, and return its path.

    A broken connection is taken up again, after a wait that doubles from `backoff` seconds with each try in vain.

    Raises:
        UserError: there is no way to the server, and what came so far is kept for the next call; or what came has
            not this sha256, and is gone.
    """
    part = folder / "cell_images.zip.part"

    def downloader(url: str, output: str, _: object) -> None:
        _download(url, part, backoff)
        part.replace(output)

    try:
        return Path(
            pooch.retrieve(url, sha256 and f"sha256:{sha256}", "cell_images.zip", folder, downloader=downloader)
        )
    except requests.RequestException as error:
        kept = f"\n{_size(part):,} bytes are kept, and the next try goes on from there." if _size(part) else ""
        raise UserError(f"{url}: cannot be downloaded ({error}){kept}\n{_WAYS_ON}") from None
    except ValueError:
        raise UserError(
            f"{url}: what came is not NLM's archive, whose sha256 is {sha256}, and was removed. A proxy or a login "
            f"page may have answered in its place; try again.\n{_WAYS_ON}"
        ) from None


def _download(url: str, part: Path, backoff: float) -> None:
    """Connect until all of it has come."""
    vain, most = 0, _size(part)
    while True:
        try:
            return _resume(url, part)
        except requests.RequestException as error:
            vain = 0 if _size(part) > most else vain + 1
            most = max(most, _size(part))
            if vain == _TRIES or not _may_pass(error):
                raise
            wait = backoff * 2**vain / 2
            print(f"{part.stem}: {type(error).__name__}, trying again in {wait:g} s", file=sys.stderr)
            time.sleep(wait)


def _resume(url: str, part: Path) -> None:
    """Ask once for what is not in `part` yet, and append it."""
    have = _size(part)
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
        if have and response.status_code == requests.codes.requested_range_not_satisfiable:
            _after_the_end(url, part, response.headers.get("Content-Range"))
            return
        response.raise_for_status()
        if response.status_code != requests.codes.partial_content:
            have = 0  # the server sends all of it, asked for a range or not
        total = have + int(response.headers["Content-Length"]) if "Content-Length" in response.headers else None
        with (
            part.open("ab" if have else "wb") as file,
            tqdm(desc=part.stem, total=total, initial=have, unit="B", unit_scale=True, disable=None) as bar,
        ):
            for chunk in response.iter_content(_CHUNK):
                file.write(chunk)
                bar.update(len(chunk))


def _after_the_end(url: str, part: Path, content_range: str | None) -> None:
    """The server has nothing beyond `part`: then that is all of it, or no part of it, and we begin anew."""
    if content_range != f"bytes */{_size(part)}":
        part.unlink()
        _resume(url, part)


def _may_pass(error: requests.RequestException) -> bool:
    """Whether trying again may help: not when the server understood and refused."""
    status = 500 if error.response is None else error.response.status_code
    return status >= 500 or status in (requests.codes.request_timeout, requests.codes.too_many_requests)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def compare_with_nlm(sums: Sums) -> str:
    """How these cells differ from NLM's: how many are missing, extra or different, and the first few names."""
    real = manifest()
    kinds = {
        "missing": real.keys() - sums.keys(),
        "extra": sums.keys() - real.keys(),
        "different": {name for name in real.keys() & sums.keys() if not sums[name].startswith(real[name])},
    }
    return "\n".join(_count(kind, sorted(names)) for kind, names in kinds.items() if names) or "  the same cells"


def _count(kind: str, names: list[str]) -> str:
    more = ", ..." if len(names) > _SHOWN else ""
    return f"  {len(names):,} {kind}: {', '.join(names[:_SHOWN])}{more}"


def manifest() -> dict[str, str]:
    """Name of each of NLM's cells -> the first 8 hex digits of its PNG's sha256."""
    text = gzip.decompress((files("malaria.sources") / "nih_manifest.csv.gz").read_bytes()).decode()
    return dict(line.split(",") for line in text.splitlines())


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
    if unpacked > _MAX_GROWTH * source.stat().st_size:
        raise UserError(
            f"{source}: refused, its PNGs would take {unpacked:,} bytes, more than {_MAX_GROWTH} times the zip. "
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
