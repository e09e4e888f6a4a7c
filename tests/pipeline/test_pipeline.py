"""The pipeline as DVC runs it: what each stage depends on, what reruns when, and the same bytes each time."""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from dvc.utils.serialize import modify_yaml
from dvc_data.hashfile.meta import Meta
from ruamel.yaml import YAML

from tests.support.imports import closure, packages_imported
from tests.support.scratch import ROOT, Repository, stages_run

STAGES: dict[str, Any] = YAML(typ="safe", pure=True).load(ROOT / "dvc.yaml")["stages"]
PARAMS: dict[str, Any] = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")
SOURCE = f"malaria/sources/{PARAMS['download']['source']}.py"
ARCHITECTURE = f"malaria/architectures/{PARAMS['train']['arch']}.py"
NO_DEPENDENCIES = (
    "malaria/core",  # plumbing
    "malaria/params.py",  # accepts or refuses values that DVC tracks under `params:`, and makes nothing
    "malaria/data/index.py",  # the columns of tables that DVC tracks themselves
)


@pytest.fixture(scope="module")
def scratch(ran: Repository, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """The pipeline, run once on drawn cells and committed; each test leaves it so."""
    return ran.copy(tmp_path_factory.mktemp("scratch") / "with a space")


def in_or_below(path: str, places: Any) -> bool:
    """Whether a path is one of these, or in a folder that is."""
    return any(path == place or path.startswith(f"{place}/") for place in places)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_every_module_that_it_imports(stage: str) -> None:
    """DVC does not follow imports. Those by name are of the default source and architecture."""
    deps = [dep.replace("${train.arch}", PARAMS["train"]["arch"]) for dep in STAGES[stage]["deps"]]
    by_name = {"download": [SOURCE], "train": [ARCHITECTURE]}.get(stage, [])
    modules = closure([f"stages/{stage}.py", *by_name])
    assert len(modules) > 2
    assert [module for module in sorted(modules) if not in_or_below(module, (*deps, *NO_DEPENDENCIES))] == []


@pytest.mark.parametrize(
    ("program", "unused"),
    [
        ("stages/__main__.py", {"torch", "pandas", "numpy"}),  # which checks the params
        *((f"stages/{stage}.py", {"torch"}) for stage in ("download", "split", "preprocess", "audit", "report")),
        ("malaria/cli/predict.py", {"torchvision", "dvclive", "matplotlib", "scipy", "sklearn"}),
    ],
)
def test_a_program_does_not_wait_for_what_it_does_not_use(program: str, unused: set[str]) -> None:
    imported = [packages_imported(module, deep=False) for module in closure([program], deep=False)]
    assert unused & set().union(*imported) == set()


@pytest.mark.parametrize("stage", STAGES)
def test_the_header_of_a_stage_names_its_command_and_its_files(stage: str) -> None:
    header = (ROOT / "stages" / f"{stage}.py").read_text("utf-8").split('"""')[1]
    assert f"`{STAGES[stage]['cmd']}`" in header
    assert all(key in header for key in ("Reads:", "Writes:", "Params:"))
    outs = [out for kind in ("outs", "metrics", "plots") for out in STAGES[stage].get(kind, [])]
    for path in (Path(out if isinstance(out, str) else next(iter(out))) for out in outs):
        assert any(name in header for name in (str(path), path.name, "plots/training")), path


@pytest.mark.slow
def test_all_of_it_runs_and_git_has_the_metrics_and_plots_but_no_data(scratch: Repository) -> None:
    assert {"accuracy", "sensitivity", "specificity", "roc_auc", "mcc"} <= json.loads(
        scratch.read("metrics/metrics.json")
    ).keys()
    predictions, split = (pd.read_csv(scratch.path / f"data/{name}.csv") for name in ("predictions", "split"))
    assert predictions.name.tolist() == split.name[split.split != "train"].tolist()
    tracked = scratch.run("git ls-files").split()
    assert {"dvc.lock", "metrics/metrics.json", "plots/roc.csv", "report/mistakes.png"} <= set(tracked)
    data = [name for name in tracked if name.endswith((".npy", ".safetensors", ".zip", "index.html"))]
    assert data == ["malaria/default_model/model.safetensors"]  # which is part of the package
    assert scratch.run("git status --porcelain") == ""


@pytest.mark.slow
def test_no_param_is_tracked_under_a_name_that_the_run_cache_overlooks(scratch: Repository) -> None:
    lock = YAML(typ="safe", pure=True).load(scratch.path / "dvc.lock")["stages"].values()
    assert "preprocess.size" in (tracked := set().union(*(_keys(stage.get("params", {})) for stage in lock)))
    assert not tracked & {Meta.PARAM_SIZE, Meta.PARAM_NFILES}


def _keys(tree: dict[str, Any]) -> set[str]:
    """Those of a tree at every depth."""
    return tree.keys() | set().union(*(_keys(below) for below in tree.values() if isinstance(below, dict)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("edited", "params", "stale"),
    [
        (["malaria/architectures/another.py", "malaria/core/errors.py", "malaria/cli/predict.py"], {}, []),
        (["malaria/report/page.py"], {}, ["report"]),
        (["malaria/architectures/small_resnet.py"], {}, ["train"]),
        ([], {"fold: 0 ": "fold: 1 "}, ["split", "report"]),
        ([], {" size: 32 ": " size: 48 "}, ["preprocess", "train", "report"]),
        ([], {"mask: auto ": "mask: none "}, ["preprocess", "train", "report"]),
        ([], {"unsegmented: drop ": "unsegmented: keep "}, ["split", "train", "report"]),
        ([], {"init: inputs/none ": "init: versions.txt "}, ["train", "report"]),
        ([], {"doubted: inputs/none ": "doubted: versions.txt "}, ["evaluate", "report"]),
        ([], {"corrections: inputs/none ": "corrections: versions.txt "}, ["evaluate", "report"]),
        (["malaria/smear/mask.py"], {}, ["download", "preprocess", "report"]),
        (["malaria/sources/own.py"], {}, ["download"]),
    ],
    ids=[
        "plumbing and an architecture more",
        "the report",
        "the architecture",
        "another fold",
        "another size",
        "no mask",
        "crops without a cell kept",
        "another start",
        "doubted labels",
        "corrected labels",
        "the mask",
        "a source",
    ],
)
def test_what_a_change_makes_stale(
    edited: list[str], params: dict[str, str], stale: list[str], scratch: Repository
) -> None:
    """Beside these stages, those after them run if what they read has changed."""
    for name in edited:
        with (scratch.path / name).open("a") as file:
            file.write("# edited\n")
    scratch.set_params(params)
    assert stages_run(scratch.run("dvc repro --dry")) == stale
    scratch.run("git clean -qfd malaria && git restore .")


@pytest.mark.slow
def test_nothing_runs_twice_and_a_second_run_gives_the_same_lock(scratch: Repository) -> None:
    assert stages_run(scratch.run("dvc repro")) == []
    assert stages_run(scratch.run("dvc repro -f")) == list(STAGES)
    assert scratch.run("git status --porcelain") == ""  # of dvc.lock too


@pytest.mark.slow
def test_what_has_run_before_is_restored_even_without_the_lock(scratch: Repository) -> None:
    scratch.run("git rm -q dvc.lock && rm -rf data models metrics plots report")
    output = scratch.run("dvc repro")
    assert stages_run(output) == []
    assert output.count("is cached - skipping run") == len(STAGES)
    scratch.run("git restore --staged . && git restore .")
    assert scratch.run("git status --porcelain") == ""


@pytest.mark.slow
def test_a_clean_clone_says_whether_the_lock_is_current(scratch: Repository, tmp_path: Path) -> None:
    clone = scratch.clone(tmp_path / "clone")
    clone.run("dvc repro --dry --allow-missing")
    clone.set_params({"epochs: 1 ": "epochs: 3 "})
    assert "train" in clone.run("dvc repro --dry --allow-missing", status=255)


@pytest.mark.slow
def test_bad_params_are_refused_before_any_work(scratch: Repository) -> None:
    output = scratch.run("dvc exp run -S download.synthetic.cells=500 -S train.epochs=abc", status=255)
    assert "train.epochs" in output
    assert "'abc'" in output
    assert "Traceback" not in output
    scratch.run("git restore . && dvc checkout")


def test_the_lock_is_the_bytes_that_dvc_writes(tmp_path: Path) -> None:
    """Or DVC would write other ones at the next run, and Git would show a change."""
    copy = shutil.copy(ROOT / "dvc.lock", tmp_path)
    with modify_yaml(copy):
        pass
    assert Path(copy).read_text("utf-8") == (ROOT / "dvc.lock").read_text("utf-8")


@pytest.mark.slow
def test_a_variant_beside_main_fits_a_screen(varied: Repository, tmp_path: Path) -> None:
    scratch = varied.copy(tmp_path / "scratch")
    metrics = json.loads(scratch.read("metrics/metrics.json"))
    (scratch.path / "metrics/metrics.json").write_text(json.dumps(dict.fromkeys(metrics, 0.91234)))  # none undefined
    changed = shown(scratch, "--only-changed")
    assert len(changed) <= 16
    assert changed[:3] == ["Experiment", "Created", "accuracy"]
    assert {"train.epochs", *metrics} <= set(changed)
    assert len(shown(scratch, "")) <= 70  # every param of params.yaml is a column
    lines = scratch.run("COLUMNS=160 dvc exp show --only-changed --no-pager 2> /dev/null").splitlines()
    assert max(map(len, lines)) <= 160
    assert {"accuracy", "train.epochs"} <= set(next(line for line in lines if "Experiment" in line).split())
    rows = scratch.run("dvc metrics diff").splitlines()[1:]
    assert [row.split()[:2] for row in rows] == [["metrics/metrics.json", name] for name in sorted(metrics)]
    assert len(rows) <= 15


def shown(repository: Repository, options: str) -> list[str]:
    """The columns of `dvc exp show`, without those that only its CSV has."""
    table = pd.read_csv(io.StringIO(repository.run(f"dvc exp show --csv {options} 2> /dev/null")))
    return [column for column in table if column not in ("rev", "typ", "parent")]
