"""NLM's cells are downloaded whatever the network does, read from any copy, and refused if they are others."""

import shutil
import socket
import sys
import zipfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from malaria.core.archive import MAX_BYTES, digest, write_archive
from malaria.core.errors import UserError
from malaria.data.index import CLASSES
from malaria.params import NOTHING, Download, Synthetic
from malaria.sources import nih
from malaria.sources.nih import find_cells, find_patient, make_index
from tests.support.images import encrypted, pack, two_colors
from tests.support.nih_site import BODY, SHA256, Site

# Names and the index

FORMS = """
    C100P61ThinF_IMG_20150918_144104_cell_162 C131P92ThinF_IMG_20151004_151126_cell_80
    C60P21thinF_IMG_20150804_105034_cell_108 C39P4thinF_original_IMG_20150622_105803_cell_101
    C150P111NThinF_IMG_20151115_115950_cell_4 C177P138N_ThinF_IMG_20151201_143417_cell_7
    C167P128ReThinF_IMG_20151201_105707_cell_135 C68P29_ThinF_IMG_20150819_133236_cell_1
    C208ThinF_IMG_20151029_155506_cell_3 C236NThinF_IMG_20151127_102428_cell_2
    C238NthinF_IMG_20151207_114201_cell_5 C51AP12thinF_IMG_20150724_162636_cell_88
    C37BP2_thinF_IMG_20150620_131111a_cell_91 C1_thinF_IMG_20150604_104942_cell_168
    C3thin_original_IMG_20150608_162835_cell_101 C45P6thin_original_IMG_20150703_150309_cell_9
    C47P8thin_Original_Motic_IMG_20150714_093806_cell_131 C47P8thinOriginalOlympusCX21_IMG_20150714_094729_cell_10
"""


def test_each_form_of_name_in_nlms_archive_begins_with_its_patient() -> None:
    numbers = [100, 131, 60, 39, 150, 177, 167, 68, 208, 236, 238, 51, 37, 1, 3, 45, 47, 47]  # 47 under two microscopes
    assert [find_patient(f"Uninfected/{name}.png") for name in FORMS.split()] == [f"C{number}" for number in numbers]


@given(st.integers(0, 10**6), st.sampled_from("ABPTtNR_"), st.integers(0, 999))
@settings(max_examples=30)
def test_a_patient_is_the_whole_number(number: int, following: str, cell: int) -> None:
    assert find_patient(f"Uninfected/C{number}{following}x_cell_{cell}.png") == f"C{number}"


@pytest.mark.parametrize("name", ["P61ThinF_IMG_1.png", "C_cell_1.png", "C100.png", "c100P61_cell_1.png", "C1-2.png"])
def test_a_name_without_a_patient_is_refused_by_name(name: str) -> None:
    assert find_patient(name) is None
    with pytest.raises(UserError, match=rf"^Uninfected/{name}: .*\(1 of 2 "):
        make_index([f"Uninfected/{name}", "Parasitized/C1P1_cell_1.png"])


def test_the_index_of_nlms_archive_has_its_200_patients_50_of_them_without_a_parasite() -> None:
    index = make_index(reversed(nih.manifest()))
    assert index.columns.tolist() == ["name", "label", "patient"]
    assert index.name.is_monotonic_increasing
    assert (index.label == index.name.str.startswith("Parasitized/")).all()
    assert (len(index), index.label.sum()) == (nih.CELLS, 13_779)
    infected = index.groupby("patient").label.any()
    assert (len(infected), infected.sum()) == (200, 150)


def test_the_manifest_is_sorted_and_complete() -> None:
    real = nih.manifest()
    assert len(real) == nih.CELLS
    assert list(real) == sorted(real)
    assert all(len(bytes.fromhex(start)) == 4 for start in real.values())
    assert real["Parasitized/C100P61ThinF_IMG_20150918_144104_cell_162.png"] == "f53ac02c"


# The download


def fetch(site: Site, folder: Path) -> Path:
    return nih.fetch(site.url, SHA256, folder, backoff=0.001)


def starts(site: Site) -> list[int]:
    """The byte from which each request asked; 0 where it asked for all."""
    return [int(asked[6:-1]) if asked else 0 for asked in site.asked]


def test_a_complete_download_is_kept_and_not_repeated(site: Site, tmp_path: Path) -> None:
    path = fetch(site, tmp_path / "download")
    assert path.read_bytes() == BODY
    assert fetch(site, tmp_path / "download") == path
    assert [file.name for file in path.parent.iterdir()] == ["cell_images.zip"]
    assert site.asked == [None]


def test_cut_connections_are_resumed_where_they_broke(site: Site, tmp_path: Path) -> None:
    site.cuts = [200_000, 0, 0, 0, 0, 150_000, 300_000, 0, 0, 0, 0, 70_000]  # never five in a row without progress
    assert fetch(site, tmp_path).read_bytes() == BODY
    assert site.cuts == []
    assert starts(site) == sorted(starts(site))
    assert sum(second > first for first, second in pairwise(starts(site))) == 4


def test_giving_up_keeps_what_came_and_a_later_call_resumes(site: Site, tmp_path: Path) -> None:
    site.cuts = [500_000, 0, 0, 0, 0, 0]
    with pytest.raises(UserError, match=r"[45]\d\d,\d{3} bytes"):
        fetch(site, tmp_path)
    assert len(site.asked) == 6
    assert fetch(site, tmp_path).read_bytes() == BODY
    assert starts(site)[6] > 400_000
    assert [file.name for file in tmp_path.iterdir()] == ["cell_images.zip"]


def test_a_server_without_ranges_starts_over_and_is_given_up_if_it_never_gets_further(
    site: Site, tmp_path: Path
) -> None:
    site.ranges = False
    site.cuts = [400_000, 300_000]
    assert fetch(site, tmp_path / "one").read_bytes() == BODY
    site.cuts = [400_000, 300_000] * 10
    with pytest.raises(UserError):
        fetch(site, tmp_path / "two")
    assert len(site.asked) == 3 + 6


@pytest.mark.parametrize(
    ("part", "asked"), [(BODY, [len(BODY)]), (BODY[:600_000], [600_000]), (BODY + b"more", [len(BODY) + 4, 0])]
)
def test_a_part_is_used_unless_it_is_beyond_the_end(
    part: bytes, asked: list[int], site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cell_images.zip.part").write_bytes(part)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.stderr, "isatty", lambda: True)
        assert fetch(site, tmp_path).read_bytes() == BODY
    assert starts(site) == asked
    assert (" 60%|" in capsys.readouterr().err) == (asked == [600_000])  # of the bar, which begins at what is there


def test_wrong_bytes_are_refused_and_removed(site: Site, tmp_path: Path) -> None:
    site.body = b"<html>please log in</html>"
    with pytest.raises(UserError, match=SHA256):
        fetch(site, tmp_path)
    assert list(tmp_path.iterdir()) == []
    site.body = BODY
    (tmp_path / "cell_images.zip.part").write_bytes(b"something else")
    with pytest.raises(UserError, match=SHA256):
        fetch(site, tmp_path)
    assert fetch(site, tmp_path).read_bytes() == BODY


def test_a_busy_server_is_asked_again_and_a_refusal_is_not_repeated(site: Site, tmp_path: Path) -> None:
    site.errors = [503, 429, 500]
    assert fetch(site, tmp_path / "one").read_bytes() == BODY
    site.errors, site.asked = [404], []
    with pytest.raises(UserError, match="404"):
        fetch(site, tmp_path / "two")
    assert len(site.asked) == 1


def test_without_a_network_the_other_ways_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/cell_images.zip"
        with pytest.raises(UserError) as refused:
            nih.fetch(url, SHA256, tmp_path, backoff=0.001)
    for named in (url, "MALARIA_CELLS", "dvc pull", "download.source=synthetic"):
        assert named in str(refused.value)
    assert list(tmp_path.iterdir()) == []


# Copies of the archive

CELLS = {f"{folder}/C{n}P{n}ThinF_IMG_1_cell_{n}.png": two_colors(n) for folder in CLASSES[::-1] for n in (1, 10, 2)}
INFECTED = "Parasitized/C1P1ThinF_IMG_1_cell_1.png"


def under(top: str) -> dict[str, bytes]:
    return {top + name: data for name, data in CELLS.items()}


def unpacked(folder: Path) -> Path:
    for name, data in (under("a/") | under("b/c/") | {"a/Parasitized/Thumbs.db": b"x"}).items():
        (folder / "unpacked" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "unpacked" / name).write_bytes(data)
    return folder / "unpacked"


def linked(folder: Path) -> Path:
    (folder / "linked").mkdir()
    for name in CLASSES:
        (folder / "linked" / name).symlink_to(unpacked(folder) / "a" / name)
    return folder / "linked"


def zipped(files: dict[str, bytes]) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / "given.zip").write_bytes(pack(files))
        return folder / "given.zip"

    return write


COPIES = {
    "NLM's": zipped(under("cell_images/") | {"cell_images/Parasitized/Thumbs.db": b"x"}),
    "Kaggle's": zipped(under("cell_images/") | under("cell_images/cell_images/")),
    "of macOS": zipped({"__MACOSX/" + "/._".join(name.rsplit("/", 1)): b"x" for name in CELLS} | under("my cells/")),
    "of Windows": zipped({name.replace("/", "\\").replace("png", "PNG"): data for name, data in CELLS.items()}),
    "with paths that lead out": zipped({f"../../{name}": data for name, data in CELLS.items()}),
    "a folder": unpacked,
    "a folder of links": linked,
}


@pytest.mark.parametrize("copy", COPIES)
def test_any_copy_gives_the_same_cells(copy: str, tmp_path: Path) -> None:
    source = COPIES[copy](tmp_path)
    before = set(tmp_path.rglob("*"))
    assert list(find_cells(source)) == sorted(CELLS.items())
    assert set(tmp_path.rglob("*")) == before  # nothing is unpacked


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    order=st.permutations(sorted(CELLS)),
    tops=st.lists(st.sampled_from(["", "a/", "Uninfected/"]), min_size=len(CELLS), max_size=len(CELLS)),
)
def test_neither_order_nor_nesting_matters(order: list[str], tops: list[str], tmp_path: Path) -> None:
    source = zipped({top + name: CELLS[name] for top, name in zip(tops, order, strict=True)})(tmp_path)
    assert list(find_cells(source)) == sorted(CELLS.items())


def sharing(times: int) -> bytes:
    """A directory that names one and the same compressed member again and again."""
    data = pack({INFECTED: bytes(10**7)})
    at, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    entries = b"".join(data[at:end].replace(b"cell_1.png", b"cell_%d.png" % number) for number in range(times))
    counts = times.to_bytes(2, "little") * 2 + len(entries).to_bytes(4, "little")
    return data[:at] + entries + data[end : end + 8] + counts + data[end + 16 :]


STORED = pack(CELLS, zipfile.ZIP_STORED)
SOURCES = {
    "a truncated zip": (STORED[:-100], "not a zip"),
    "an empty file": (b"", "not a zip"),
    "a web page": (b"<html>404</html>", "not a zip"),
    "a damaged member": (STORED.replace(CELLS[INFECTED], bytes(len(CELLS[INFECTED]))), INFECTED),
    "an encrypted member": (encrypted(STORED), "encrypted"),
    "a member that cannot be bounded": (pack(CELLS, zipfile.ZIP_BZIP2), min(CELLS)),
    "a bomb of one member": (pack({INFECTED: bytes(MAX_BYTES + 1)}), f"{MAX_BYTES + 1:,} bytes"),
    "a bomb of shared bytes": (sharing(9), "90,000,000 bytes"),
    "folders of other names": (pack({"sick/a.png": two_colors()}), "Parasitized or Uninfected"),
    "one class": (pack({INFECTED: two_colors()}), "named Uninfected"),
    "no members": (pack({}), "Parasitized or Uninfected"),
    "two that differ under one name": (pack(CELLS | {f"again/{INFECTED}": two_colors(9)}), INFECTED),
}


@pytest.mark.parametrize("source", SOURCES)
def test_an_unusable_copy_is_refused_by_name(source: str, tmp_path: Path) -> None:
    data, named = SOURCES[source]
    (tmp_path / "given.zip").write_bytes(data)
    with pytest.raises(UserError, match=named) as refused:
        list(find_cells(tmp_path / "given.zip"))
    assert str(refused.value).startswith(f"{tmp_path}/given.zip: ")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_path_that_differ_are_refused_and_a_missing_file_too(tmp_path: Path) -> None:
    with zipfile.ZipFile(zipped(CELLS)(tmp_path), "a") as archive:
        archive.writestr(INFECTED, b"other")
    for path, named in ((tmp_path / "given.zip", INFECTED), (tmp_path / "nowhere.zip", "nowhere.zip")):
        with pytest.raises(UserError, match=named):
            list(find_cells(path))


# The archive and index that are written


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "data/cells.zip"


def params(sha256: str) -> Download:
    drawn = Synthetic(patients=10, cells=100)
    return Download(source="nih", path=NOTHING, classes=list(CLASSES), sha256=sha256, synthetic=drawn)


def accepted(folder: Path) -> Download:
    """Params that expect CELLS."""
    return params(digest(write_archive(folder / "expected.zip", sorted(CELLS.items()))))


def test_cells_of_the_expected_content_are_written_with_their_index(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    zipped(CELLS)(tmp_path)
    monkeypatch.setenv("MALARIA_CELLS", "~/given.zip")
    index = nih.write_cells(accepted(tmp_path), out)
    assert out.read_bytes() == (tmp_path / "expected.zip").read_bytes()
    assert index.name.tolist() == zipfile.ZipFile(out).namelist()
    assert index.label.tolist() == [1, 1, 1, 0, 0, 0]
    assert index.patient.tolist() == ["C10", "C1", "C2"] * 2
    assert list(out.parent.iterdir()) == [out]


def test_cells_come_from_another_server_where_one_is_named(
    out: Path, tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.body, site.cuts = pack(CELLS), [300]
    monkeypatch.setenv("MALARIA_CELLS", site.url)
    nih.write_cells(accepted(tmp_path), out)
    assert out.read_bytes() == (tmp_path / "expected.zip").read_bytes()
    assert len(site.asked) == 2
    assert list(out.parent.iterdir()) == [out]


def test_other_content_is_refused_with_how_it_differs_from_nlms(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = "Parasitized/C100P61ThinF_IMG_20150918_144104_cell_162.png"
    mine = {f"Uninfected/mine_{n}.png": b"mine" for n in range(7)}
    monkeypatch.setenv("MALARIA_CELLS", str(zipped({real: b"not NLM's"} | mine)(tmp_path)))
    with pytest.raises(UserError) as refused:
        nih.write_cells(params("0" * 64), out)
    lines = str(refused.value).splitlines()
    for kind in (f"{nih.CELLS - 1:,} missing", f"7 extra: {', '.join(list(mine)[:5])}, ...", f"1 different: {real}"):
        assert any(line.strip().startswith(kind) for line in lines)
    assert list(out.parent.iterdir()) == []


def test_a_download_is_removed_only_when_its_cells_are_accepted(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(zipped(CELLS)(tmp_path), folder / "cell_images.zip"))

    monkeypatch.delenv("MALARIA_CELLS", raising=False)
    monkeypatch.setattr(nih, "fetch", fetch)
    with pytest.raises(UserError, match=r"download\.sha256"):
        nih.write_cells(params("0" * 64), out)
    assert [path.name for path in out.parent.iterdir()] == ["download"]  # not to be fetched again for another sha256
    nih.write_cells(accepted(tmp_path), out)
    assert list(out.parent.iterdir()) == [out]
