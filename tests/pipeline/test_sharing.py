"""docs/SHARING.md is true: its lines, run between two clones, with remotes of each kind on real servers."""

import getpass
import hashlib
import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.support.scratch import ROOT, Repository, stages_run
from tests.support.servers import KEY, S3, SECRET, Server, Sshd, needs_s3, needs_ssh

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs/SHARING.md").read_text("utf-8")
PIPELINE: dict[str, Any] = YAML(typ="safe", pure=True).load(ROOT / "dvc.yaml")
OUTS = [out for stage in PIPELINE["stages"].values() for out in stage["outs"]]
KINDS = ["folder", pytest.param("ssh", marks=needs_ssh), pytest.param("s3", marks=needs_s3)]


def blocks(heading: str, language: str = "bash") -> list[str]:
    """The blocks of commands under a heading, at which the page's part of that name ends."""
    part = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", part, re.DOTALL)


@dataclass
class Remote:
    """A kind of remote: the lines that the page has for it, said of a real one; where its objects lie; its server."""

    lines: str
    objects: Path
    server: Server | None = None

    def log_in(self, repository: Repository) -> None:
        """Give a clone the credentials, which Git does not have."""
        for line in self.lines.splitlines():
            if "--local" in line:
                repository.run(line)

    def path(self, md5: str) -> Path:
        """Of an object."""
        return self.objects / "files/md5" / md5[:2] / md5[2:]

    def delete(self, md5: str) -> None:
        """Lose an object."""
        if isinstance(self.server, S3):
            self.server.delete(str(self.path(md5).relative_to(self.server.folder / "buckets")))
        else:
            self.path(md5).unlink()


@pytest.fixture(scope="module")
def owner(ran: Repository, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A project that has run, also with two epochs, and has a remote for Git; none for DVC yet."""
    folder = tmp_path_factory.mktemp("owner")
    owner = ran.copy(folder / "scratch")
    owner.run("uv run dvc exp run -n longer -S train.epochs=2 && git restore . && uv run dvc checkout")
    owner.run(f"git clone -q --bare . '{folder}/bare.git' && git remote add origin '{folder}/bare.git'")
    return owner


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
            yield Remote(_say(ssh, says | {"~/.ssh/id_ed25519": f"{folder}/sshd/key"}), folder / "srv", server)
            server.cut()
        case "s3":
            rclone = S3(folder / "s3")
            says = {"HOST:9000": f"127.0.0.1:{rclone.port}", "BUCKET": "a-bucket", " KEY": f" {KEY}"}
            (bucket := rclone.folder / "buckets/a-bucket").mkdir()
            yield Remote(_say(s3, says | {" SECRET": f" {SECRET}"}), bucket / "malaria", rclone)
            rclone.cut()


def _say(lines: str, says: dict[str, str]) -> str:
    """The lines with what is ours in the place of what stands for it; the groups are installed already."""
    for stands, ours in says.items():
        assert stands in lines
        lines = lines.replace(stands, ours)
    return lines


@pytest.fixture(scope="module")
def shared(owner: Repository, remote: Remote, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """The project once it has that remote, and has pushed to it."""
    ours = owner.clone(tmp_path_factory.mktemp("shared") / "ours")
    origin = owner.run("git remote get-url origin").strip()
    ours.run(f"git clone -q --bare '{origin}' '{ours.path.parent}/bare.git'")
    ours.run(f"git remote set-url origin '{ours.path.parent}/bare.git'")
    ours.run(f"uv run dvc cache dir --local '{owner.path}/.dvc/cache'")
    ours.run(remote.lines)
    ours.run(blocks("Give the project a remote")[-1])
    ours.run("uv run dvc checkout")
    ours.run(blocks("Push, pull")[0])
    return ours


@pytest.fixture
def colleague(shared: Repository, remote: Remote, tmp_path: Path) -> Repository:
    """A clone with an empty cache, and credentials of its own."""
    clone, *_ = blocks("Push, pull")[1].splitlines()
    shared.run(clone.replace("URL", f"'{shared.path.parent}/bare.git'").replace("malaria", f"'{tmp_path}/malaria'"))
    colleague = Repository(tmp_path / "malaria", **shared.environment)
    remote.log_in(colleague)
    return colleague


def test_a_colleague_has_the_same_bytes_and_trains_nothing(shared: Repository, colleague: Repository) -> None:
    assert not (colleague.path / ".dvc/cache").exists()
    _, pull, repro = blocks("Push, pull")[1].splitlines()
    colleague.run(pull)
    assert [_sha(colleague, out) for out in OUTS] == [_sha(shared, out) for out in OUTS]
    assert stages_run(colleague.run(repro)) == []
    assert stages_run(colleague.run(blocks("Push, pull")[2].replace("epochs=10", "epochs=2"))) == []
    assert json.loads(colleague.read("metrics/train/metrics.json"))["step"] == 1


def test_runs_are_not_pushed_without_a_remote_and_that_is_said(owner: Repository) -> None:
    output = owner.run("uv run malaria push-runs", status=1)
    assert "runs were not pushed: config file error: no remote specified" in output
    assert "Traceback" not in output


def test_credentials_are_not_in_git(shared: Repository, remote: Remote) -> None:
    tracked = shared.run("git grep -lE 'keyfile|access_key|secret' -- .dvc || true")
    assert tracked == ""
    assert shared.run("git status --porcelain") == ""


def test_a_missing_object_is_named_and_a_push_brings_it_back(
    shared: Repository, colleague: Repository, remote: Remote
) -> None:
    remote.delete(_lock(shared)["preprocess"]["outs"][0]["md5"])
    output = colleague.run("uv run dvc pull", status=1)
    assert "data/cells.npy" in output
    assert "Traceback" not in output
    shared.run("uv run dvc push")
    colleague.run("uv run dvc pull")
    assert _sha(colleague, "data/cells.npy") == _sha(shared, "data/cells.npy")


@pytest.mark.parametrize("remote", KINDS[1:], indirect=True)  # a folder has no server to cut
def test_a_push_that_is_cut_is_completed_by_the_next(shared: Repository, remote: Remote, tmp_path: Path) -> None:
    assert remote.server
    ours = shared.clone(tmp_path / "ours")
    remote.log_in(ours)
    for number in range(4):  # enough to still be under way
        (ours.path / f"large-{number}").write_bytes(os.urandom(50_000_000))
    ours.run("uv run dvc add large-*")
    before = _objects(remote)
    with subprocess.Popen(
        "uv run dvc push",
        shell=True,
        cwd=ours.path,
        env=ours.variables(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as push:
        while len(_objects(remote)) == len(before) and push.poll() is None:
            time.sleep(0.01)
        remote.server.cut()
        output = push.communicate(timeout=300)[0].decode()
        remote.server.start()
    for path in _objects(remote) - before:  # what is under its own name is whole
        assert not re.fullmatch("[0-9a-f]{30}", path.name) or _md5(path) == path.parent.name + path.name
    assert push.returncode != 0, output
    assert "Traceback" not in output
    assert re.search("ERROR: .*(failed to (push|transfer)|connect)", output, re.IGNORECASE), output
    ours.run("uv run dvc push")
    for number in range(4):
        md5 = _md5(ours.path / f"large-{number}")
        assert _md5(remote.path(md5)) == md5


def of_a_folder(test: Callable[..., None]) -> Callable[..., None]:
    """What does not depend on the kind of remote is tried with one."""
    return pytest.mark.parametrize("remote", ["folder"], indirect=True)(test)


@of_a_folder
def test_an_experiment_goes_from_one_clone_to_another(shared: Repository, colleague: Repository) -> None:
    push, pull, _ = blocks("Experiments")
    shared.run("uv run dvc exp run -n flips -S train.epochs=2 && git restore . && uv run dvc checkout")
    shared.run(push)
    colleague.run("uv run dvc pull")
    lines = pull.splitlines()
    assert "flips" in colleague.run(lines[0])
    colleague.run(lines[1])
    assert "flips: train.epochs=2" in colleague.run(lines[2])


def test_the_readme_says_the_same() -> None:
    readme = (ROOT / "README.md").read_text("utf-8").split("## Share it\n")[1].split("```bash\n")[1].split("```")[0]
    assert readme == blocks("Give the project a remote")[0] + blocks("Push, pull")[0].splitlines(keepends=True)[0]


@of_a_folder
def test_the_model_is_used_without_a_clone(shared: Repository, tmp_path: Path) -> None:
    url = f"'{shared.path.parent}/bare.git'"
    get, tag, by_name, add = blocks("Use the model without a clone")
    shared.run(tag)
    other = Repository(tmp_path / "other")
    for line in (get, by_name):
        assert line.startswith("uvx --with dvc-s3 dvc ")
        other.run(line.replace("uvx --with dvc-s3 ", "").replace("URL", url))
        assert _sha(other, "model.safetensors") == _sha(shared, "models/model.safetensors")
        (other.path / "model.safetensors").unlink()
    other.run("git init -q . && dvc init -q")
    other.run(add.replace("URL", url))
    assert _sha(other, "classifier.safetensors") == _sha(shared, "models/model.safetensors")
    assert "rev_lock" in other.read("classifier.safetensors.dvc")
    (program,) = blocks("Use the model without a clone", "python")
    (other.path / "program.py").write_text(program.replace('"URL"', repr(url.strip("'"))) + "print(len(weights))\n")
    assert int(other.run("python program.py")) > 10


@of_a_folder
def test_two_branches_that_both_retrained_are_merged(shared: Repository) -> None:
    for branch, param in (("long", "train.epochs=2"), ("sharp", "train.label_smoothing=0")):
        shared.run(f"git switch -q -c {branch} main && uv run dvc checkout && uv run dvc exp run -S {param}")
        shared.run(f"git add . && git commit -qm {branch}")
    assert "CONFLICT" in shared.run("git merge long", status=1)
    take, repro, commit = blocks("Two branches that both retrained")[0].splitlines()
    shared.run(take)
    assert stages_run(shared.run(repro)) == ["train", "evaluate", "explain", "report"]
    shared.run(commit)
    assert shared.run("git status --porcelain") == ""
    assert "up to date" in shared.run("uv run dvc status")
    params = YAML(typ="safe", pure=True).load(shared.read("params.yaml"))["train"]
    assert (params["epochs"], params["label_smoothing"]) == (2, 0)
    shared.run("git switch -q main && uv run dvc checkout")


@of_a_folder
def test_an_editor_finds_params_metrics_and_plots(shared: Repository) -> None:
    """The DVC extension for VS Code shows what these commands give (vscode-dvc, extension/src/cli/dvc/reader.ts)."""
    (workspace,) = [
        row for row in json.loads(shared.run("uv run dvc exp show --json 2> /dev/null")) if row["rev"] == "workspace"
    ]
    metrics = {next(iter(file)) for stage in PIPELINE["stages"].values() for file in stage.get("metrics", [])}
    assert set(workspace["data"]["metrics"]) == metrics
    assert set(workspace["data"]["params"]) == {"params.yaml"}
    plots = json.loads(shared.run("uv run dvc plots diff --json --split -o plots_of_the_editor 2> /dev/null"))
    assert not plots.get("errors")
    named = {name if isinstance(name, str) else next(iter(name)) for name in PIPELINE["plots"]}
    assert named | {"plots/roc.csv", "plots/mistakes.png"} <= set(plots["data"])
    shared.run("rm -r plots_of_the_editor")


def _lock(repository: Repository) -> dict[str, dict[str, list[dict[str, str]]]]:
    return YAML(typ="safe", pure=True).load(repository.read("dvc.lock"))["stages"]


def _objects(remote: Remote) -> set[Path]:
    return {path for path in remote.objects.rglob("*") if path.is_file()}


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def _sha(repository: Repository, name: str) -> str:
    return hashlib.sha256((repository.path / name).read_bytes()).hexdigest()
