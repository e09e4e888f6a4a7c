"""The pipeline as DVC runs it: what each stage depends on, what reruns when, and the same bytes each time."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from dvc_data.hashfile.meta import Meta
from ruamel.yaml import YAML

from tests.support.imports import closure, write_deps
from tests.support.scratch import ROOT, Repository, stages_run

STAGES: dict[str, Any] = YAML(typ="safe", pure=True).load(ROOT / "dvc.yaml")["stages"]


@pytest.fixture(scope="module")
def scratch(ran: Repository, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """The pipeline, run once on drawn cells and committed."""
    return ran.copy(tmp_path_factory.mktemp("scratch") / "with a space")


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_every_module_that_it_imports_and_on_no_other(stage: str) -> None:
    code = {dep for dep in STAGES[stage]["deps"] if dep.endswith(".py")}
    assert code == closure(ROOT / "stages" / f"{stage}.py", ROOT), "`uv run python tests/closure.py` writes them"


def test_a_command_writes_those_lists_and_nothing_else(tmp_path: Path) -> None:
    for folder in ("malaria", "stages"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    whole = (ROOT / "dvc.yaml").read_text("utf-8")
    spoilt = whole.replace("      - malaria/names.py\n", "").replace("- malaria/stage.py", "- malaria/gone.py")
    (tmp_path / "dvc.yaml").write_text(spoilt)
    write_deps(tmp_path)
    assert (tmp_path / "dvc.yaml").read_text() == whole


@pytest.mark.parametrize("stage", STAGES)
def test_the_header_of_a_stage_names_its_command_and_its_files(stage: str) -> None:
    header = (ROOT / "stages" / f"{stage}.py").read_text().split('"""')[1]
    assert f"`{STAGES[stage]['cmd']}`" in header
    assert all(key in header for key in ("Reads:", "Writes:", "Tuned by:"))
    for out in [out for kind in ("outs", "metrics", "plots") for out in STAGES[stage].get(kind, [])]:
        name = out if isinstance(out, str) else next(iter(out))
        assert name in header, name


def test_the_whole_of_it_runs_and_says_where_the_report_is(scratch: Repository) -> None:
    figures = json.loads(scratch.read("metrics/evaluate/metrics.json"))
    for split in ("val", "test"):
        assert {"accuracy", "sensitivity", "specificity", "roc_auc", "f1", "mcc"} <= figures[split].keys()
    assert "<html" in scratch.read("report/index.html")
    output = scratch.run("python -m stages.report")
    assert output == f"The report is at {(scratch.path / 'report/index.html').as_uri()}\n"


def test_predictions_are_of_every_cell_of_val_and_test(scratch: Repository) -> None:
    predictions, split = (pd.read_csv(scratch.path / f"data/{name}.csv") for name in ("predictions", "split"))
    held_out = split[split.split != "train"]
    assert predictions.name.tolist() == held_out.name.tolist()
    assert predictions.columns.tolist() == ["name", "patient", "label", "split", "logit", "probability", "ood_score"]
    assert split.name.is_monotonic_increasing


def test_git_has_the_lock_the_figures_and_the_plots_but_no_data(scratch: Repository) -> None:
    tracked = scratch.run("git ls-files").split()
    assert {"dvc.lock", "metrics/evaluate/metrics.json", "metrics/train/metrics.json", "plots/roc.csv"} <= set(tracked)
    assert not [name for name in tracked if name.endswith((".npy", ".safetensors", ".zip"))]
    assert scratch.run("git status --porcelain") == ""


@pytest.mark.slow
def test_nothing_runs_twice_and_a_second_run_gives_the_same_lock(scratch: Repository) -> None:
    assert stages_run(scratch.run("uv run dvc repro")) == []
    lock = scratch.read("dvc.lock")
    assert stages_run(scratch.run("uv run dvc repro -f")) == list(STAGES)
    assert scratch.read("dvc.lock") == lock
    assert scratch.run("git status --porcelain") == ""


@pytest.mark.slow
def test_what_has_run_before_is_never_run_again_even_without_the_lock(scratch: Repository) -> None:
    scratch.run("git rm -q dvc.lock && rm -rf data models metrics plots report")
    output = scratch.run("uv run dvc repro")
    assert stages_run(output) == []
    assert output.count("is cached - skipping run") == len(STAGES)
    scratch.run("git restore --staged . && git restore .")
    assert scratch.run("git status --porcelain") == ""


@pytest.mark.slow
def test_another_fold_decodes_nothing_again(scratch: Repository) -> None:
    scratch.set_params({"fold: 0 ": "fold: 1 "})
    assert stages_run(scratch.run("uv run dvc repro audit")) == ["split", "audit"]
    assert stages_run(scratch.run("uv run dvc repro --dry")) == ["train", "evaluate", "explain", "report"]
    scratch.run("git restore . && uv run dvc checkout")


@pytest.mark.slow
def test_another_size_decodes_all_cells_again(scratch: Repository) -> None:
    scratch.set_params({" size: 32 ": " size: 48 "})
    assert stages_run(scratch.run("uv run dvc repro audit")) == ["preprocess", "audit"]
    assert stages_run(scratch.run("uv run dvc repro --dry")) == ["train", "evaluate", "explain", "report"]
    assert np.load(scratch.path / "data/cells.npy", mmap_mode="r").shape[1:] == (48, 48, 3)
    scratch.run("git restore . && uv run dvc checkout")


def test_no_param_is_tracked_under_a_name_that_the_run_cache_overlooks(scratch: Repository) -> None:
    lock = YAML(typ="safe", pure=True).load(scratch.path / "dvc.lock")["stages"].values()
    assert "preprocess.size" in (tracked := set().union(*(_keys(stage.get("params", {})) for stage in lock)))
    assert not tracked & {Meta.PARAM_SIZE, Meta.PARAM_NFILES}


def _keys(tree: dict[str, Any]) -> set[str]:
    """Those of a tree at every depth."""
    return tree.keys() | set().union(*(_keys(below) for below in tree.values() if isinstance(below, dict)))


def test_a_clean_clone_says_whether_the_lock_is_current(scratch: Repository, tmp_path: Path) -> None:
    clone = f"rm -rf '{tmp_path}/clone' && git clone -q . '{tmp_path}/clone' && cd '{tmp_path}/clone' && "
    scratch.run(clone + "uv run dvc repro --dry --allow-missing")
    stale = "sed -i 's/epochs: 1/epochs: 3/' params.yaml && uv run dvc repro --dry --allow-missing"
    assert "train" in scratch.run(clone + stale, status=255)


SLOW = ("torch", "torch._dynamo", "torchvision", "sklearn", "scipy.stats")  # to import, a second or more each


@pytest.mark.parametrize(
    ("program", "needed", "unused"),
    [
        ("stages.split", "pandas", ("torch",)),
        ("stages.preprocess", "PIL.Image", SLOW),
        ("stages.audit", "numpy", SLOW),
        ("stages.explain", "torch", SLOW[1:]),
        ("stages.report", "jinja2", SLOW),
        ("malaria.cli predict data/cells.zip", "torch", SLOW[1:]),
    ],
)
def test_a_program_does_not_wait_for_what_it_does_not_use(
    program: str, needed: str, unused: tuple[str, ...], scratch: Repository
) -> None:
    imported = re.findall(r"^import time: .*\| +(\S+)$", scratch.run(f"python -X importtime -m {program}"), re.M)
    assert needed in imported
    assert [name for name in unused if name in imported] == []


def test_bad_params_are_refused_before_any_work(scratch: Repository) -> None:
    output = scratch.run("uv run dvc exp run -S download.synthetic.seed=5 -S train.epochs=abc", status=255)
    assert "train.epochs: Input should be a valid integer (it is 'abc')" in output
    assert "Traceback" not in output
    scratch.run("git restore . && uv run dvc checkout")
