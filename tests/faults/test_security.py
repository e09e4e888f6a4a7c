"""Security.

No file that a pipeline reads can run code, write where it should not, or take the place of another. The bounds of the
page of `malaria demo` in a browser are in tests/test_demo.py.
"""

import ast
import os
import pickle
import re
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from ruamel.yaml import YAML
from torchvision.models._api import WeightsEnum

from malaria.data.sources import nih
from malaria.app.middleware import LocalOnly, own_names
from malaria.cli.__main__ import main
from malaria.core.archive import find_cells, write_archive
from malaria.core.artifacts import write_json
from malaria.core.errors import UserError
from malaria.data.decode import decode
from malaria.data.sources.synthetic import encode_png
from malaria.model.checkpoint import Checkpoint
from malaria.model.dataset import load_cells
from malaria.model.weights import load_pretrained
from malaria.params import load_params
from malaria.predict.load import load_model
from stages.download import download
from tests.support.fault_table import Survived
from tests.support.models import config, make_card, make_model
from tests.support.nih_site import SHA256, Site
from tests.support.scratch import ROOT

# No pickle, and nothing else that runs what it reads: by the syntax of every file in Git

PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
CALLS = {  # by the end of their names
    "eval": "runs what it is given",
    "exec": "runs what it is given",
    "os.system": "is a shell",
    "os.popen": "is a shell",
    "extractall": "writes where an archive says",
    "tempfile.mktemp": "names a file that another may make first",
    "read_pickle": "reads a pickle",
    "to_pickle": "writes a pickle",
    "yaml.load": "may make any object: ruamel's YAML(typ='safe')",
    "all_gather_object": "unpickles what another process sends",
    "broadcast_object_list": "unpickles what another process sends",
    "_create_unverified_context": "trusts any server",
}
KEYWORDS = {("allow_pickle", True), ("shell", True), ("verify", False), ("weights_only", False), ("check_hash", False)}
TESTS_MAY = {"extractall", "shell=True"}  # they type commands as a user does, and unpack what they packed
ALLOWED = {("bench/time_to_accuracy.py", "extractall")}  # of data/cells.zip, whose names malaria/archive.py wrote
PACKING = {"tests/faults/test_security.py"}  # this file makes the traps


def tracked() -> list[str]:
    """The Python files of the repository."""
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True)
    return listed.stdout.split()


def find_dangers(text: str) -> Iterator[str]:
    """What in a Python file may run what it reads."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in PICKLES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in PICKLES:
            yield str(node.module)
        elif isinstance(node, ast.Call):
            yield from _judge_call(node)


def _judge_call(call: ast.Call) -> Iterator[str]:
    name = ast.unparse(call.func)
    given = {(word.arg, word.value.value) for word in call.keywords if isinstance(word.value, ast.Constant)}
    bare = isinstance(call.func, ast.Name)
    yield from (danger for danger in CALLS if name == danger or (name.endswith(f".{danger}") and not _method(danger)))
    yield from (f"{word}={value}" for word, value in given & KEYWORDS)
    if name == "torch.load" and ("weights_only", True) not in given:
        yield "torch.load"
    if bare and name == "YAML" and not given & {("typ", "safe"), ("typ", "rt")}:  # rt makes the same, with comments
        yield "YAML"


def _method(danger: str) -> bool:
    """Whether a method of that name is another thing: model.eval()."""
    return danger in ("eval", "exec")


def test_no_code_of_ours_reads_a_pickle_or_runs_what_it_reads(survived: Survived) -> None:
    files = [name for name in tracked() if name not in PACKING]
    found = {(name, danger) for name in files for danger in find_dangers((ROOT / name).read_text("utf-8"))}
    of_tests = {(name, danger) for name, danger in found if name.startswith("tests/") and danger in TESTS_MAY}
    assert found - of_tests - ALLOWED == set()
    assert len(files) > 100
    survived("code that unpickles, evaluates or unpacks", "the syntax of every file in Git", "none", tries=len(files))


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from joblib import load",
        "pd.read_pickle(path)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "eval(text)",
        "subprocess.run(line, shell=True)",
        "archive.extractall(folder)",
        "yaml.load(text)",
        "YAML().load(path)",
        "dist.all_gather_object(parts, part)",
    ],
)
def test_the_search_finds_each_of_them(line: str) -> None:
    assert list(find_dangers(line))
    assert not list(find_dangers("model.eval(); np.load(path); torch.load(path, weights_only=True); YAML(typ='safe')"))


# A trap in place of each file that is read


class Trap:
    """An object whose pickle, when read, makes a file."""

    def __init__(self, spring: Path) -> None:
        self.spring = spring

    def __reduce__(self) -> tuple[Any, tuple[Path]]:
        return (Path.touch, (self.spring,))


def as_pickle(path: Path, trap: Trap) -> None:
    path.write_bytes(pickle.dumps({"weight": trap}))


def as_torch(path: Path, trap: Trap) -> None:
    torch.save({"weight": trap}, path)


def as_old_torch(path: Path, trap: Trap) -> None:
    torch.save({"weight": trap}, path, _use_new_zipfile_serialization=False)


def as_numpy(path: Path, trap: Trap) -> None:
    with path.open("wb") as file:
        np.save(file, np.array([trap], object), allow_pickle=True)


def as_numpy_zip(path: Path, trap: Trap) -> None:
    with path.open("wb") as file:
        np.savez(file, cells=np.array([trap], object))


TRAPS = [as_pickle, as_torch, as_old_torch, as_numpy, as_numpy_zip]
Lay = Callable[[Path, Trap], None]


@pytest.fixture(params=TRAPS, ids=lambda lay: lay.__name__)
def lay(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[Path], Path]]:
    """Puts the trap into a file; it must not have sprung in the end, though any reader of pickles would spring it."""
    spring = tmp_path / "sprung"

    def put(path: Path) -> Path:
        request.param(path, Trap(spring))
        return path

    yield put
    assert not spring.exists()
    pickle.loads(pickle.dumps(Trap(spring)))
    assert spring.exists()


def test_a_pickle_in_place_of_the_cells(lay: Callable[[Path], Path], tmp_path: Path, survived: Survived) -> None:
    path = lay(tmp_path / "cells.npy")
    with pytest.raises(UserError) as refused:
        load_cells(path, pd.DataFrame({"split": ["train"], "label": [1]}), torch.device("cpu"))
    survived("a pickle in place of data/cells.npy", "five formats that run code when read", str(refused.value))


def test_a_pickle_in_place_of_the_model(lay: Callable[[Path], Path], tmp_path: Path, survived: Survived) -> None:
    write_json(tmp_path / "model.json", make_card(config("small_resnet")).model_dump())
    lay(tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=r"no whole model, or one of another version|damaged") as refused:
        load_model(tmp_path)
    survived(
        "a pickle in place of models/model.safetensors", "five formats that run code when read", str(refused.value)
    )


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_pickle_in_place_of_pretrained_weights(
    lay: Callable[[Path], Path], suffix: str, tmp_path: Path, survived: Survived
) -> None:
    with pytest.raises(UserError, match=r"^train.weights: .*: no file of weights") as refused:
        load_pretrained("resnet18", str(lay(tmp_path / f"weights{suffix}")))
    survived("a pickle in place of train.weights", "five formats, as .pth and .safetensors", str(refused.value))


def test_a_pickle_in_place_of_weights_that_torchvision_has_kept(
    lay: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, survived: Survived
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub/checkpoints").mkdir(parents=True)
    path = lay(tmp_path / "hub/checkpoints/resnet18-f37072fd.pth")
    with pytest.raises(UserError, match=r"^train.pretrained: .*") as refused:
        load_pretrained("resnet18", None)
    assert str(path) in str(refused.value) or "cannot be downloaded" in str(refused.value)
    survived("a pickle among what torchvision has kept", "five formats in ~/.cache/torch", str(refused.value))


def test_a_pickle_in_place_of_the_state_of_a_training(lay: Callable[[Path], Path], tmp_path: Path) -> None:
    nothing: Any = None
    assert Checkpoint(lay(tmp_path / "state.safetensors"), "key").restore(nothing) is False  # it begins anew


@pytest.mark.parametrize(
    "start", [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"%PDF-1.7\n", b"GIF89a", b"<svg onload='x'/>"]
)
def test_a_picture_that_is_a_program_is_not_opened(start: bytes, survived: Survived) -> None:
    with pytest.raises(ValueError, match="not a PNG, JPEG, TIFF, BMP or WebP image") as refused:
        decode(start + bytes(100), 32, "stretch")
    survived("a picture that is a program", "PostScript, PDF, SVG, GIF under the name of a cell", str(refused.value))


# What is downloaded is not used before its sum is right


def test_other_bytes_from_the_server_are_not_used(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drawn: list[tuple[str, bytes]], survived: Survived
) -> None:
    write_archive(tmp_path / "other.zip", drawn[:3] + drawn[-3:])  # which could be used, were it not another's
    site.body = (tmp_path / "other.zip").read_bytes()
    monkeypatch.setattr(nih, "fetch", partial(nih.fetch, site.url, SHA256, backoff=0.001))
    params = load_params(ROOT / "params.yaml").download
    with pytest.raises(UserError, match=f"whose sha256 is {SHA256}, and was removed") as refused:
        download(params, tmp_path / "data/cells.zip")
    assert [path for path in (tmp_path / "data").rglob("*") if path.is_file()] == []
    message = str(refused.value).replace(site.url, "URL")
    survived("other bytes from NLM's server", "a zip of other cells on loopback", message)


def test_other_weights_from_the_server_are_not_used(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, survived: Survived
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    url = site.url.replace("cell_images.zip", "resnet18-f37072fd.pth")
    monkeypatch.setattr(WeightsEnum, "url", url)
    with pytest.raises(UserError, match=r"cannot be downloaded \(invalid hash value") as refused:
        load_pretrained("resnet18", None)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    message = str(refused.value).replace(url, "URL")
    survived("other weights from torchvision's server", "other bytes on loopback", message)


# Archives


CELL = encode_png(np.full((40, 40, 3), 200, np.uint8))
ESCAPES = [
    "../../../{}",
    "../../{}",
    "/{}",
    "//{}",
    "..\\..\\{}",
    "C:\\{}",
    "Parasitized/../../../{}",
    "./../{}",
    "~/{}",
    "\\\\server\\share\\{}",
]


def make_hostile(path: Path) -> Path:
    """A zip of two good cells, of cells under names that lead elsewhere, and of links to what lies elsewhere."""
    with zipfile.ZipFile(path, "w") as archive:
        for folder in ("Parasitized", "Uninfected"):
            archive.writestr(f"{folder}/C1P1ThinF_IMG_1_1_cell_1.png", CELL)
            for number, name in enumerate(ESCAPES):
                cell = f"{folder}/C{number + 2}P1ThinF_IMG_1_1_cell_{number}.png"
                archive.writestr(name.format(cell), CELL)
            link = zipfile.ZipInfo(f"{folder}/C99P1ThinF_IMG_1_1_cell_99.png")
            link.create_system, link.external_attr = 3, 0o120777 << 16
            archive.writestr(link, "/etc/passwd")
    return path


def files_of(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.fixture
def deep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder far enough down that what escapes it lands in tmp_path."""
    folder = tmp_path / "a/b/c/d"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(tmp_path / "a"))
    return folder


def test_members_of_an_archive_stay_in_it_when_cells_are_packed(deep: Path, tmp_path: Path, survived: Survived) -> None:
    source = make_hostile(deep / "hostile.zip")
    before = files_of(tmp_path)
    write_archive(deep / "cells.zip", find_cells(source))
    assert files_of(tmp_path) - before == {"a/b/c/d/cells.zip"}
    with zipfile.ZipFile(deep / "cells.zip") as archive:
        members = archive.infolist()
    assert all(
        re.fullmatch(r"(Parasitized|Uninfected)/C\d+P1ThinF_IMG_1_1_cell_\d+\.png", it.filename) for it in members
    )
    assert {it.external_attr >> 16 for it in members} == {0o100644}  # no links
    said = "none: a cell is called by its class and file alone, and nothing is unpacked"
    survived(
        "members that lead out of an archive", "`../`, `/`, `C:\\`, links: in a zip given", said, tries=len(ESCAPES) + 1
    )


def test_members_of_an_archive_stay_in_it_when_they_are_predicted(
    deep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], survived: Survived
) -> None:
    source = make_hostile(deep / "hostile.zip")
    model = make_model(deep / "model")
    before = files_of(tmp_path)
    with pytest.raises(SystemExit, match="2 of 24 images could not be read"):
        main(["predict", str(source), "--model", str(model), "--csv"])
    assert files_of(tmp_path) == before
    said = capsys.readouterr()
    assert "root:" not in said.out + said.err
    complaint = next(line for line in said.err.splitlines() if "_cell_99.png" in line).replace(
        str(source), "hostile.zip"
    )
    survived(
        "members that lead out of an archive", "the same zip to `malaria predict`", complaint, tries=len(ESCAPES) + 1
    )


# The page of `malaria demo`


def test_the_page_answers_its_own_address_alone_and_no_large_body(survived: Survived) -> None:
    guard = LocalOnly(None, own_names("127.0.0.1"), largest=1000)  # type: ignore[arg-type]  # nothing behind it is asked
    host = {"host": "127.0.0.1:8421"}
    assert guard.refuse(host) is None
    refused = [
        guard.refuse(headers)
        for headers in (
            {"host": "evil.example"},
            host | {"origin": "http://evil.example"},
            host | {"transfer-encoding": "chunked"},
            host | {"content-length": "1001"},
            host | {"content-length": "-1"},
        )
    ]
    assert [status for status, _ in filter(None, refused)] == [400, 403, 411, 413, 413]
    said = " ".join(dict.fromkeys(words for _, words in filter(None, refused)))
    survived("a page of another site, a rebound name, a large body", "requests to the guard", said, tries=len(refused))


# What runs on GitHub


def workflows() -> dict[str, Any]:
    return {path.name: YAML(typ="safe", pure=True).load(path) for path in (ROOT / ".github/workflows").glob("*.yml")}


@pytest.mark.parametrize("name", workflows())
def test_a_workflow_may_do_little_and_runs_what_is_pinned(name: str, survived: Survived) -> None:
    workflow = workflows()[name]
    assert "pull_request_target" not in workflow.get("on", workflow.get(True))
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["defaults"]["run"]["shell"] == "bash"  # which GitHub runs with -eo pipefail
    assert workflow["concurrency"]["cancel-in-progress"] is True
    assert all(job["timeout-minutes"] <= 60 and "latest" not in job["runs-on"] for job in workflow["jobs"].values())
    granted = {job: of["permissions"] for job, of in workflow["jobs"].items() if "permissions" in of}
    assert granted in ({}, {"changes": {"contents": "read", "pull-requests": "write"}})  # for its comment
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    used = [step for step in steps if "uses" in step]
    assert all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", step["uses"]) for step in used)
    assert all(step["with"]["persist-credentials"] is False for step in used if "checkout" in step["uses"])
    assert not any("${{" in step["run"] for step in steps if "run" in step)  # what others write is data, not script
    text = (ROOT / ".github/workflows" / name).read_text("utf-8")
    assert "secrets." not in text
    assert text.count("github.token") == text.count("GH_TOKEN: ${{ github.token }}")  # to gh alone, never on a line
    survived("a pull request that means harm", f"{name}: permissions, pins, expressions, secrets", "none")


def test_dependencies_are_audited_where_there_is_a_network(survived: Survived) -> None:
    ((job, steps),) = [(job, of["steps"]) for job, of in workflows()["audit.yml"]["jobs"].items()]
    command = steps[-1]["run"]
    assert command.startswith("uv audit")
    assert command in (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    assert command not in (ROOT / ".ci/run").read_text("utf-8")  # which works without one
    survived(
        "a dependency with a known hole", f"`{command}` in audit.yml, each week", f"the job {job} fails and names it"
    )


def test_checks_come_first_in_ci() -> None:
    (steps,) = [job["steps"] for name, job in workflows()["ci.yml"]["jobs"].items() if name == "checks"]
    assert next(step["run"] for step in steps if "run" in step).startswith("bash .ci/run")


def test_a_picture_of_a_cell_still_opens() -> None:
    assert Image.fromarray(decode(CELL, 32, "stretch")).size == (32, 32)
    assert os.path.lexists("/etc/passwd")  # or the links above lead nowhere
