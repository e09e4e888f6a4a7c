import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args
from unittest.mock import create_autospec

import pytest

from malaria.data.sources import nih, synthetic
from malaria.core.archive import cell_names, write_archive
from malaria.core.errors import UserError
from malaria.params import Download, Synthetic, load_params
from stages.download import SOURCES, download

ROOT = Path(__file__).parents[1]
REAL = "Parasitized/C100P61ThinF_IMG_20150918_144104_cell_162.png"
CELLS = [(REAL, b"not NLM's"), ("Uninfected/mine_cell_1.png", b"one"), ("Uninfected/mine_cell_2.png", b"two")]


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """A zip of a few cells, to stand for NLM's."""
    write_archive(tmp_path / "given.zip", CELLS)
    return tmp_path / "given.zip"


@pytest.fixture
def sha256(given: Path) -> str:
    return write_archive(given, CELLS)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "data" / "cells.zip"


def params(sha256: str) -> Download:
    return Download(source="nih", sha256=sha256, synthetic=Synthetic(patients=10, cells=100, seed=7))


def test_the_schema_offers_exactly_the_sources_there_are() -> None:
    assert set(get_args(Download.model_fields["source"].annotation)) == set(SOURCES)


def test_cells_of_the_expected_content_are_packed(given: Path, sha256: str, out: Path) -> None:
    (out.parent / "download").mkdir(parents=True)
    (out.parent / "download" / "cell_images.zip.part").write_bytes(b"begun")
    assert download(params(sha256), out, given) == sha256
    assert out.read_bytes() == given.read_bytes()
    assert list(out.parent.iterdir()) == [out]


def test_other_content_is_refused_with_what_is_missing_extra_and_different(given: Path, out: Path) -> None:
    with pytest.raises(UserError) as caught:
        download(params("0" * 64), out, given)
    message = str(caught.value)
    assert message.startswith(f"{given}: refused, its 3 cells")
    assert f"{nih.CELLS - 1:,} missing: Parasitized/C100P61ThinF_IMG_20150918_144104_cell_163.png" in message
    assert "2 extra: Uninfected/mine_cell_1.png, Uninfected/mine_cell_2.png\n" in message
    assert f"1 different: {REAL}\n" in message
    assert list(out.parent.iterdir()) == []


def test_nothing_given_is_fetched_and_the_download_removed(
    given: Path, sha256: str, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(folder: Path) -> Path:
        folder.mkdir(parents=True)
        return shutil.copy(given, folder / "cell_images.zip")

    monkeypatch.setattr(nih, "fetch", fetch)
    with pytest.raises(UserError, match="refused"):
        download(params("0" * 64), out)
    assert [path.name for path in out.parent.iterdir()] == ["download"]  # not to be fetched again for another sha256
    shutil.rmtree(out.parent)
    assert download(params(sha256), out) == sha256
    assert list(out.parent.iterdir()) == [out]


def test_synthetic_draws_what_params_say_and_needs_no_source(
    sha256: str, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_cells = create_autospec(synthetic.draw_cells, return_value=iter(CELLS))
    monkeypatch.setattr(synthetic, "draw_cells", draw_cells)
    drawn = params("0" * 64).model_copy(update={"source": "synthetic"})
    assert download(drawn, out, Path("nowhere")) == sha256
    draw_cells.assert_called_once_with(patients=10, cells=100, seed=7)
    assert cell_names(out) == [name for name, _ in CELLS]


def run(repository: Path, cells: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"MALARIA_CELLS": cells, "HOME": str(repository.parent)}
    command = [sys.executable, "-m", "stages.download"]
    return subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def repository(tmp_path: Path, sha256: str) -> Path:
    """A copy of what the stage needs, with the few cells expected."""
    top = tmp_path / "repository"
    for folder in ("malaria", "stages"):
        shutil.copytree(ROOT / folder, top / folder, ignore=shutil.ignore_patterns("__pycache__"))
    expected = load_params(ROOT / "params.yaml").model_copy(update={"download": params(sha256)})
    (top / "params.yaml").write_text(expected.model_dump_json())
    return top


def test_the_command_packs_what_malaria_cells_names(repository: Path, given: Path, sha256: str) -> None:
    done = run(repository, "~/given.zip")
    assert (done.returncode, done.stderr) == (0, "")
    assert sha256 in done.stdout
    assert (repository / "data" / "cells.zip").read_bytes() == given.read_bytes()


def test_a_mistake_of_the_users_is_one_message_and_status_1(repository: Path) -> None:
    done = run(repository, "nowhere.zip")
    assert done.returncode == 1
    assert done.stderr == "nowhere.zip: no such file or folder\n"
    assert not (repository / "data" / "cells.zip").exists()
    assert not (repository / "data" / "cells.zip.tmp").exists()
