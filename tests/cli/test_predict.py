"""`malaria predict` on crops of one cell: what it prints, counts and refuses."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from malaria import load_model
from malaria.cli.__main__ import main
from malaria.core.archive import MAX_BYTES
from malaria.data.decode import MAX_PIXELS
from malaria.data.index import PLACES
from malaria.smear.files import CHUNK
from tests.support.models import make_model
from tests.support.scratch import ROOT

Cells = list[tuple[str, bytes]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Random weights, and a temperature that spreads the probabilities."""
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
    """What `malaria predict` writes to stdout and stderr; it must exit with the status, or a message with that text."""
    code = None
    try:
        main(["predict", *map(str, arguments)])
    except SystemExit as end:
        code = end.code
    assert code == status or (status is not None and str(status) in str(code)), code
    captured = capsys.readouterr()
    return captured.out, captured.err


def test_each_format_has_a_row_an_image(folder: Path, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    paths = sorted(folder.glob("others/*")) + sorted(folder.glob("some/*"))
    calls = load_model(model).predict(paths)
    expected = pd.DataFrame({"image": [str(path) for path in paths]}, columns=["image", *PLACES]).fillna("").join(calls)

    table = pd.read_csv(io.StringIO(predict(capsys, folder, "--model", model, "--csv")[0]), keep_default_na=False)
    pd.testing.assert_frame_equal(table, expected, check_dtype=False)

    rows = json.loads(predict(capsys, folder, "--model", model, "--json")[0])
    assert rows == [row | dict.fromkeys(PLACES) | {"ood": row["ood"] or None} for row in expected.to_dict("records")]
    assert rows[0]["ood"] is None
    lines = predict(capsys, folder, "--model", model, "--jsonl")[0].splitlines()
    assert [json.loads(line) for line in lines] == rows

    head, *text = predict(capsys, folder, "--model", model)[0].splitlines()
    assert head.split() == ["probability", "prediction", "kind", "warning", "image"]
    assert [line.split()[-1] for line in text] == expected.image.tolist()
    assert [float(line.split()[0]) for line in text] == pytest.approx(expected.probability.tolist(), abs=1e-4)


def test_files_folders_zips_and_lists_can_be_mixed(
    folder: Path, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, *_ = listed = sorted(map(str, folder.glob("some/*")))
    with zipfile.ZipFile(tmp_path / "cells.zip", "w") as archive:
        archive.write(one, "inside.png")
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(listed) + "\r\n"))
    out, _ = predict(capsys, one, tmp_path / "cells.zip", folder / "others", "-", "--model", model, "--csv")
    images = [row["image"] for row in csv.DictReader(io.StringIO(out))]
    assert images == [one, f"{tmp_path}/cells.zip/inside.png", *sorted(map(str, folder.glob("others/*"))), *listed]


def test_unreadable_images_are_named_and_the_others_predicted(
    folder: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Truncated, empty, no image, several cells, pixels or bytes that would fill the memory."""
    good = next(folder.glob("some/*")).read_bytes()
    (folder / "cut.png").write_bytes(good[: len(good) // 2])
    (folder / "empty.png").touch()
    (folder / "text.jpg").write_text("%!PS-Adobe-3.0 EPSF-3.0\nshowpage\n")
    side = int(MAX_PIXELS**0.5) + 1
    Image.new("1", (side, side)).save(folder / "pixels.png")
    frame = Image.new("RGB", (40, 40))
    frame.save(folder / "pages.tiff", save_all=True, append_images=[frame])
    with zipfile.ZipFile(folder.parent / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros.png", bytes(MAX_BYTES + 1))
    wrong = ["cut.png", "empty.png", "pages.tiff", "pixels.png", "text.jpg", "bomb.zip/zeros.png", "none.png"]
    arguments = (folder, folder.parent / "bomb.zip", "none.png", "--model", model, "--csv")
    out, err = predict(capsys, *arguments, status="7 of 13")
    assert len(out.splitlines()) == 7
    *lines, summary = err.splitlines()
    assert all(name in line for name, line in zip(wrong, lines, strict=True))
    assert summary.startswith("6 cells")


@pytest.mark.parametrize("form", ["--csv", "--json", "--jsonl"])
def test_without_a_readable_image_the_output_is_an_empty_table(
    form: str, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out, _ = predict(capsys, "none.png", form, "--model", model, status="1 of 1")
    columns = ["image", *PLACES, "probability", "prediction", "uncertain", "ood_score", "ood"]
    assert out == {"--csv": ",".join(columns) + "\n", "--json": "[]\n"}.get(form, "")


def test_without_images_it_says_what_to_name(capsys: pytest.CaptureFixture[str]) -> None:
    predict(capsys, status="--example")


def test_the_threshold_decides(folder: Path, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    def predictions(*options: str) -> list[str]:
        out, _ = predict(capsys, folder, "--model", model, "--csv", *options)
        return pd.read_csv(io.StringIO(out)).prediction.tolist()

    assert {*predictions("--threshold", "0")} == {"Parasitized"}
    assert {*predictions("--threshold", "1")} == {"Uninfected"}
    assert predictions("--operating-point", "sensitivity_98") == predictions("--threshold", "0.1")
    for wrong in ("1.5", "many", "nan"):
        assert wrong in predict(capsys, folder, "--threshold", wrong, status=2)[1]
    predict(capsys, folder, "--model", model, "--operating-point", "best", status="best")


def test_counts_by_group_come_with_a_caveat(folder: Path, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = predict(capsys, folder, "--model", model, "--by", "folder", "--csv", "--threshold", "0")
    assert [row["group"] for row in csv.DictReader(io.StringIO(out))] == [f"{folder}/others", f"{folder}/some"]
    assert "no parasitemia" in err
    assert "no parasitemia" in predict(capsys, folder, "--model", model, "--by", "patient")[0]


def test_a_model_without_error_rates_counts_but_gives_no_parasitemia(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = make_model(tmp_path / "old", error_rates=None)
    out, err = predict(capsys, folder, "--model", old, "--by", "patient", "--json")
    groups = json.loads(out, parse_constant=pytest.fail)  # of NaN, which is no JSON
    assert sum(group["cells"] for group in groups) == 6
    assert {group[name] for group in groups for name in ("parasitemia", "low", "high", "any", "more", "per_ul")} == {
        None
    }
    assert "dvc repro" in err


def test_a_hostile_zip_reads_and_writes_nothing_outside(
    drawn: Cells, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names that lead out of it, and a link to a file of the system."""
    here = tmp_path / "a/b/c/d"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    names = ["../../../{}", "/{}", "//{}", "x\\..\\..\\{}", "C:\\{}", "x/../../../{}", "~/{}", "\\\\server\\share\\{}"]
    with zipfile.ZipFile("hostile.zip", "w") as archive:
        for number, name in enumerate(names):
            archive.writestr(name.format(f"{number}.png"), drawn[0][1])
        link = zipfile.ZipInfo("link.png")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    before = sorted(tmp_path.rglob("*"))
    out, err = predict(capsys, "hostile.zip", "--model", model, "--csv", status="1 of 9")
    assert sorted(tmp_path.rglob("*")) == before
    assert "link.png" in err
    assert "root:" not in out + err


@pytest.mark.slow
def test_the_program_bears_odd_names_and_a_closed_pipe(folder: Path, model: str) -> None:
    (folder / "bad\udcff.png").write_bytes(b"rubbish")
    run = f"{sys.executable} -m malaria.cli predict {folder} --model {model} --csv"
    done = subprocess.run(run.split(), cwd=ROOT, capture_output=True, env=os.environ | {"PYTHONIOENCODING": "utf-8"})
    assert done.returncode == 1
    assert done.stdout.count(b"\n") == 7
    assert b"Traceback" not in done.stderr
    (folder / "bad\udcff.png").unlink()
    closed = subprocess.run(f"{run} | true", shell=True, cwd=ROOT, capture_output=True, text=True)
    assert closed.stderr == ""


@pytest.mark.slow
def test_interrupted_it_ends_quietly_and_keeps_what_it_wrote(drawn: Cells, model: str, tmp_path: Path) -> None:
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
        errors = process.stderr.read()
    assert process.returncode == 130
    assert errors == b""
    assert len(rows) > 1
