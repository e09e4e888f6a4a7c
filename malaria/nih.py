"""NLM's archive of the 27,558 cells: fetching it, and saying how other cells differ from it.

Data: National Library of Medicine, Lister Hill National Center for Biomedical Communications (Rajaraman et al., PeerJ
6:e4568, 2018), public domain.

nih_manifest.csv.gz holds a line `<name>,<first 8 hex digits of its sha256>` a cell. It was made in the unpacked
cell_images folder by

    find Parasitized Uninfected -name '*.png' | xargs sha256sum | LC_ALL=C sort -k 2 |
        awk '{print $2 "," substr($1, 1, 8)}' | gzip -9n
"""

import gzip
import sys
import time
from importlib.resources import files
from pathlib import Path

import pooch
import requests
from tqdm import tqdm

from malaria.archive import Sums
from malaria.errors import UserError

URL = "https://data.lhncbc.nlm.nih.gov/public/Malaria/cell_images.zip"
SHA256 = "0a949556b2414159b5100192609805376654c4266d8d187be9b1922fad43c668"
CELLS = 27_558

_TRIES = 5  # in vain, in a row, until we give up
_TIMEOUT = 10, 60  # seconds, to connect and to wait for the next bytes
_CHUNK = 1 << 16  # bytes; a cut connection loses up to one chunk
_SHOWN = 5  # names of each kind that explain() gives

_WAYS_ON = """Three ways on:
  - with a copy of NLM's or Kaggle's cell_images.zip, or a folder unpacked from it: set the environment variable
    MALARIA_CELLS to its path
  - with a DVC remote that has the data: dvc pull
  - with neither, on drawn cells: dvc exp run -S download.source=synthetic"""


def fetch(url: str = URL, sha256: str = SHA256, folder: Path = Path("data/download"), backoff: float = 1) -> Path:
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
        return Path(pooch.retrieve(url, f"sha256:{sha256}", "cell_images.zip", folder, downloader=downloader))
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


def explain(sums: Sums) -> str:
    """In what these cells differ from NLM's: how many are missing, extra or different, and the first few names."""
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
    text = gzip.decompress((files("malaria") / "nih_manifest.csv.gz").read_bytes()).decode()
    return dict(line.split(",") for line in text.splitlines())
