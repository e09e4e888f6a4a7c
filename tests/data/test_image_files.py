"""Images are found wherever they are, one at a time, and what cannot be one says why."""

import os
import zipfile
from pathlib import Path

import pytest

from malaria.data.image_files import ImageFile, find_images


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(path.name.encode())


def names(*paths: Path | str) -> list[str]:
    return [file.name for file in find_images(map(str, paths))]


def test_a_folder_gives_its_images_sorted_then_those_of_its_folders(tmp_path: Path) -> None:
    touch(
        *(tmp_path / name for name in ("b.png", "a.JPG", "z/c.tiff", "m/d.webp", "notes.txt", "._b.png", "m/Thumbs.db"))
    )
    assert names(tmp_path) == [str(tmp_path / name) for name in ("a.JPG", "b.png", "m/d.webp", "z/c.tiff")]


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    touch(tmp_path / "cells/a.png", tmp_path / "elsewhere/b.png")
    (tmp_path / "cells/link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/back").symlink_to(tmp_path / "cells")
    assert names(tmp_path / "cells") == [str(tmp_path / name) for name in ("cells/a.png", "cells/link/b.png")]


def test_a_zip_gives_its_members_and_a_file_itself_whatever_its_name(tmp_path: Path) -> None:
    touch(tmp_path / "scan.dat")
    with zipfile.ZipFile(tmp_path / "cells.zip", "w") as archive:
        for name in ("in/a.png", "b.bmp", "read.me", "__MACOSX/._a.png", "folder.png/"):
            archive.writestr(name, name)
    found = list(find_images([str(tmp_path / "cells.zip"), str(tmp_path / "scan.dat")]))
    assert [file.name for file in found] == [
        f"{tmp_path}/{name}" for name in ("cells.zip/in/a.png", "cells.zip/b.bmp", "scan.dat")
    ]
    assert [file.read() for file in found] == [b"in/a.png", b"b.bmp", b"scan.dat"]


def test_a_million_names_are_not_kept() -> None:
    found = find_images(f"{number}.png" for number in range(10**9))
    assert next(found) == ImageFile("0.png")


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("nothing.png", "No such file or directory"),
        ("empty", r"no images in it; looked for \.bmp, \.jpeg, "),
        ("text.zip", "not a zip file, or one cut short"),
        ("nothing.zip", "No such file or directory"),
        ("empty.zip", "no images in it"),
    ],
)
def test_what_is_no_image_is_told_when_it_is_read(name: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.zip").write_text("PK, but no zip")
    zipfile.ZipFile(tmp_path / "empty.zip", "w").close()
    (file,) = find_images([str(tmp_path / name)])
    with pytest.raises(ValueError, match=problem):
        file.read()


def test_a_damaged_or_encrypted_member_is_told(tmp_path: Path) -> None:
    path = tmp_path / "cells.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", b"x" * 100)
    path.write_bytes(path.read_bytes().replace(b"x" * 100, b"x" * 50 + b"y" * 50))
    with pytest.raises(ValueError, match="cannot be unpacked: Bad CRC-32"):
        ImageFile(str(path), "a.png").read()
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "secret.zip").write_bytes(bytes(data))
    with pytest.raises(ValueError, match=r"cannot be unpacked: .*encrypted"):
        ImageFile(str(tmp_path / "secret.zip"), "a.png").read()


def test_a_folder_that_may_not_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)  # root, who may run this, may read all
    (file,) = find_images([str(tmp_path)])
    assert file.problem == "cannot be listed: Permission denied"
