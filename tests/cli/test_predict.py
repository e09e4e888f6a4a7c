"""`malaria predict` as it is typed: what comes in, what comes out, and what becomes of rubbish."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from malaria import load_model
from malaria.cli.__main__ import main
from malaria.data.decode import MAX_PIXELS, decode, decode_archive
from malaria.data.image_files import ImageFile, find_images
from malaria.predict.batch import CHUNK, decode_files
from tests.support.models import make_model
from tests.support.scratch import ROOT

Cells = list[tuple[str, bytes]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Random, but of probabilities that differ."""
    return str(make_model(tmp_path_factory.mktemp("model"), temperature=1e-3))


@pytest.fixture
def folder(drawn: Cells, tmp_path: Path) -> Path:
    """Six cells in two folders."""
    for number, (name, png) in enumerate(drawn[:3] + drawn[-3:]):
        path = tmp_path / "cells" / ("some" if number % 2 else "others") / Path(name).name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png)
    return tmp_path / "cells"


def predict(capsys: pytest.CaptureFixture[str], *arguments: str | Path, status: object = None) -> tuple[str, str]:
    """What it prints, and what it complains of."""
    ended = None
    try:
        main(["predict", *map(str, arguments)])
    except SystemExit as end:
        ended = end.code
    assert (ended is None) == (status is None), ended
    if status is not None:
        assert status == ended or str(status) in str(ended)
    said = capsys.readouterr()
    return said.out, said.err


def test_a_row_an_image_in_each_format(folder: Path, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    paths = sorted(folder.glob("others/*")) + sorted(folder.glob("some/*"))
    expected = load_model(model).predict(paths)
    expected.insert(0, "image", [str(path) for path in paths])

    table = pd.read_csv(io.StringIO(predict(capsys, folder, "--model", model, "--csv")[0]), keep_default_na=False)
    pd.testing.assert_frame_equal(table, expected, check_dtype=False)

    rows = json.loads(predict(capsys, folder, "--model", model, "--json")[0])
    assert [row["image"] for row in rows] == expected.image.tolist()
    assert rows[0].keys() == set(expected.columns)
    assert rows[0]["unlike"] is None
    assert isinstance(rows[0]["uncertain"], bool)
    lines = predict(capsys, folder, "--model", model, "--jsonl")[0].splitlines()
    assert [json.loads(line) for line in lines] == rows

    head, *text = predict(capsys, folder, "--model", model)[0].splitlines()
    assert head.split() == ["probability", "decision", "warning", "image"]
    assert [line.split()[-1] for line in text] == expected.image.tolist()
    assert [float(line.split()[0]) for line in text] == pytest.approx(expected.probability.tolist(), abs=1e-4)


def test_files_folders_zips_and_lists_mixed(
    folder: Path, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, *_ = listed = sorted(map(str, folder.glob("some/*")))
    with zipfile.ZipFile(tmp_path / "cells.zip", "w") as archive:
        archive.write(one, "inside.png")
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(listed) + "\r\n"))
    out, _ = predict(capsys, one, tmp_path / "cells.zip", folder / "others", "-", "--model", model, "--csv")
    images = [row["image"] for row in csv.DictReader(io.StringIO(out))]
    others = sorted(map(str, folder.glob("others/*")))
    assert images == [one, f"{tmp_path}/cells.zip/inside.png", *others, *listed]


def test_rubbish_is_a_line_each_and_the_rest_go_on(
    folder: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    good = next(folder.glob("some/*")).read_bytes()
    (folder / "cut.png").write_bytes(good[: len(good) // 2])
    (folder / "empty.png").touch()
    (folder / "text.jpg").write_text("no picture")
    out, err = predict(capsys, folder, "none.png", "--model", model, "--csv", status="4 of 10 images could not be read")
    assert len(out.splitlines()) == 7
    complaints = err.splitlines()
    assert len(complaints) == 4
    assert f"{folder}/cut.png: cannot be decoded: image file is truncated" in complaints[0]
    assert complaints[1:] == [
        f"{folder}/empty.png: not a PNG, JPEG, TIFF, BMP or WebP image",
        f"{folder}/text.jpg: not a PNG, JPEG, TIFF, BMP or WebP image",
        "none.png: No such file or directory",
    ]


@pytest.mark.parametrize("form", ["--csv", "--json", "--jsonl", "--model"])
def test_nothing_but_rubbish_is_still_a_table(form: str, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    options = [] if form == "--model" else [form]
    out, _ = predict(capsys, "none.png", *options, "--model", model, status="1 of 1 images could not be read")
    expected = {"--csv": "image,probability,decision,uncertain,ood_score,unlike\n", "--json": "[]\n", "--jsonl": ""}
    assert out == expected.get(form, out)


def test_thresholds(folder: Path, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    def decisions(*options: str) -> set[str]:
        out, _ = predict(capsys, folder, "--model", model, "--csv", *options)
        return set(pd.read_csv(io.StringIO(out)).decision)

    assert decisions("--threshold", "0") == {"Parasitized"}
    assert decisions("--threshold", "1") == {"Uninfected"}
    assert decisions("--operating-point", "sensitivity_98") == decisions("--threshold", "0.1")
    for wrong in ("1.5", "many", "nan"):
        assert "is no probability" in predict(capsys, folder, "--threshold", wrong, status=2)[1]
    predict(capsys, folder, "--model", model, "--operating-point", "best", status="best: no operating point")


def test_groups(folder: Path, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = predict(capsys, folder, "--model", model, "--by", "folder", "--csv", "--threshold", "0")
    table = pd.read_csv(io.StringIO(out))
    assert table.group.tolist() == [f"{folder}/others", f"{folder}/some"]
    assert (table.cells == 3).all()
    assert (table.share == 1).all()
    assert table.low.to_numpy() == pytest.approx(3 / (3 + 1.959964**2))  # Wilson's, of 3 of 3
    assert "it is no\nparasitemia" in err

    text, _ = predict(capsys, folder, "--model", model, "--by", "patient")
    assert "it is no\nparasitemia" in text
    names = {path.name.split("P")[0] for path in folder.glob("*/*.png")}
    assert {line.split()[0] for line in text.splitlines()[1:-2]} == names

    first = next(folder.glob("some/*"))
    (tmp_path / "who.csv").write_text(f"image,patient,age\n{first.name},Anna,30\n")
    out, _ = predict(capsys, folder, "--model", model, "--by", str(tmp_path / "who.csv"), "--json")
    assert {row["group"]: row["cells"] for row in json.loads(out)} == {"(none)": 5, "Anna": 1}

    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    for by, problem in (
        (tmp_path / "bad.csv", "it has a, b"),
        ("patients", "neither patient nor folder nor a CSV file"),
    ):
        predict(capsys, folder, "--model", model, "--by", str(by), status=problem)


def test_many_are_decoded_by_several_processes_in_order(drawn: Cells, tmp_path: Path) -> None:
    path = tmp_path / "cells.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, png in drawn:
            archive.writestr(name, png)
    names = [name for name, _ in drawn] * 5
    names[700] = "missing.png"
    parts = list(decode_files((ImageFile(str(path), name) for name in names), 32, "stretch", 2))
    assert [len(part.cells) + len(part.broken) for part in parts] == [CHUNK] * 9 + [1200 - 9 * CHUNK]
    assert [name for part in parts for name in part.names] == [
        f"{path}/{name}" for name in names if name != "missing.png"
    ]
    alone = next(decode_files([ImageFile(str(path), name) for name in names[:100]], 32, "stretch", 2))
    assert np.array_equal(parts[0].cells[:100], alone.cells)


@pytest.mark.parametrize("fit", ["stretch", "pad"])
def test_the_network_sees_a_cell_as_it_did_in_training(drawn: Cells, archive: Path, fit: str, tmp_path: Path) -> None:
    names = [name for name, _ in drawn]
    list(decode_archive(archive, names, tmp_path / "cells.npy", 32, fit, 1))
    parts = decode_files(find_images([str(archive)]), 32, fit, 2)
    assert np.array_equal(np.concatenate([part.cells for part in parts]), np.load(tmp_path / "cells.npy"))


def test_no_more_is_read_than_is_asked_for(drawn: Cells) -> None:
    """Memory is that of a few tasks, whatever the number of images."""
    taken = 0

    def endless():  # type: ignore[no-untyped-def]
        nonlocal taken
        while True:
            taken += 1
            yield ImageFile("none.png")

    parts = decode_files(endless(), 32, "stretch", 2)
    next(parts)
    assert taken <= 12 * CHUNK
    parts.close()  # type: ignore[attr-defined]


@pytest.mark.slow
def test_as_a_program_it_ends_with_a_status_and_bears_a_closed_pipe(folder: Path, model: str) -> None:
    run = [sys.executable, "-m", "malaria.cli", "predict", str(folder), "--model", model, "--csv"]
    (folder / "bad\udcff.png").write_bytes(b"rubbish")
    done = subprocess.run(run, cwd=ROOT, capture_output=True, env=os.environ | {"PYTHONIOENCODING": "utf-8"})
    assert done.returncode == 1
    assert done.stdout.count(b"\n") == 7
    assert b"Traceback" not in done.stderr
    assert b": not a PNG" in done.stderr
    (folder / "bad\udcff.png").unlink()
    closed = subprocess.run(f"{' '.join(run)} | true", shell=True, cwd=ROOT, capture_output=True, text=True)
    assert closed.stderr == ""


def test_interrupted_it_ends_quietly_with_what_it_has_said(drawn: Cells, model: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "cells.zip", "w") as archive:
        archive.writestr("cell.png", drawn[0][1])
    run = [sys.executable, "-m", "malaria.cli", "predict", "-", "--model", model, "--jsonl"]
    options = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    options |= {"cwd": ROOT, "env": os.environ | {"PYTHONUNBUFFERED": ""}, "start_new_session": True}
    with subprocess.Popen(run, **options) as process:
        process.stdin.write(f"{tmp_path}/cells.zip\n".encode() * 10 * CHUNK)  # and more to come
        process.stdin.flush()
        rows = [json.loads(process.stdout.readline())]
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to its workers too
        rows += map(json.loads, process.stdout)
        complaints = process.stderr.read()
    assert process.returncode == 130
    assert complaints == b""
    assert len(rows) > 1


def save(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


def test_every_kind_of_image_is_read_as_what_it_shows(drawn: Cells, tmp_path: Path) -> None:
    cell = Image.open(io.BytesIO(drawn[0][1])).convert("RGB")
    grey = cell.convert("L")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    alpha = cell.convert("RGBA")
    alpha.putalpha(Image.fromarray((np.asarray(cell).max(2) > 0).astype(np.uint8) * 255))
    white_below = Image.composite(alpha, Image.new("RGBA", cell.size, (255, 255, 255, 0)), alpha)
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    same = [
        save(cell, tmp_path / "rgb.png"),
        save(cell, tmp_path / "rgb.tiff", compression="tiff_lzw"),
        save(cell, tmp_path / "rgb.bmp"),
        save(cell, tmp_path / "rgb.webp", lossless=True),
        save(white_below, tmp_path / "alpha.png"),
        save(cell.transpose(Image.Transpose.ROTATE_90), tmp_path / "turned.png", exif=exif),
    ]
    also_same = [
        save(grey, tmp_path / "grey.png"),
        save(deep, tmp_path / "deep.png"),
        save(deep, tmp_path / "deep.tif"),
    ]
    near = [save(cell, tmp_path / "near.jpg", quality=98), save(cell.quantize(256), tmp_path / "palette.png")]
    first, *others = (decode(path.read_bytes(), 32, "stretch") for path in same)
    assert all(np.array_equal(other, first) for other in others)
    first_grey, *others = (decode(path.read_bytes(), 32, "stretch") for path in also_same)
    assert all(np.array_equal(other, first_grey) for other in others)
    assert all(abs(decode(path.read_bytes(), 32, "stretch").astype(int) - first).mean() < 4 for path in near)


def test_what_would_fill_memory_or_holds_several_cells_is_refused(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    side = int(MAX_PIXELS**0.5) + 1
    bomb = save(Image.new("1", (side, side)), tmp_path / "bomb.png")
    assert bomb.stat().st_size < 10_000
    frame = Image.new("RGB", (40, 40))
    pages = save(frame, tmp_path / "pages.tiff", save_all=True, append_images=[frame])
    floats = save(Image.fromarray(np.ones((40, 40), np.float32)), tmp_path / "floats.tiff")
    script = tmp_path / "script.eps"
    script.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n")
    _, err = predict(capsys, bomb, pages, floats, script, "--model", model, status="4 of 4")
    lines = err.splitlines()
    assert "pixels are too many; give crops of one cell each" in lines[0]
    assert "it has 2 pages; give one cell a file" in lines[1]
    assert "pixels of more than 16 bits" in lines[2]
    assert "not a PNG, JPEG, TIFF, BMP or WebP image" in lines[3]
