"""The download stage writes the archive and its index, of any source."""

from pathlib import Path

import pandas as pd
import pytest

from malaria.core.archive import digest, open_archive, write_archive
from malaria.core.errors import UserError
from malaria.params import Params
from malaria.sources.drawing import sets
from stages.download import main
from tests.support.param_fields import changed

CELLS = [(f"{folder}/C{n}P1_cell_{n}.png", b"%d" % n) for folder in ("Parasitized", "Uninfected") for n in (1, 2)]


def test_the_index_has_the_label_and_patient_of_each_image_in_order(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sums = write_archive(workspace / "given.zip", CELLS)
    monkeypatch.setenv("MALARIA_CELLS", "given.zip")
    main(Params.model_validate(changed({"download.sha256": digest(sums)})))
    assert Path("data/cells.zip").read_bytes() == Path("given.zip").read_bytes()
    rows = [f"{name},{int(name.startswith('P'))},{name.split('/')[1][:2]}" for name, _ in CELLS]
    assert Path("data/cells.csv").read_text().splitlines() == ["name,label,patient", *rows]


def test_drawn_cells_need_no_network(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sets, "count_cores", lambda: 1)
    fewest = {"patients": 10, "cells": 100}
    drawn = {"download.source": "synthetic", "download.synthetic": fewest, "split.val": 0.5}
    main(Params.model_validate(changed(drawn)))
    index = pd.read_csv("data/cells.csv")
    assert index.name.tolist() == open_archive(Path("data/cells.zip")).namelist()
    assert (len(index), index.label.sum(), index.patient.nunique()) == (100, 50, 10)


@pytest.mark.parametrize(("patients", "groups"), [("A,A", "1 patients"), (",", "")])
def test_own_cells_come_with_all_that_their_table_says(
    patients: str, groups: str, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = patients.split(",")
    for name, content in (("b.png", "b"), ("a.png", "a")):
        Path(name).write_text(content)
    Path("labels.csv").write_text(f"image,label,patient,split\nb.png,sick,{first},train\na.png,0,{second},val\n")
    own = {"download.source": "own", "download.path": ".", "download.classes": ["well", "sick"]}
    main(Params.model_validate(changed(own)))
    rows = [f"a.png,0,{second or 'a.png'},val", f"b.png,1,{first or 'b.png'},train"]
    assert Path("data/cells.csv").read_text().splitlines() == ["name,label,patient,split", *rows]
    assert open_archive(Path("data/cells.zip")).read("b.png") == b"b"
    said = capsys.readouterr().out
    assert (groups or "2 cells,") in said


@pytest.mark.parametrize("given", ["nowhere.zip", "given.zip"])
def test_a_refusal_leaves_the_archive_and_index_as_they_were(
    given: str, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_archive(workspace / "given.zip", CELLS)  # which are not those of download.sha256
    for name in ("cells.zip", "cells.csv"):
        Path("data", name).write_text("old")
    monkeypatch.setenv("MALARIA_CELLS", given)
    with pytest.raises(UserError, match=given):
        main(Params.model_validate(changed({})))
    assert {path.name: path.read_text() for path in Path("data").iterdir()} == {"cells.zip": "old", "cells.csv": "old"}
