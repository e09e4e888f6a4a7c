"""The same content is the same archive everywhere, and reading one takes no more memory than it should."""

import hashlib
import os
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from malaria.core import archive as archives
from malaria.core.archive import MAX_BYTES, digest, open_archive, read_file, read_member, write_archive
from tests.support.images import claiming, pack

MEMBERS = [("Parasitized/C1_cell_1.png", b"one"), ("Uninfected/C1_cell_2.png", b"two")]


def test_the_bytes_of_an_archive_are_pinned(archive: Path, tmp_path: Path) -> None:
    write_archive(tmp_path / "new/cells.zip", MEMBERS)
    golden = {
        tmp_path / "new/cells.zip": "ec5d262ee62ea20a7f6d18a2a1c0043e2b8475b2dd9db6347b99f22ae3fc08e2",
        archive: "3fc8a45e4b3ca5b7220c8e870f670a147f5092e7ee5f0e33798776d556acbef8",  # of 240 drawn cells
    }
    assert {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in golden} == golden


def test_members_are_stored_and_their_sums_returned(tmp_path: Path) -> None:
    sums = write_archive(tmp_path / "cells.zip", MEMBERS)
    assert sums == {name: hashlib.sha256(data).hexdigest() for name, data in MEMBERS}
    with zipfile.ZipFile(tmp_path / "cells.zip") as archive:
        assert [(member.filename, archive.read(member)) for member in archive.infolist()] == MEMBERS
        assert {member.compress_type for member in archive.infolist()} == {zipfile.ZIP_STORED}


def test_the_digest_is_that_of_the_sorted_sha256sum_listing() -> None:
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in MEMBERS}
    listing = "".join(f"{sums[name]}  {name}\n" for name in sorted(sums))
    assert digest(dict(reversed(sums.items()))) == hashlib.sha256(listing.encode()).hexdigest()


@pytest.mark.parametrize("names", [["b.png", "a.png"], ["a.png", "a.png"]])
def test_names_that_do_not_increase_are_refused_and_nothing_is_written(names: list[str], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=names[1]):
        write_archive(tmp_path / "cells.zip", [(name, b"") for name in names])
    assert list(tmp_path.iterdir()) == []


def test_a_relative_path_opens_the_zip_of_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("one", "two"):
        write_archive(tmp_path / folder / "cells.zip", [(folder, folder.encode())])
        os.utime(tmp_path / folder / "cells.zip", (1, 1))
    for folder in ("one", "two", "one"):
        monkeypatch.chdir(tmp_path / folder)
        assert open_archive(Path("cells.zip")).read(folder) == folder.encode()


def test_a_zip_is_opened_once_until_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "cells.zip"
    write_archive(path, MEMBERS)
    first = open_archive(path)
    assert open_archive(path) is first
    write_archive(path, [("a.png", b"another")])
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))  # where the clock is coarse
    assert open_archive(path).read("a.png") == b"another"


def test_no_more_is_unpacked_than_the_header_says(tmp_path: Path) -> None:
    (tmp_path / "bomb.zip").write_bytes(claiming(pack({"a.png": bytes(10**7)}), 1000))
    archive = zipfile.ZipFile(tmp_path / "bomb.zip")
    tracemalloc.start()
    with pytest.raises(zipfile.BadZipFile):
        read_member(archive, archive.getinfo("a.png"))
    assert tracemalloc.get_traced_memory()[1] < 10**6
    tracemalloc.stop()


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_compression_that_cannot_be_bounded_is_refused(method: int, tmp_path: Path) -> None:
    (tmp_path / "odd.zip").write_bytes(pack({"a.png": b"data"}, method))
    archive = zipfile.ZipFile(tmp_path / "odd.zip")
    with pytest.raises(ValueError, match=str(method)):
        read_member(archive, archive.getinfo("a.png"))


def test_files_and_members_of_too_many_bytes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "large.png").open("wb") as file:
        file.truncate(50 * MAX_BYTES)  # a hole: no disk, but 5 GB of memory if all of it were read
    with pytest.raises(ValueError, match=f"{MAX_BYTES:,}"):
        read_file(tmp_path / "large.png")
    monkeypatch.setattr(archives, "MAX_BYTES", 100)
    (tmp_path / "bomb.zip").write_bytes(pack({"a.png": bytes(101), "b.png": bytes(100)}))
    archive = zipfile.ZipFile(tmp_path / "bomb.zip")
    assert read_member(archive, archive.getinfo("b.png")) == bytes(100)
    with pytest.raises(ValueError, match="101"):
        read_member(archive, archive.getinfo("a.png"))
