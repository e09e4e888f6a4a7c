import hashlib
import io
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from malaria.core.archive import Sums, cell_names, digest, find_cells, write_archive
from malaria.core.errors import UserError


def png(red: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (3, 2), (red, 0, 0)).save(file, "png")
    return file.getvalue()


CLASSES = ("Parasitized", "Uninfected")
CELLS = {f"{folder}/C{n}P{n}ThinF_IMG_1_cell_{n}.png": png(n) for folder in CLASSES for n in (1, 2, 10)}
INFECTED = "Parasitized/C1P1ThinF_IMG_1_cell_1.png"


def put(source: Path, members: list[tuple[str, bytes]]) -> Path:
    with zipfile.ZipFile(source, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return source


def under(top: str) -> list[tuple[str, bytes]]:
    return [(f"{top}{name}", data) for name, data in CELLS.items()]


def nlm(folder: Path) -> Path:
    return put(folder / "nlm.zip", [*under("cell_images/"), ("cell_images/Parasitized/Thumbs.db", b"thumbs")])


def kaggle(folder: Path) -> Path:
    return put(folder / "kaggle.zip", [*under("cell_images/"), *under("cell_images/cell_images/")])


def shuffled(folder: Path) -> Path:
    return put(folder / "shuffled.zip", under("")[::-1])


def macos(folder: Path) -> Path:
    rubbish = [("__MACOSX/" + "/._".join(name.rsplit("/", 1)), b"fork") for name in CELLS]
    return put(folder / "macos.zip", [*rubbish, *under("my cells/")])


def windows(folder: Path) -> Path:
    odd = [(name.replace("/", "\\").replace(".png", ".PNG"), data) for name, data in CELLS.items()]
    return put(folder / "windows.zip", odd)


def unpacked(folder: Path) -> Path:
    with zipfile.ZipFile(kaggle(folder)) as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


def linked(folder: Path) -> Path:
    (folder / "linked").mkdir()
    for name in ("Parasitized", "Uninfected"):
        (folder / "linked" / name).symlink_to(unpacked(folder) / "cell_images" / name)
    return folder / "linked"


@pytest.mark.parametrize("source", [nlm, kaggle, shuffled, macos, windows, unpacked, linked])
def test_every_source_gives_the_same_bytes(source: Callable[[Path], Path], tmp_path: Path) -> None:
    write_archive(tmp_path / "a.zip", find_cells(source(tmp_path)))
    write_archive(tmp_path / "b.zip", sorted(CELLS.items()))
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


TOPS = st.sampled_from(["", "a/", "a/b/", "Uninfected/"])


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(order=st.permutations(sorted(CELLS)), tops=st.lists(TOPS, min_size=len(CELLS), max_size=len(CELLS)))
def test_neither_order_nor_nesting_matters(order: list[str], tops: list[str], tmp_path: Path) -> None:
    source = put(tmp_path / "any.zip", [(top + name, CELLS[name]) for top, name in zip(tops, order, strict=True)])
    assert list(find_cells(source)) == sorted(CELLS.items())


def test_the_bytes_are_the_same_everywhere_and_for_ever(tmp_path: Path) -> None:
    cells = [("Parasitized/C1_cell_1.png", b"one"), ("Uninfected/C1_cell_2.png", b"two")]
    write_archive(tmp_path / "cells.zip", cells)
    sha256 = hashlib.sha256((tmp_path / "cells.zip").read_bytes()).hexdigest()
    assert sha256 == "ec5d262ee62ea20a7f6d18a2a1c0043e2b8475b2dd9db6347b99f22ae3fc08e2"


def test_members_are_stored_and_readable(tmp_path: Path) -> None:
    write_archive(tmp_path / "new" / "cells.zip", sorted(CELLS.items()))
    with zipfile.ZipFile(tmp_path / "new" / "cells.zip") as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == CELLS
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
    assert cell_names(tmp_path / "new" / "cells.zip") == sorted(CELLS)


def test_the_digest_is_that_of_the_sorted_sha256sum_listing(tmp_path: Path) -> None:
    lines = [f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sorted(CELLS.items())]
    expected = hashlib.sha256("".join(lines).encode()).hexdigest()
    assert write_archive(tmp_path / "cells.zip", sorted(CELLS.items())) == expected
    assert digest({line[66:-1]: line[:64] for line in lines[::-1]}) == expected


@pytest.mark.parametrize("names", [["Uninfected/b.png", "Uninfected/a.png"], ["Uninfected/a.png"] * 2])
def test_names_must_increase(names: list[str], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"{names[1]} does not come after {names[0]}"):
        write_archive(tmp_path / "cells.zip", [(name, b"") for name in names])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, UserError])
def test_nothing_half_written_is_left(error: type[BaseException], tmp_path: Path) -> None:
    def cut_short() -> Iterator[tuple[str, bytes]]:
        yield INFECTED, CELLS[INFECTED]
        raise error

    (tmp_path / "cells.zip").write_bytes(b"as it was")
    with pytest.raises(error):
        write_archive(tmp_path / "cells.zip", cut_short())
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"as it was"]


def test_a_check_refuses_before_anything_is_in_place(tmp_path: Path) -> None:
    def refuse(sums: Sums) -> None:
        assert list(sums) == sorted(CELLS)
        assert not (tmp_path / "cells.zip").exists()
        raise UserError("no")

    with pytest.raises(UserError, match="no"):
        write_archive(tmp_path / "cells.zip", sorted(CELLS.items()), check=refuse)
    assert list(tmp_path.iterdir()) == []


def refusal(source: Path) -> str:
    with pytest.raises(UserError) as caught:
        list(find_cells(source))
    message = str(caught.value)
    assert message.startswith(f"{source}: ")
    return message


def test_two_that_differ_under_one_name_are_refused_by_name(tmp_path: Path) -> None:
    source = put(tmp_path / "two.zip", [*under(""), (f"again/{INFECTED}", png(99))])
    assert f"{INFECTED} is in it more than once" in refusal(source)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_one_path_twice_in_a_zip_is_two(tmp_path: Path) -> None:
    assert INFECTED in refusal(put(tmp_path / "two.zip", [*under(""), (INFECTED, png(99))]))


def test_a_missing_class_is_named(tmp_path: Path) -> None:
    source = put(tmp_path / "half.zip", [(name, data) for name, data in CELLS.items() if name.startswith("Para")])
    assert "no PNGs in a folder named Uninfected." in refusal(source)
    assert "named Parasitized or Uninfected." in refusal(put(tmp_path / "none.zip", [("readme.txt", b"")]))
    (tmp_path / "empty").mkdir()
    assert "named Parasitized or Uninfected." in refusal(tmp_path / "empty")


def test_what_is_no_zip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "page.zip").write_bytes(b"<html>")
    assert "not a zip file" in refusal(tmp_path / "page.zip")
    assert "no such file or folder" in refusal(tmp_path / "nowhere.zip")


def test_a_truncated_zip_is_refused(tmp_path: Path) -> None:
    source = nlm(tmp_path)
    source.write_bytes(source.read_bytes()[:-100])
    assert "cut short or damaged" in refusal(source)


def test_a_damaged_member_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "cells.zip"
    write_archive(source, sorted(CELLS.items()))
    source.write_bytes(source.read_bytes().replace(CELLS[INFECTED], bytes(len(CELLS[INFECTED]))))
    assert f"damaged (Bad CRC-32 for file '{INFECTED}')" in refusal(source)


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "cells.zip"
    write_archive(source, sorted(CELLS.items()))
    data = bytearray(source.read_bytes())
    data[6] |= 1  # the encryption bit of the first member, in its local header and in the directory
    data[data.index(b"PK\x01\x02") + 8] |= 1
    source.write_bytes(data)
    assert "encrypted" in refusal(source)
    assert "unpack it yourself and give the folder" in refusal(source)


def test_cells_are_read_one_at_a_time(tmp_path: Path) -> None:
    write_archive(tmp_path / "cells.zip", sorted(CELLS.items()))
    data = (tmp_path / "cells.zip").read_bytes()
    before, last, after = data.rpartition(CELLS[max(CELLS)])
    (tmp_path / "cells.zip").write_bytes(before + bytes(len(last)) + after)
    cells = find_cells(tmp_path / "cells.zip")
    assert [next(cells) for _ in range(len(CELLS) - 1)] == sorted(CELLS.items())[:-1]
    with pytest.raises(UserError):
        next(cells)


def test_names_are_listed_without_heavy_imports() -> None:
    code = "import sys, malaria.archive; print(*{'torch', 'numpy', 'PIL', 'pandas', 'requests'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
