"""Nothing that the project reads can run code, and what runs on GitHub may do little."""

import ast
import io
import pickle
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from ruamel.yaml import YAML

from malaria import load_model
from malaria.core.errors import UserError
from malaria.model.checkpoint import Checkpoint
from malaria.model.dataset import load_cells
from malaria.model.initial import build_initial
from malaria.model.weights import make_config
from tests.support.models import make_model, train_params
from tests.support.param_fields import preprocess_params
from tests.support.scratch import ROOT

PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
CALLS = {"eval", "exec", "os.system", "os.popen", "tempfile.mktemp"}
METHODS = {"extractall", "read_pickle", "to_pickle", "all_gather_object", "broadcast_object_list"}
KEYWORDS = {"allow_pickle=True", "shell=True", "verify=False", "weights_only=False", "check_hash=False"}
ALLOWED = {("bench/time_to_accuracy.py", "extractall")}  # of data/cells.zip, whose names this project wrote
WORKFLOWS = {path.name: YAML(typ="safe", pure=True).load(path) for path in (ROOT / ".github/workflows").glob("*.yml")}


def find_dangers(text: str) -> Iterator[str]:
    """What in Python code may run what it reads, or trust what it should check."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else [it.name for it in node.names]
            yield from PICKLES & {name.partition(".")[0] for name in modules}
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            keywords = {ast.unparse(word) for word in node.keywords}
            yield from {name} & CALLS | {name.rpartition(".")[2]} & METHODS | keywords & KEYWORDS
            if name == "torch.load" and "weights_only=True" not in keywords:
                yield name
            if name == "yaml.load" or (name == "YAML" and not keywords & {"typ='safe'", "typ='rt'"}):
                yield name


def test_no_code_reads_pickles_or_runs_what_it_reads() -> None:
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    files = [name for name in listed.split() if not name.startswith("tests/") and (ROOT / name).exists()]
    found = {(name, danger) for name in files for danger in find_dangers((ROOT / name).read_text("utf-8"))}
    assert found - ALLOWED == set()
    assert len(files) > 50
    dangerous = "import pickle; torch.load(p); np.load(p, allow_pickle=True); eval(t); z.extractall(); YAML().load(p)"
    assert len(list(find_dangers(dangerous))) == 6
    assert not list(find_dangers("model.eval(); np.load(p); torch.load(p, weights_only=True); YAML(typ='safe')"))


class Trap:
    """An object whose pickle, when read, makes a file."""

    def __init__(self, sprung: Path) -> None:
        self.sprung = sprung

    def __reduce__(self) -> tuple[Any, tuple[Path]]:
        return (Path.touch, (self.sprung,))


def to_npy(trap: Trap) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([trap], object), allow_pickle=True)
    return buffer.getvalue()


def start(**changes: str) -> None:
    params = train_params(arch="resnet18", **changes)
    build_initial(make_config(params, preprocess_params(), "fp32"), params)


READERS: dict[str, Callable[[Path], object]] = {
    "model/model.safetensors": lambda path: load_model(path.parent),
    "init/model.safetensors": lambda path: start(init=str(path.parent)),
    "weights.pth": lambda path: start(init=str(path)),
    "weights.safetensors": lambda path: start(init=str(path)),
    "hub/checkpoints/resnet18-f37072fd.pth": lambda _: start(weights="imagenet"),  # where torchvision keeps it
    "cells.npy": lambda path: load_cells(path, pd.DataFrame({"label": [1]}), torch.device("cpu"), 32),
}


@pytest.mark.parametrize("name", READERS)
def test_a_pickle_in_place_of_a_file_is_refused_and_not_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    make_model(tmp_path / "model", "simple_cnn")
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    trap = Trap(tmp_path / "sprung")
    for data in (pickle.dumps({"weight": trap}, protocol=2), to_npy(trap)):
        (tmp_path / name).write_bytes(data)
        with pytest.raises((UserError, ValueError)):
            READERS[name](tmp_path / name)
        nothing: Any = None  # a checkpoint that cannot be read is not resumed from
        assert Checkpoint(tmp_path / name, "key").restore(nothing) is False
    assert not trap.sprung.exists()
    pickle.loads(data[data.index(b"\x80") :])
    assert trap.sprung.exists()


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_has_few_permissions_and_pinned_actions(name: str) -> None:
    workflow, text = WORKFLOWS[name], (ROOT / ".github/workflows" / name).read_text("utf-8")
    assert "pull_request_target" not in text
    assert workflow["permissions"] == {"contents": "read"}
    granted = {job: of["permissions"] for job, of in workflow["jobs"].items() if "permissions" in of}
    assert granted in ({}, {"changes": {"contents": "read", "pull-requests": "write"}})  # for its comment
    assert all(job["timeout-minutes"] <= 60 for job in workflow["jobs"].values())
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    used = [step for step in steps if "uses" in step]
    assert all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", step["uses"]) for step in used)
    assert all(step["with"]["persist-credentials"] is False for step in used if "checkout" in step["uses"])
    assert not any("${{" in step.get("run", "") for step in steps)  # what others write is data, not script
    assert "secrets." not in text
    assert text.count("github.token") == text.count("GH_TOKEN: ${{ github.token }}")
