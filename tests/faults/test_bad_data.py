"""Bad data."""

import importlib
import io
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from malaria.cli.__main__ import main as malaria
from malaria.core.archive import MOST_BYTES, write_archive
from malaria.core.errors import UserError
from malaria.data.decode import to_square
from malaria.data.duplicates import LIMIT
from malaria.data.index import CLASSES
from tests.support.fault_table import Survived
from tests.support.scratch import ROOT

Cells = list[tuple[str, bytes]]
Say = Callable[[str], str]
PARASITIZED, UNINFECTED = (f"{folder}/C1P1ThinF_IMG_1_cell_1.png" for folder in ("Parasitized", "Uninfected"))
BEFORE = b"what was there before"


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty one with our params, for 32 px."""
    text = (ROOT / "params.yaml").read_text("utf-8")
    (tmp_path / "params.yaml").write_text(text.replace("size: 64 ", "size: 32 "), "utf-8")
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def refused(workspace: Path) -> Callable[[str, str], str]:
    """Run a stage that must end with one message and leave its out as it was; returns the message."""

    def run(stage: str, out: str) -> str:
        Path(out).write_bytes(BEFORE)
        files = {path for path in workspace.rglob("*") if path.is_file()}
        with pytest.raises(UserError) as ended:
            importlib.import_module(f"stages.{stage}").main()
        assert Path(out).read_bytes() == BEFORE
        assert {path for path in workspace.rglob("*") if path.is_file()} == files
        message = str(ended.value)  # and status 1: what a SystemExit with a message ends in
        assert "Traceback" not in message
        return message

    return run


def png(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def small(shade: int = 0) -> bytes:
    """Two colours, so a cell as far as anyone can tell."""
    return png(Image.fromarray(np.array([[[200, 99, 99], [shade, 199, 199]]], np.uint8)))


CELLS = {PARASITIZED: small(1), UNINFECTED: small(2)}


# What MALARIA_CELLS names, to the download stage.


def packed(files: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return file.getvalue()


def flagged(data: bytes) -> bytes:
    """The first member marked as encrypted, in its header and in the directory."""
    new = bytearray(data)
    new[6] |= 1
    new[new.index(b"PK\x01\x02") + 8] |= 1
    return bytes(new)


def lying(data: bytes, claimed: int) -> bytes:
    """The first member said to unpack to so many bytes."""
    new, at = bytearray(data), data.index(b"PK\x01\x02")
    new[22:26] = new[at + 24 : at + 28] = struct.pack("<I", claimed)
    return bytes(new)


def shared(times: int) -> bytes:
    """A directory that names one and the same packed member again and again."""
    data = packed({PARASITIZED: bytes(10**7)}, zipfile.ZIP_DEFLATED)
    at, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    entries = b"".join(
        data[at:end].replace(b"cell_1.png", f"cell_{number}.png".encode()) for number in range(1, 1 + min(times, 9))
    )
    tail = bytearray(data[end:])
    tail[8:12] = struct.pack("<HH", min(times, 9), min(times, 9))
    tail[12:16] = struct.pack("<I", len(entries))
    return data[:at] + entries + bytes(tail)


BOMB = packed({PARASITIZED: bytes(MOST_BYTES + 1)}, zipfile.ZIP_DEFLATED)
WHOLE = packed(CELLS)
SOURCES = {
    "truncated zip": (WHOLE[:-100], "cut to its first part", "not a zip file, or one cut short or damaged"),
    "empty file": (b"", "0 bytes", "not a zip file, or one cut short or damaged"),
    "no zip at all": (b"<html>404</html>", "a web page", "not a zip file, or one cut short or damaged"),
    "damaged member": (WHOLE.replace(CELLS[UNINFECTED], bytes(len(CELLS[UNINFECTED]))), "zeros", "Bad CRC-32"),
    "encrypted member": (flagged(WHOLE), "the flag set", "is encrypted, password required"),
    "member packed by bzip2": (packed(CELLS, zipfile.ZIP_BZIP2), "method 12", "pack it anew by deflate"),
    "zip bomb, one member": (BOMB, f"{MOST_BYTES:,} zeros in {len(BOMB) // 1000} KB", "more than 100 times the zip"),
    "zip bomb, shared bytes": (shared(9), "nine names of one member", "more than 100 times the zip"),
    "wrong class folders": (
        packed({"sick/a.png": small(), "well/b.png": small()}),
        "sick/, well/",
        "no PNGs in a folder",
    ),
    "one class missing": (packed({PARASITIZED: small()}), "no Uninfected/", "no PNGs in a folder named Uninfected"),
    "empty set": (packed({}), "a zip without members", "named Parasitized or Uninfected"),
    "two that differ under one name": (
        packed(CELLS | {f"again/{PARASITIZED}": small(9)}),
        "in two folders",
        "more than once",
    ),
}


@pytest.mark.parametrize("fault", SOURCES)
def test_a_source_that_cannot_be_used(
    fault: str, refused: Callable[[str, str], str], monkeypatch: pytest.MonkeyPatch, survived: Survived
) -> None:
    data, how, expected = SOURCES[fault]
    Path("given.zip").write_bytes(data)
    monkeypatch.setenv("MALARIA_CELLS", "given.zip")
    message = refused("download", "data/cells.zip")
    assert message.startswith("given.zip: ")
    assert expected in message
    survived(f"{fault} given as the images", f"`MALARIA_CELLS=given.zip`: {how}", message)


def test_a_zip_whose_header_lies_is_not_unpacked_further_than_it_says(
    refused: Callable[[str, str], str], monkeypatch: pytest.MonkeyPatch, survived: Survived
) -> None:
    Path("given.zip").write_bytes(lying(BOMB, 1000))
    monkeypatch.setenv("MALARIA_CELLS", "given.zip")
    asked: list[int] = []
    unpack = zlib.decompressobj
    monkeypatch.setattr(zipfile.zlib, "decompressobj", lambda *a: Counted(unpack(*a), asked))
    message = refused("download", "data/cells.zip")
    assert "damaged (Bad CRC-32" in message or "no PNGs in a folder named Uninfected" in message
    assert max(asked, default=0) <= 4096  # bytes: the least that zipfile asks for at once
    survived("zip bomb whose header says 1,000 bytes", "the size in both headers overwritten", message)


class Counted:
    """zlib's unpacking, and how much each call of it gave."""

    def __init__(self, real: "zlib._Decompress", asked: list[int]) -> None:
        self.real, self.asked = real, asked

    def __getattr__(self, name: str) -> object:
        return getattr(self.real, name)

    def decompress(self, data: bytes, most: int) -> bytes:
        self.asked.append(len(given := self.real.decompress(data, most)))
        return given


@pytest.mark.parametrize("top", ["../../", "/tmp/", "..\\..\\", "C:\\"])
def test_zip_slip(top: str, workspace: Path, monkeypatch: pytest.MonkeyPatch, survived: Survived) -> None:
    Path("given.zip").write_bytes(packed({top + name: data for name, data in CELLS.items()}))
    monkeypatch.setenv("MALARIA_CELLS", "given.zip")
    before = {path for path in workspace.parent.rglob("*") if path.is_file()}
    with pytest.raises(UserError) as ended:
        importlib.import_module("stages.download").main()  # they are not NLM's
    accepted = str(ended.value).rpartition("download.sha256=")[2]
    text = Path("params.yaml").read_text("utf-8")
    Path("params.yaml").write_text(text.replace(text.partition("sha256: ")[2][:64], accepted), "utf-8")
    importlib.import_module("stages.download").main()
    assert zipfile.ZipFile("data/cells.zip").namelist() == sorted(CELLS)
    after = {path for path in workspace.parent.rglob("*") if path.is_file()}
    assert after - before == {workspace / "data/cells.zip"}
    survived("zip slip: names that lead out of the folder", "members in `../../`, `/tmp/`, `..\\..\\`, `C:\\`", "")


# What is in data/cells.zip, to split and preprocess.


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def wrong_crc(data: bytes) -> bytes:
    at = data.index(b"IDAT") - 4
    end = at + 8 + struct.unpack(">I", data[at : at + 4])[0]
    return data[:end] + b"\0\0\0\0" + data[end + 4 :]


def huge() -> bytes:
    """20,000 x 20,000 pixels in a header, and few of them behind it: whoever believes it asks for 1.2 GB."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")


NOISE = Image.fromarray(np.random.default_rng(0).integers(1, 256, (40, 50, 3), dtype=np.uint8))
PICTURES = {
    "PNG cut short": (cut(png(NOISE)), "cannot be decoded: image file is truncated"),
    "PNG with a wrong CRC": (wrong_crc(png(NOISE)), "a damaged PNG: wrong CRC of its IDAT"),
    "PNG of 20,000 x 20,000": (huge(), "its pixels are too many; give crops of one cell each"),
    "PNG of 1 x 1": (png(Image.new("RGB", (1, 1), "red")), "all of it has one colour, so there is no cell in it"),
    "PNG of one colour": (
        png(Image.new("RGB", (90, 50), "pink")),
        "all of it has one colour, so there is no cell in it",
    ),
    "PNG all black": (png(Image.new("L", (50, 50))), "all of it has one colour, so there is no cell in it"),
    "no image": (b"%PDF-1.4", "not a PNG, JPEG, TIFF, BMP or WebP image"),
    "empty file": (b"", "not a PNG, JPEG, TIFF, BMP or WebP image"),
    "PNG of several pages": (png(NOISE, save_all=True, append_images=[NOISE.rotate(90)]), "it has 2 pages"),
}


def test_pictures_that_are_no_cells_are_all_named(
    drawn: Cells, refused: Callable[[str, str], str], survived: Survived
) -> None:
    broken = {name: picture for (name, _), picture in zip(drawn[::20], PICTURES.values(), strict=False)}
    write_archive(Path("data/cells.zip"), sorted((dict(drawn) | {n: data for n, (data, _) in broken.items()}).items()))
    message = refused("preprocess", "data/cells.npy")
    first, *lines, last = message.splitlines()
    assert first == f"{len(PICTURES)} of the images in data/cells.zip are no cells that can be read:"
    assert last == "Put right or leave out these in what it was made from, and run `uv run dvc repro -f download`"
    for fault, line, (name, (_, expected)) in zip(PICTURES, lines, broken.items(), strict=True):
        assert line.startswith(f"  {name}: {expected}"), fault
        survived(f"{fault} among the cells", "`data/cells.zip`, preprocess", f"{first} {line} {last}")


@pytest.mark.parametrize("kind", ["palette", "CMYK JPEG called .png", "CMYK TIFF called .png", "16-bit grey"])
def test_pictures_of_other_modes_are_read(kind: str, drawn: Cells, workspace: Path, survived: Survived) -> None:
    cell = Image.open(io.BytesIO(drawn[0][1])).convert("RGB")
    deep = Image.fromarray(np.asarray(cell.convert("L")).astype(np.uint16) * 257)
    data = {
        "palette": png(cell.quantize(256)),
        "CMYK JPEG called .png": png(cell.convert("CMYK"), "JPEG", quality=98),
        "CMYK TIFF called .png": png(cell.convert("CMYK"), "TIFF"),
        "16-bit grey": png(deep),
    }[kind]
    write_archive(Path("data/cells.zip"), [(drawn[0][0], data), *drawn[1:9]])
    importlib.import_module("stages.preprocess").main()
    expected = to_square(cell.convert("L") if kind == "16-bit grey" else cell, 32, "stretch").astype(int)
    assert abs(np.load("data/cells.npy")[0] - expected).mean() < 4
    survived(f"{kind} among the cells", "`data/cells.zip`, preprocess", "none: it is read as what it shows")


def test_the_same_pixels_in_both_classes(
    drawn: Cells, refused: Callable[[str, str], str], capsys: pytest.CaptureFixture[str], survived: Survived
) -> None:
    cells = dict(drawn)
    sick = [name for name in cells if name.startswith("Parasitized")][:7]
    others = {name.replace("Parasitized", "Uninfected").replace("_cell_", "_again_cell_"): cells[name] for name in sick}
    # other bytes of the same pixels
    others = {name: png(Image.open(io.BytesIO(data)), compress_level=1) for name, data in others.items()}
    assert not set(others.values()) & set(cells.values())
    write_archive(Path("data/cells.zip"), sorted((cells | others).items()))
    message = refused("preprocess", "data/cells.npy")
    assert message.startswith("7 of the images in data/cells.zip are in both classes, pixel for pixel: ")
    assert all(f"{one} = {other}" in message for one, other in list(zip(sick, others, strict=True))[:5])
    assert ", and 2 more. Remove those with the wrong label" in message
    survived("the same image under both labels", "seven PNGs, packed otherwise, in the other folder", message)


def test_the_same_pixels_twice_in_a_class(
    drawn: Cells, workspace: Path, capsys: pytest.CaptureFixture[str], survived: Survived
) -> None:
    name, data = drawn[0]
    again = name.replace("_cell_", "_again_cell_")
    write_archive(Path("data/cells.zip"), sorted([*drawn, (again, data)]))
    importlib.import_module("stages.preprocess").main()
    said = capsys.readouterr().out
    assert f"; 1 the same as another, pixel for pixel: {again} = {name}" in said
    assert len(np.load("data/cells.npy")) == len(drawn) + 1
    survived("the same image twice under one label", "a PNG under two names", said)


def test_near_duplicates_in_two_splits(
    drawn: Cells, workspace: Path, capsys: pytest.CaptureFixture[str], survived: Survived
) -> None:
    pictures = [Image.open(io.BytesIO(data)).convert("RGB") for _, data in drawn]
    one, other = 3, 200
    brighter = pictures[one].point(lambda value: min(255, round(value * 1.1)))
    pictures[other] = brighter.resize([round(side * 1.2) for side in brighter.size])
    np.save("data/cells.npy", np.stack([to_square(picture, 32, "stretch") for picture in pictures]))
    table = pd.DataFrame(
        {"name": [name for name, _ in drawn], "label": [CLASSES.index(n.split("/")[0]) for n, _ in drawn]}
    )
    table = table.assign(patient="C1", smear="a", split="train")
    table.loc[other, "split"] = "test"
    table.to_csv("data/split.csv", index=False)
    importlib.import_module("stages.audit").main()
    said = capsys.readouterr().out
    assert said.startswith("Near-duplicates: 1 (pairs of cells), in two splits: 1, under two labels: ")
    (row,) = pd.read_csv("data/duplicates.csv").itertuples()
    assert (row.name, row.other, row.split, row.other_split) == (drawn[one][0], drawn[other][0], "train", "test")
    assert 0 <= row.distance <= LIMIT
    survived("near-duplicates in two splits", "a cell of train 20 % larger and 10 % brighter in test", said)


NAMES = {
    "names without a patient": (
        [f"{folder}/cell_{n}.png" for folder in CLASSES for n in range(9)],
        "Parasitized/cell_0.png: no patient in the name; NLM's begin like C100P61ThinF_ (18 of 18 names",
    ),
    "names of no class": (
        [f"sick/C{n}P1ThinF_IMG_1_cell_1.png" for n in range(9)],
        "not in a folder named Uninfected or Parasitized",
    ),
    "one class missing": (
        [f"Parasitized/C{n}P1ThinF_IMG_1_cell_1.png" for n in range(9)],
        "the 0 patients with Uninfected",
    ),
    "one patient": (
        [f"{folder}/C1P1ThinF_IMG_1_cell_{n}.png" for folder in CLASSES for n in range(9)],
        "cannot deal the 1 patients with Uninfected cells into 5 parts: there must be cells of more patients",
    ),
    "empty set": ([], "data/cells.zip: damaged, or not what its stage writes: a zip without a file in it"),
}


@pytest.mark.parametrize("fault", NAMES)
def test_cells_that_cannot_be_split(fault: str, refused: Callable[[str, str], str], survived: Survived) -> None:
    names, expected = NAMES[fault]
    write_archive(Path("data/cells.zip"), [(name, b"") for name in sorted(names)])
    message = refused("split", "data/split.csv")
    assert message.startswith("data/cells.zip: ")
    assert expected in message
    survived(f"{fault}", "`data/cells.zip`, split", message)


# What a user gives to predict.


def test_a_bomb_to_predict(
    workspace: Path, capsys: pytest.CaptureFixture[str], survived: Survived, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from tests.support.models import make_model

    model = make_model(tmp_path_factory.mktemp("model"))
    Path("bomb.zip").write_bytes(packed({"a.png": bytes(MOST_BYTES + 1)}, zipfile.ZIP_DEFLATED))
    Path("odd.zip").write_bytes(packed({"a.png": small()}, zipfile.ZIP_LZMA))
    with Path("large.png").open("wb") as file:
        file.truncate(MOST_BYTES * 50)  # a hole: no disk, but 5 GB of memory to who reads it all
    with pytest.raises(SystemExit) as ended:
        malaria(["predict", "bomb.zip", "odd.zip", "large.png", "--model", str(model)])
    assert ended.value.code == "3 of 3 images could not be read"
    bomb, odd, large = capsys.readouterr().err.splitlines()
    assert bomb == "bomb.zip/a.png: 100,000,001 bytes when unpacked, too many for an image of one cell; give crops"
    assert odd == "odd.zip/a.png: packed by method 14 of zip; pack it anew by deflate, as most do"
    assert large == "large.png: more than 100,000,000 bytes, too many for an image of one cell; give crops"
    survived("zip bomb to predict", "`malaria predict bomb.zip`", bomb)
    survived("zip packed by LZMA, which cannot be bounded, to predict", "`malaria predict odd.zip`", odd)
    survived("image file of 5 GB to predict", "`malaria predict large.png`", large)


# Outs that were damaged, to the stage that reads them.


@pytest.fixture(scope="module")
def made(drawn: Cells, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """data/ as split, preprocess and evaluate leave it."""
    data = tmp_path_factory.mktemp("made") / "data"
    write_archive(data / "cells.zip", drawn)
    size, names = 32, [name for name, _ in drawn]
    rng = np.random.default_rng(0)
    np.save(data / "cells.npy", rng.integers(0, 256, (len(drawn), size, size, 3), dtype=np.uint8))
    split = pd.DataFrame({"name": names, "label": [CLASSES.index(n.split("/")[0]) for n in names]})
    split = split.assign(patient="C1", smear="a", split=np.resize(["train", "val", "test"], len(names)))
    split.to_csv(data / "split.csv", index=False)
    judged = split[split.split != "train"].assign(logit=0.5, probability=0.6, ood_score=0.1)
    judged.drop(columns="smear").to_csv(data / "predictions.csv", index=False)
    return data


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def junk(data: bytes) -> bytes:
    return np.random.default_rng(0).bytes(len(data))


def words(data: bytes) -> bytes:
    return b"# a note that went astray\n" * 9


def nothing(data: bytes) -> bytes:
    return b""


READERS = {
    "data/cells.zip": "split",
    "data/split.csv": "audit",
    "data/cells.npy": "audit",
    "data/predictions.csv": "explain",
}
OUTS = {"split": "data/split.csv", "audit": "data/duplicates.csv", "explain": "data/examples.csv"}
DAMAGED = [half, junk, words, nothing]
# Half of a table is a table: only where the last line tells, or when it is held against the cells.
WHOLE_IN_HALF = {"data/split.csv", "data/predictions.csv"}


@pytest.mark.parametrize("damage", DAMAGED)
@pytest.mark.parametrize("name", READERS)
def test_a_damaged_out(
    name: str, damage: Callable[[bytes], bytes], made: Path, refused: Callable[[str, str], str], survived: Survived
) -> None:
    shutil.copytree(made, "data", dirs_exist_ok=True)
    Path(name).write_bytes(damage(Path(name).read_bytes()))
    message = refused(stage := READERS[name], OUTS[stage])
    assert message.startswith(("data/cells.npy", name) if damage is half else name)
    assert "`uv run dvc repro` brings it back" in message
    how = {half: "cut to half", junk: "random bytes", words: "other text", nothing: "emptied"}[damage]
    survived(f"`{name}` {how}", f"`python -m stages.{stage}`", message)


@pytest.mark.parametrize("name", READERS)
def test_an_out_that_is_gone(name: str, made: Path, refused: Callable[[str, str], str], survived: Survived) -> None:
    shutil.copytree(made, "data", dirs_exist_ok=True)
    Path(name).unlink()
    message = refused(stage := READERS[name], OUTS[stage])
    assert message.startswith(f"{name}: not there. `uv run dvc repro`")
    survived("an out that is gone", f"`python -m stages.{stage}` without `{name}`", message)


def test_each_bit_of_the_header_of_cells_npy(made: Path, workspace: Path, survived: Survived) -> None:
    from malaria.core.artifacts import map_cells

    whole = (made / "cells.npy").read_bytes()
    shape, tries, said = np.load(made / "cells.npy").shape, 0, ""
    for bit in range(8 * 128):
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        Path("data/cells.npy").write_bytes(data)
        try:
            # what passes are spaces, or fewer cells than there were
            assert map_cells(Path("data/cells.npy")).shape[1:] == shape[1:]
        except UserError as error:
            said = said or str(error)
            tries += str(error).startswith("data/cells.npy: damaged, or not what its stage writes: ")
    assert tries > 500
    survived("a bit of the header of `data/cells.npy` flipped", "each of 1,024 bits", said, tries)


TABLES = {
    "a column lost": (lambda t: t.drop(columns="label"), "no column label"),
    "no rows": (lambda t: t.head(0), "no rows"),
    "a value lost": (lambda t: t.assign(split=t.split.where(t.index != 3)), "nothing in column split of line 5"),
    "a label that is none": (lambda t: t.assign(label=t.label.where(t.index != 3, 7)), "column label says 7"),
    "a split that is none": (lambda t: t.assign(split=t.split.where(t.index != 3, "tesd")), "column split says tesd"),
    "another set's": (lambda t: t.head(50), "it has 240 cells and data/split.csv 50"),
}


@pytest.mark.parametrize("fault", TABLES)
def test_a_split_that_is_a_table_and_yet_wrong(
    fault: str, made: Path, refused: Callable[[str, str], str], survived: Survived
) -> None:
    change, expected = TABLES[fault]
    shutil.copytree(made, "data", dirs_exist_ok=True)
    change(pd.read_csv("data/split.csv")).to_csv("data/split.csv", index=False)
    message = refused("audit", "data/duplicates.csv")
    assert expected in message
    assert "`uv run dvc repro` brings it back" in message
    survived(f"`data/split.csv` with {fault}", "`python -m stages.audit`", message)
