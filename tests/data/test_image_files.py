"""Images are found wherever they are, one at a time, and what cannot be read says why."""

import os
import zipfile
from collections import Counter
from itertools import count
from pathlib import Path

import pytest

from malaria.data.image_files import ImageFile, find_images
from tests.support.images import encrypted, pack


def touch(folder: Path, *names: str) -> None:
    for path in (folder / name for name in names):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(path.name.encode())


def find(path: Path) -> list[str]:
    return [file.name for file in find_images([str(path)])]


def test_a_folder_gives_its_images_sorted_then_those_of_its_folders(tmp_path: Path) -> None:
    touch(tmp_path, "b.png", "a.JPG", "z/c.tiff", "m/d.webp", "notes.txt", "._b.png", "m/Thumbs.db")
    assert find(tmp_path) == [str(tmp_path / name) for name in ("a.JPG", "b.png", "m/d.webp", "z/c.tiff")]


def test_other_files_are_counted_by_their_kind(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "b.DNG", "m/c.dng", "m/labels.csv", "README", ".hidden.txt")
    (tmp_path / "cells.zip").write_bytes(pack({"a.png": b"", "b.czi": b"", "folder/": b""}))
    others: Counter[str] = Counter()
    assert len([*find_images([str(tmp_path), str(tmp_path / "cells.zip")], others)]) == 2
    assert others == {".dng": 2, ".csv": 1, "no suffix": 1, ".zip": 1, ".czi": 1}


def test_links_are_followed_but_not_in_a_cycle(tmp_path: Path) -> None:
    touch(tmp_path, "cells/a.png", "elsewhere/b.png")
    (tmp_path / "cells/link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/back").symlink_to(tmp_path / "cells")
    assert find(tmp_path / "cells") == [str(tmp_path / name) for name in ("cells/a.png", "cells/link/b.png")]


def test_a_zip_gives_its_members_and_a_file_itself_whatever_its_name(tmp_path: Path) -> None:
    touch(tmp_path, "scan.dat")
    members = ("in/a.png", "b.bmp", "read.me", "__MACOSX/._a.png", "folder.png/")
    (tmp_path / "cells.zip").write_bytes(pack({name: name.encode() for name in members}))
    found = list(find_images([str(tmp_path / "cells.zip"), str(tmp_path / "scan.dat")]))
    names = ("cells.zip/in/a.png", "cells.zip/b.bmp", "scan.dat")
    assert [file.name for file in found] == [f"{tmp_path}/{name}" for name in names]
    assert [file.read() for file in found] == [b"in/a.png", b"b.bmp", b"scan.dat"]


def test_images_are_found_one_at_a_time() -> None:
    assert next(find_images(f"{number}.png" for number in count())) == ImageFile("0.png")


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("nothing.png", "No such file"),
        ("nothing.zip", "No such file"),
        ("empty", r"no images .*\.bmp"),
        ("empty.zip", "no images"),
        ("text.zip", "not a zip"),
    ],
)
def test_a_path_without_images_is_told_when_it_is_read(name: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    touch(tmp_path, "text.zip")
    zipfile.ZipFile(tmp_path / "empty.zip", "w").close()
    (file,) = find_images([str(tmp_path / name)])
    with pytest.raises(ValueError, match=problem):
        file.read()


def test_a_damaged_or_encrypted_member_is_told(tmp_path: Path) -> None:
    data = pack({"a.png": b"x" * 100}, zipfile.ZIP_STORED)
    for changed, problem in ((data.replace(b"x" * 9, b"y" * 9), "CRC"), (encrypted(data), "encrypted")):
        (path := tmp_path / f"{problem}.zip").write_bytes(changed)
        with pytest.raises(ValueError, match=problem):
            ImageFile(str(path), "a.png").read()


def test_a_folder_that_may_not_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)  # root, who may run this, may read all
    (file,) = find_images([str(tmp_path)])
    assert "Permission denied" in (file.problem or "")
