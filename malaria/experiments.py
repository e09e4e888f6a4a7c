"""What DVC knows of a revision: an experiment, branch, tag or commit, or `workspace` for the files as they are."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from malaria.compare import Run
from malaria.errors import UserError
from malaria.outs import MODEL_FILES, check_table

WORKSPACE = "workspace"
COLUMNS = ("name", "patient", "label", "split", "probability")  # of predictions.csv, that are compared


def read_run(revision: str) -> Run:
    """The params and test predictions of a revision, from the workspace, DVC's cache or its remote.

    Raises:
        UserError: there is no such revision, or no predictions of it can be reached.
    """
    import dvc.api  # seconds, and not installed with the library alone
    from dvc.exceptions import DvcException
    from dvc.scm import RevError

    rev = None if revision == WORKSPACE else revision
    try:
        with dvc.api.open("data/predictions.csv", rev=rev) as file:
            check_table(predictions := pd.read_csv(file), COLUMNS)
        with dvc.api.open("models/model.json", rev=rev) as file:
            threshold = json.load(file)["threshold"]
        params = _flatten(dvc.api.params_show("params.yaml", rev=rev))
    except RevError:
        raise UserError(f"{revision}: no such revision; `dvc exp list` and `git log` name those there are") from None
    except (DvcException, FileNotFoundError, ValueError, KeyError) as error:
        raise UserError(
            f"{revision}: its predictions cannot be read: {error}\n"
            "If it ran elsewhere, `dvc fetch` or `dvc exp pull` brings them; if it never ran, run it: `dvc repro`."
        ) from None
    test = predictions[predictions.split == "test"]
    return Run(revision, params, test.assign(threshold=threshold))


def fetch_model(revision: str, folder: Path) -> None:
    """Put model.safetensors and model.json of a revision into a folder, from DVC's cache or its remote.

    Raises:
        UserError: there is no such revision, DVC is missing, or its model cannot be reached.
    """
    try:
        import dvc.api
        from dvc.exceptions import DvcException
        from dvc.scm import RevError, SCMError
    except ModuleNotFoundError:
        raise UserError(f"{revision}: no such folder, and a Git revision needs DVC: `uv sync`") from None
    try:
        for name in MODEL_FILES:
            (folder / name).write_bytes(dvc.api.read(f"models/{name}", rev=revision, mode="rb"))
    except (RevError, SCMError):
        raise UserError(
            f"{revision}: no folder, no .onnx file and no revision of this repository; `dvc exp list` and `git log` "
            "name those there are"
        ) from None
    except (DvcException, FileNotFoundError) as error:
        raise UserError(
            f"{revision}: its model cannot be read: {error}\n"
            "If it ran elsewhere, `dvc fetch` or `dvc exp pull` brings it; if it never ran, run it: `dvc repro`."
        ) from None


def push_runs(remote: str | None) -> int:
    """Push the run cache and all that its runs made to a remote, None for the default one; returns how many files.

    Of runs that are in no commit `dvc push --run-cache` pushes the records alone (DVC 3.67.1).

    Raises:
        UserError: there is no such remote, it cannot keep a run cache, or not all could be pushed.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo() as repo:
            runs = repo.stage_cache.push(remote)
            made = repo.stage_cache.get_used_objs(runs).values()
            results = [repo.cloud.push(objects, remote=remote) for objects in made]
    except DvcException as error:
        raise UserError(f"runs were not pushed: {error}") from None
    if failed := sum(len(result.failed) for result in results):
        raise UserError(f"{failed} files were not pushed; try again")
    return sum(len(result.transferred) for result in results)


def _flatten(tree: dict[str, Any], above: str = "") -> dict[str, Any]:
    """The leaves of a tree by dotted key."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _flatten(value, f"{above}{key}.") if isinstance(value, dict) else {f"{above}{key}": value}
    return flat
