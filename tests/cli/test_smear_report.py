from pathlib import Path

import pytest
from PIL import Image

from malaria.cli.__main__ import main
from tests.support.models import make_model
from tests.support.slides import write_photographs


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Random weights, and a temperature that spreads the probabilities."""
    return str(make_model(tmp_path_factory.mktemp("model"), temperature=1e-3))


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return write_photographs(tmp_path_factory.mktemp("photographs"), 2)


def report(capsys: pytest.CaptureFixture[str], *arguments: str | Path, status: object = None) -> tuple[str, str]:
    """What the command writes to stdout and stderr; it must exit with the status, or a message with that text."""
    code = None
    try:
        main(["smear-report", *map(str, arguments)])
    except SystemExit as end:
        code = end.code
    assert code == status or (status is not None and str(status) in str(code)), code
    captured = capsys.readouterr()
    return captured.out, captured.err


def test_photographs_become_a_page_without_links_to_elsewhere(
    photographs: list[str], model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "new folder" / "slide.html"
    out, err = report(capsys, *photographs, "-o", path, "--model", model, "--title", "Smear 7", "--red-cells", "4.2e6")
    page = path.read_text("utf-8")
    assert "95 % interval" in out
    assert path.resolve().as_uri() in err
    for text in ("<title>Smear 7</title>", "4,200,000", "photo_0.png", "photo_1.png", "a few cells"):
        assert text in page
    assert "http" not in page
    assert str(tmp_path) not in page
    assert [it.name for it in path.parent.iterdir()] == ["slide.html"]

    report(capsys, Path(photographs[0]).parent, "-o", path, "--model", model)  # a folder, and replaces the page
    again = path.read_text("utf-8")
    assert "Smear 7" not in again
    assert "5,000,000" in again
    assert "photo_1.png" in again


def test_a_broken_photograph_is_named_and_the_others_counted(
    photographs: list[str], model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_text("no image")
    arguments = (photographs[0], bad, "none.png", photographs[1], "-o", tmp_path / "slide.html", "--model", model)
    _, err = report(capsys, *arguments, status="2 of 4")
    assert f"{bad}: not a PNG" in err
    page = (tmp_path / "slide.html").read_text("utf-8")
    for text in ("bad.jpg: not a PNG", "none.png: No such file", "photo_0.png", "photo_1.png"):
        assert text in page


def test_without_a_readable_photograph_there_is_no_page(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "slide.html"
    _, err = report(capsys, "none.png", "-o", path, "--model", model, status="none of 1")
    assert "none.png" in err
    assert not path.exists()


def test_the_threshold_decides(
    photographs: list[str], model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*options: str) -> tuple[str, str]:
        path = tmp_path / "slide.html"
        out, _ = report(capsys, photographs[0], "-o", path, "--model", model, *options)
        return out, path.read_text("utf-8")

    out, page = run("--threshold", "1")
    assert " 0 of " in out
    assert "as given" in page
    assert "operating point sensitivity_98" in run("--operating-point", "sensitivity_98")[1]
    assert "operating point default" in run()[1]
    for wrong in (("--threshold", "2"), ("--red-cells", "none"), ("--red-cells", "-5"), ("--red-cells", "inf")):
        assert wrong[1] in report(capsys, photographs[0], "-o", "x.html", *wrong, status=2)[1]
    report(capsys, photographs[0], "-o", "x.html", "--model", model, "--operating-point", "best", status="best")
    assert not Path("x.html").exists()


def test_a_model_without_error_rates_gives_counts_alone(
    photographs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = make_model(tmp_path / "model", error_rates=None)
    out, _ = report(capsys, photographs[0], "-o", tmp_path / "slide.html", "--model", model)
    assert "no parasitemia" in out
    assert "no error rates" in (tmp_path / "slide.html").read_text("utf-8")


def test_a_photograph_without_a_smear_has_a_warning(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (300, 200), "ivory").save(tmp_path / "white.png")
    report(capsys, tmp_path / "white.png", "-o", tmp_path / "slide.html", "--model", model)
    assert "No smear" in (tmp_path / "slide.html").read_text("utf-8")
