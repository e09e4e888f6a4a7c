import socket
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from malaria.data.sources import nih
from malaria.core.errors import UserError
from tests.support.nih_site import BODY, SHA256, Site


def fetch(site: Site, folder: Path, sha256: str = SHA256) -> Path:
    return nih.fetch(site.url, sha256, folder, backoff=0.001)


def starts(site: Site) -> list[int]:
    """The byte from which each request asked; 0 where it asked for all."""
    return [int(asked[6:-1]) if asked else 0 for asked in site.asked]


def test_a_whole_answer_is_kept_and_not_asked_for_again(site: Site, tmp_path: Path) -> None:
    path = fetch(site, tmp_path / "download")
    assert path.read_bytes() == BODY
    assert fetch(site, tmp_path / "download") == path
    assert [file.name for file in path.parent.iterdir()] == ["cell_images.zip"]
    assert site.asked == [None]


def test_cut_connections_are_taken_up_where_they_broke(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site.cuts = [200_000, 0, 150_000, 300_000, 0, 0, 70_000]
    assert fetch(site, tmp_path).read_bytes() == BODY
    assert site.cuts == []
    assert starts(site) == sorted(starts(site))
    assert starts(site)[1] > 100_000
    assert sum(second > first for first, second in pairwise(starts(site))) == 4
    assert "trying again in" in capsys.readouterr().err


def test_progress_resets_the_count_of_tries(site: Site, tmp_path: Path) -> None:
    site.cuts = [0, 0, 0, 0, 100_000, 0, 0, 0, 0, 100_000, 0, 0, 0, 0]  # never five in a row without a byte
    assert fetch(site, tmp_path).read_bytes() == BODY


def test_giving_up_keeps_what_came_and_a_later_call_goes_on(site: Site, tmp_path: Path) -> None:
    site.cuts = [500_000, 0, 0, 0, 0, 0]
    with pytest.raises(UserError, match=r"[45]\d\d,\d{3} bytes are kept"):
        fetch(site, tmp_path)
    assert len(site.asked) == 6
    assert fetch(site, tmp_path).read_bytes() == BODY
    assert starts(site)[6] > 400_000
    assert [file.name for file in tmp_path.iterdir()] == ["cell_images.zip"]


def test_a_server_without_ranges_is_begun_anew(site: Site, tmp_path: Path) -> None:
    site.ranges = False
    site.cuts = [400_000, 300_000]
    assert fetch(site, tmp_path).read_bytes() == BODY
    assert len(site.asked) == 3


def test_a_server_without_ranges_that_never_gets_further_is_given_up(site: Site, tmp_path: Path) -> None:
    site.ranges = False
    site.cuts = [400_000, 300_000] * 10
    with pytest.raises(UserError, match="cannot be downloaded"):
        fetch(site, tmp_path)
    assert len(site.asked) == 6


def test_a_part_that_is_whole_is_used(site: Site, tmp_path: Path) -> None:
    (tmp_path / "cell_images.zip.part").write_bytes(BODY)
    assert fetch(site, tmp_path).read_bytes() == BODY
    assert starts(site) == [len(BODY)]


def test_a_part_beyond_the_end_is_begun_anew(site: Site, tmp_path: Path) -> None:
    (tmp_path / "cell_images.zip.part").write_bytes(BODY + b"more")
    assert fetch(site, tmp_path).read_bytes() == BODY
    assert starts(site) == [len(BODY) + 4, 0]


def test_wrong_bytes_are_refused_and_removed(site: Site, tmp_path: Path) -> None:
    site.body = b"<html>please log in</html>"
    with pytest.raises(UserError, match=f"whose sha256 is {SHA256}, and was removed"):
        fetch(site, tmp_path)
    assert list(tmp_path.iterdir()) == []
    site.body = BODY
    assert fetch(site, tmp_path).read_bytes() == BODY


def test_a_part_of_something_else_is_refused_and_then_begun_anew(site: Site, tmp_path: Path) -> None:
    (tmp_path / "cell_images.zip.part").write_bytes(b"something else")
    with pytest.raises(UserError, match="was removed"):
        fetch(site, tmp_path)
    assert fetch(site, tmp_path).read_bytes() == BODY


def test_a_busy_server_is_asked_again(site: Site, tmp_path: Path) -> None:
    site.errors = [503, 429, 500]
    assert fetch(site, tmp_path).read_bytes() == BODY


def test_a_refusal_is_not_repeated(site: Site, tmp_path: Path) -> None:
    site.errors = [404]
    with pytest.raises(UserError, match="404"):
        fetch(site, tmp_path)
    assert len(site.asked) == 1


def test_with_nobody_listening_the_three_ways_on_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/cell_images.zip"
        with pytest.raises(UserError) as caught:
            nih.fetch(url, SHA256, tmp_path, backoff=0.001)
    for said in (url, "MALARIA_CELLS", "dvc pull", "dvc exp run -S download.source=synthetic"):
        assert said in str(caught.value)
    assert "kept" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_on_a_terminal_the_bar_begins_at_what_is_there(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    (tmp_path / "cell_images.zip.part").write_bytes(BODY[:600_000])
    fetch(site, tmp_path)
    assert " 60%|" in capsys.readouterr().err


def test_the_manifest_is_in_order_and_complete() -> None:
    real = nih.manifest()
    assert len(real) == nih.CELLS
    assert list(real) == sorted(real)
    assert all(len(bytes.fromhex(start)) == 4 for start in real.values())
    assert real["Parasitized/C100P61ThinF_IMG_20150918_144104_cell_162.png"] == "f53ac02c"


def test_explain_counts_and_names() -> None:
    real = {name: start + "0" * 56 for name, start in nih.manifest().items()}
    assert nih.explain(real) == "  the same cells"
    gone, other, *_ = real
    del real[gone]
    real[other] = "f" * 64
    real |= {f"Uninfected/mine_{n}.png": "0" * 64 for n in range(7)}
    missing, extra, different = nih.explain(real).splitlines()
    assert missing == f"  1 missing: {gone}"
    assert extra == f"  7 extra: {', '.join(f'Uninfected/mine_{n}.png' for n in range(5))}, ..."
    assert different == f"  1 different: {other}"
