"""`malaria predict` on photographs: the cells it finds and counts, what it writes, and images that are none."""

import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from malaria.cli.__main__ import main
from malaria.data.index import PLACES
from malaria.sources.drawing.fields import Field
from malaria.sources.drawing.labs import BLUE, VIVID
from malaria.sources.own import read_labels
from tests.support.fields import draw, nothing, to_image
from tests.support.images import encode, encode_deep_png
from tests.support.models import make_model

Predict = Callable[..., tuple[str, str]]
FIELDS = {
    "a": draw(replace(BLUE, radius=18), 4, cells=16, across=23),
    "b": draw(replace(VIVID, radius=18), 5, cells=14, across=23),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Random weights, and a temperature that spreads the probabilities."""
    points = {"default": 0.5, "sensitivity_98": 0.1, "specificity_99": 0.999}
    return str(make_model(tmp_path_factory.mktemp("model"), temperature=0.01, operating_points=points))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two photographs of two patients."""
    for name, field in FIELDS.items():
        (tmp_path / "photos" / name).mkdir(parents=True)
        to_image(field).save(tmp_path / "photos" / name / f"{name}.png")
    return tmp_path / "photos"


@pytest.fixture
def predict(model: str, capsys: pytest.CaptureFixture[str]) -> Predict:
    def run(*arguments: str | Path, status: object = None) -> tuple[str, str]:
        """Stdout and stderr; it must exit with the status, or a message with that text."""
        code = None
        try:
            main(["predict", *map(str, arguments), "--model", model])
        except SystemExit as end:
            code = end.code
        assert code == status or (status is not None and str(status) in str(code)), code
        captured = capsys.readouterr()
        return captured.out, captured.err

    return run


def read(text: str) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(text), keep_default_na=False)


def count_true(field: Field) -> int:
    return int((~field.cells.cut).sum())


def test_each_cell_is_a_row(folder: Path, predict: Predict) -> None:
    table = read(predict(folder, "--csv")[0])
    assert table.columns.tolist()[:8] == ["image", *PLACES]
    for name, field in FIELDS.items():
        cells = table[table.image == f"{folder}/{name}/{name}.png"]
        assert cells.cell.tolist() == [*range(1, len(cells) + 1)]
        assert (cells.kind != "border").sum() == pytest.approx(count_true(field), abs=3)
        assert ((cells.x >= 0) & (cells.x + cells.width <= field.labels.shape[1])).all()
    rows = json.loads(predict(folder, "--json")[0])
    assert [{name: "" if value is None else value for name, value in row.items()} for row in rows] == table.to_dict(
        "records"
    )
    assert [json.loads(line) for line in predict(folder, "--jsonl")[0].splitlines()] == rows
    head, *lines = predict(folder)[0].splitlines()
    assert head.split()[-1] == "image"
    assert [line.split()[-1] for line in lines] == [f"#{cell}" for cell in table.cell]


def test_the_table_of_photographs_is_what_a_user_sees(folder: Path, predict: Predict) -> None:
    cells = read(predict(folder, "--csv")[0])
    cells = cells[cells.kind != "border"]
    head, *lines = predict(folder, "--by", "photo")[0].splitlines()
    assert head.replace("red cells", "red_cells").replace("per uL", "per_uL").split() == [
        *("group", "photos", "red_cells", "parasitized", "parasitemia", "%", "any", "more", "per_uL"),
        *("uncertain", "ood"),
    ]
    for line, (image, of) in zip(lines, cells.groupby("image"), strict=False):
        called = (of.prediction == "Parasitized").sum()
        assert line.split()[:4] == [image, "1", str(len(of)), str(called)]
        assert line.split()[-2:] == [
            str((of.uncertain == "True").sum() or of.uncertain.sum()),
            str((of.ood != "").sum()),
        ]
        shown = re.search(r"below ([\d.]+)|([\d.]+) \(([\d.]+) to ([\d.]+)\)", line)
        assert shown
        high, median, low, upper = (float(number or 0) for number in shown.groups())
        assert 0 < high <= 100 or 0 < low <= median <= upper <= 100  # below what it is, where it may be zero
    notes = "\n".join(lines[2:])
    assert all(word in notes for word in ("parasitemia", "any", "more", "--red-cells"))


def test_cells_at_the_border_are_told_apart_from_those_that_count(folder: Path, predict: Predict) -> None:
    table, summary = predict(folder, "--by", "photo")
    counted = sum(int(line.split()[2]) for line in table.splitlines()[1:3])
    cells, border = (int(re.search(rf"(\d+) {what}", summary)[1]) for what in ("cells", "at the border"))  # type: ignore[index]
    assert border > 0
    assert counted == cells - border


def test_of_a_path_that_is_none_there_is_no_table(predict: Predict) -> None:
    out, err = predict("none", "--by", "photo", status="1 of 1")
    assert out == ""
    assert err.startswith("none: ")


def test_groups_are_photographs_folders_or_patients_of_a_table(folder: Path, tmp_path: Path, predict: Predict) -> None:
    (tmp_path / "patients.csv").write_text("image,patient\na.png,Anna\nb.png,Anna\n")
    for by, names in (("photo", [f"{folder}/{of}/{of}.png" for of in "ab"]), (tmp_path / "patients.csv", ["Anna"])):
        out, err = predict(folder, "--by", by, "--csv")
        table = read(out)
        assert table.group.tolist() == names
        assert table.photographs.sum() == 2
        assert ((table.low <= table.parasitemia) & (table.parasitemia <= table.high)).all()
        assert "parasitemia" in err
        assert table.cells.sum() == pytest.approx(sum(map(count_true, FIELDS.values())), abs=5)
    groups = json.loads(predict(folder, "--by", "folder", "--json")[0], parse_constant=pytest.fail)
    assert [group["group"] for group in groups] == [f"{folder}/a", f"{folder}/b"]


def test_photographs_and_crops_can_be_mixed(
    folder: Path, drawn: list[tuple[str, bytes]], tmp_path: Path, predict: Predict
) -> None:
    (tmp_path / "cell.png").write_bytes(drawn[0][1])
    table = read(predict(folder / "a", tmp_path / "cell.png", folder / "b", "--csv")[0])
    assert table.image.unique().tolist() == [f"{folder}/a/a.png", f"{tmp_path}/cell.png", f"{folder}/b/b.png"]
    (crop,) = table[table.image == f"{tmp_path}/cell.png"].to_dict("records")
    assert {crop[name] for name in PLACES} == {""}
    out, err = predict(folder / "a", tmp_path / "cell.png", "--by", "photo", "--csv")
    assert read(out).photographs.tolist() == [0, 1]
    assert "no parasitemia" in err


def test_a_stricter_operating_point_calls_fewer_cells(folder: Path, predict: Predict) -> None:
    def called(*options: str) -> int:
        return int(read(predict(folder, "--by", "photo", "--csv", *options)[0]).parasitized.sum())

    assert called("--operating-point", "specificity_99") < called() < called("--operating-point", "sensitivity_98")


@pytest.mark.parametrize("wrong", ["0", "many", "nan", "-1", "inf"])
def test_what_is_no_number_of_red_cells_is_refused(wrong: str, predict: Predict) -> None:
    predict("none.png", "--red-cells", wrong, status=2)


def test_overlays_and_crops_are_written_beside_the_table(folder: Path, tmp_path: Path, predict: Predict) -> None:
    out, _ = predict(folder, "--csv", "--overlay", tmp_path / "seen", "--crops", tmp_path / "cells")
    table = read(out)
    assert out == predict(folder, "--csv")[0]
    assert sorted(path.name for path in (tmp_path / "seen").iterdir()) == ["a.jpg", "b.jpg"]
    labelled = read_labels(tmp_path / "cells", ["Uninfected", "Parasitized"])
    counted = table[table.kind != "border"]
    assert labelled.label.tolist() == (counted.prediction == "Parasitized").astype(int).tolist()
    assert labelled.photo.unique().tolist() == ["a", "b"]
    again = read(predict(tmp_path / "cells", "--csv", "--as", "crop")[0])
    assert again.probability.tolist() == pytest.approx(counted.probability.tolist(), abs=1e-3)


def test_labels_that_someone_corrected_are_refused_and_left(folder: Path, tmp_path: Path, predict: Predict) -> None:
    labels = tmp_path / "cells/labels.csv"
    labels.parent.mkdir()
    labels.write_text("image,label\nx.png,1\n")
    predict(folder, "--crops", tmp_path / "cells", status="labels.csv")
    assert labels.read_text() == "image,label\nx.png,1\n"
    assert [path.name for path in (tmp_path / "cells").iterdir()] == ["labels.csv"]


def test_photographs_are_not_replaced_by_their_overlays(folder: Path, predict: Predict) -> None:
    before = sorted(folder.rglob("*"))
    predict(folder, "--overlay", folder / "a", status="a.png")
    assert sorted(folder.rglob("*")) == before


def test_broken_photographs_are_named_and_the_others_counted(folder: Path, tmp_path: Path, predict: Predict) -> None:
    whole = encode(to_image(FIELDS["a"]), "JPEG")
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "text.jpg").write_text("no photograph")
    options = ("--by", "photo", "--csv", "--overlay", tmp_path / "seen", "--crops", tmp_path / "cells")
    out, err = predict(folder, *options, status="2 of 4")
    assert read(out).group.tolist() == [f"{folder}/a/a.png", f"{folder}/b/b.png"]
    assert [line.partition(": ")[0] for line in err.splitlines()[:2]] == [f"{folder}/cut.jpg", f"{folder}/text.jpg"]
    assert len(list((tmp_path / "seen").iterdir())) == 2


def test_photographs_without_cells_count_none(tmp_path: Path, predict: Predict) -> None:
    shown = tmp_path / "photos"
    shown.mkdir()
    for kind in ("page", "white", "waves", "noise"):
        Image.fromarray(nothing(kind)).save(shown / f"{kind}.png")
    to_image(draw(replace(BLUE, radius=35), cells=0)).save(shown / "empty.png")
    assert predict(shown, "--jsonl")[0] == ""
    out, _ = predict(shown, "--by", "photo", "--json", "--overlay", tmp_path / "seen", "--crops", tmp_path / "cells")
    groups = json.loads(out, parse_constant=pytest.fail)
    assert len(groups) == 5
    assert {(row["photographs"], row["cells"], row["parasitemia"]) for row in groups} == {(1, 0, None)}
    assert len(list((tmp_path / "seen").iterdir())) == 5
    assert "white" in predict(shown, "--by", "photo")[0]


def test_what_an_image_is_can_be_said(folder: Path, drawn: list[tuple[str, bytes]], predict: Predict) -> None:
    (folder / "b/b.png").write_bytes(drawn[0][1])
    assert read(predict(folder / "b", "--as", "photo", "--csv")[0]).empty
    assert len(read(predict(folder / "b", "--as", "crop", "--csv")[0])) == 1


@pytest.mark.slow
def test_an_eight_or_sixteen_bit_or_turned_photograph_is_counted_alike(tmp_path: Path, predict: Predict) -> None:
    photograph = to_image(FIELDS["a"])
    photograph.save(tmp_path / "plain.png")
    (tmp_path / "deep.png").write_bytes(encode_deep_png(np.asarray(photograph).astype(np.uint16) * 257))
    exif = Image.Exif()
    exif[0x0112] = 6
    photograph.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif.tobytes())
    out, _ = predict(*(tmp_path / name for name in ("plain.png", "deep.png", "turned.png")), "--csv")
    tables = [of.drop(columns="image").reset_index(drop=True) for _, of in read(out).groupby("image")]
    assert len(tables) == 3
    assert all(table.equals(tables[0]) for table in tables)


def test_the_example_is_a_photograph_with_cells(predict: Predict) -> None:
    (row,) = csv.DictReader(io.StringIO(predict("--example", "--by", "photo", "--csv")[0]))
    assert int(row["cells"]) > 50
