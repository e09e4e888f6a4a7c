"""docs/SHARING.md is true: its lines, run between two clones, with remotes of each kind on real servers."""

import getpass
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.support.scratch import ROOT, Repository, stages_run
from tests.support.servers import KEY, S3, SECRET, Sshd, needs_s3, needs_ssh

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs/SHARING.md").read_text("utf-8")
PIPELINE: dict[str, Any] = YAML(typ="safe", pure=True).load(ROOT / "dvc.yaml")
ARTIFACTS = [out for stage in PIPELINE["stages"].values() for out in stage.get("outs", [])]
KINDS = ["folder", pytest.param("ssh", marks=needs_ssh), pytest.param("s3", marks=needs_s3)]


def blocks(heading: str, language: str = "bash", page: str = PAGE) -> list[str]:
    """The blocks of commands under a heading."""
    part = page.split(f"## {heading}\n")[1].split("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", part, re.DOTALL)


@dataclass
class Remote:
    """A kind of remote: the lines that the page has for it, said of a real one; where its objects lie."""

    lines: str
    objects: Path

    def log_in(self, repository: Repository) -> None:
        """Give a clone the credentials, which Git does not have."""
        for line in self.lines.splitlines():
            if "--local" in line:
                repository.run(line)


@pytest.fixture(scope="module", params=KINDS)
def remote(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remote]:
    folder = tmp_path_factory.mktemp(request.param)
    a_folder, ssh, s3, _ = blocks("Give the project a remote")
    match request.param:
        case "folder":
            yield Remote(a_folder.replace("/srv/malaria", f"{folder}/srv"), folder / "srv")
        case "ssh":
            server = Sshd(folder / "sshd")
            says = {"HOST:22": f"127.0.0.1:{server.port}", "/srv/malaria": f"{folder}/srv", "USER": getpass.getuser()}
            yield Remote(_say(ssh, says | {"~/.ssh/id_ed25519": f"{folder}/sshd/key"}), folder / "srv")
            server.stop()
        case "s3":
            rclone = S3(folder / "s3")
            says = {"HOST:9000": f"127.0.0.1:{rclone.port}", "BUCKET": "a-bucket", " KEY": f" {KEY}"}
            (bucket := rclone.folder / "buckets/a-bucket").mkdir()
            yield Remote(_say(s3, says | {" SECRET": f" {SECRET}"}), bucket / "malaria")
            rclone.stop()


def _say(lines: str, says: dict[str, str]) -> str:
    """The lines with what is ours in the place of what stands for it; `uv sync` does nothing here."""
    for stands, ours in says.items():
        assert stands in lines
        lines = lines.replace(stands, ours)
    return lines.replace("uv sync", "true")


@pytest.fixture(scope="module")
def shared(varied: Repository, remote: Remote, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A project that has run, also with ten epochs, and has pushed to that remote and to one of Git."""
    folder = tmp_path_factory.mktemp("shared")
    ours = varied.copy(folder / "ours")
    ours.run("git restore . && dvc checkout")
    ours.run(f"git clone -q --bare . '{folder}/bare.git' && git remote add origin '{folder}/bare.git'")
    output = ours.run("uv run malaria push-runs", status=1)
    assert "no remote" in output
    assert "Traceback" not in output
    ours.run(remote.lines)
    ours.run(blocks("Give the project a remote")[-1])
    ours.run(blocks("Push, pull")[0].replace("git push", "git push -q origin main"))
    return ours


@pytest.fixture
def colleague(shared: Repository, remote: Remote, tmp_path: Path) -> Repository:
    """A clone with an empty cache, and credentials of its own."""
    clone = blocks("Push, pull")[1].splitlines()[0]
    shared.run(clone.replace("URL", f"'{shared.path.parent}/bare.git'").replace("malaria", f"'{tmp_path}/malaria'"))
    colleague = Repository(tmp_path / "malaria", **shared.environment)
    remote.log_in(colleague)
    return colleague


def test_a_colleague_has_the_same_bytes_and_trains_nothing(shared: Repository, colleague: Repository) -> None:
    assert shared.run("git grep -lE 'keyfile|access_key|secret' -- .dvc || true") == ""  # no credentials in Git
    assert not (colleague.path / ".dvc/cache").exists()
    _, pull, repro = blocks("Push, pull")[1].splitlines()
    colleague.run(pull)
    assert [_sha(colleague, out) for out in ARTIFACTS] == [_sha(shared, out) for out in ARTIFACTS]
    assert stages_run(colleague.run(repro)) == []
    assert stages_run(colleague.run(blocks("Push, pull")[2])) == []
    assert "epochs: 10 " in colleague.read("params.yaml")
    assert len(colleague.read("plots/training/plots/metrics/val/loss.tsv").splitlines()) == 11


def of_a_folder(test: Callable[..., None]) -> Callable[..., None]:
    """What does not depend on the kind of remote is tried with one."""
    return pytest.mark.parametrize("remote", ["folder"], indirect=True)(test)


@of_a_folder
def test_a_missing_object_is_named_and_a_push_restores_it(
    shared: Repository, colleague: Repository, remote: Remote
) -> None:
    lock = YAML(typ="safe", pure=True).load(shared.read("dvc.lock"))["stages"]
    md5 = lock["preprocess"]["outs"][0]["md5"]
    (remote.objects / "files/md5" / md5[:2] / md5[2:]).unlink()
    output = colleague.run("uv run dvc pull", status=1)
    assert "data/cells.npy" in output
    assert "Traceback" not in output
    shared.run("uv run dvc push")
    colleague.run("uv run dvc pull")
    assert _sha(colleague, "data/cells.npy") == _sha(shared, "data/cells.npy")


@of_a_folder
def test_an_experiment_goes_from_one_clone_to_another(shared: Repository, colleague: Repository) -> None:
    push, pull, _ = blocks("Experiments")
    shared.run("dvc exp run -n flips -S train.epochs=10 && git restore . && dvc checkout")
    shared.run(push)
    colleague.run("uv run dvc pull")
    listed, pulled, compared = pull.splitlines()
    assert "flips" in colleague.run(listed)
    colleague.run(pulled)
    assert "train.epochs=10" in colleague.run(compared)


def test_the_readme_has_the_same_lines() -> None:
    (readme,) = blocks("Share it", page=(ROOT / "README.md").read_text("utf-8"))
    assert readme == blocks("Give the project a remote")[0] + blocks("Push, pull")[0].splitlines(keepends=True)[0]


@of_a_folder
def test_the_model_is_used_without_a_clone(shared: Repository, tmp_path: Path) -> None:
    url = f"'{shared.path.parent}/bare.git'"
    get, tag, by_name, add = blocks("Use the model without a clone")
    shared.run(tag)
    other = Repository(tmp_path / "other")
    for lines, folder in ((get, "mylab/"), (by_name, "")):
        other.run(lines.replace("uvx --with dvc-s3 ", "").replace("URL", url))
        assert _sha(other, f"{folder}model.safetensors") == _sha(shared, "models/model.safetensors")
    assert _sha(other, "mylab/model.json") == _sha(shared, "models/model.json")
    other.run("git init -q . && dvc init -q")
    other.run(add.replace("URL", url))
    assert _sha(other, "classifier.safetensors") == _sha(shared, "models/model.safetensors")
    (program,) = blocks("Use the model without a clone", "python")
    (other.path / "program.py").write_text(program.replace('"URL"', repr(url.strip("'"))) + "print(len(weights))\n")
    assert int(other.run("python program.py")) > 10


@of_a_folder
def test_two_branches_that_both_retrained_are_merged(shared: Repository) -> None:
    for branch, param in (("long", "train.epochs=10"), ("wary", "evaluate.abstain=0.3")):
        shared.run(f"git switch -q -c {branch} main && dvc checkout && dvc exp run -S {param}")
        shared.run(f"git add . && git commit -qm {branch}")
    assert "CONFLICT" in shared.run("git merge long", status=1)
    take, repro, commit = blocks("Two branches that both retrained")[0].splitlines()
    shared.run(take)
    assert stages_run(shared.run(repro)) == ["evaluate", "report"]  # the training is restored
    shared.run(commit)
    assert shared.run("git status --porcelain") == ""
    assert "up to date" in shared.run("uv run dvc status")
    params = YAML(typ="safe", pure=True).load(shared.read("params.yaml"))
    assert (params["train"]["epochs"], params["evaluate"]["abstain"]) == (10, 0.3)
    shared.run("git switch -q main && dvc checkout")


def test_an_editor_finds_metrics_and_plots(varied: Repository, tmp_path: Path) -> None:
    """The DVC extension for VS Code shows what this command gives (vscode-dvc, extension/src/cli/dvc/reader.ts)."""
    plots = json.loads(varied.run(f"dvc plots diff --json --split -o '{tmp_path}/plots' 2> /dev/null"))
    assert not plots.get("errors")
    named = {name if isinstance(name, str) else next(iter(name)) for name in PIPELINE["plots"]}
    assert named | {"plots/roc.csv", "report/mistakes.png"} <= set(plots["data"])


def _sha(repository: Repository, name: str) -> str:
    """Of a file, or of all in a folder."""
    path = repository.path / name
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
