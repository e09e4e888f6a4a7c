"""What Git and DVC know of a revision: an experiment, branch, tag or commit, or `workspace` for the files as they are.

The one module that imports DVC, which is not installed with the library alone.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from malaria.core.errors import UserError

WORKSPACE = "workspace"


def read_artifact(revision: str, path: str) -> bytes:
    """A file of a revision, from the workspace, DVC's cache or its remote.

    Raises:
        UserError: there is no such revision, the file cannot be reached, or DVC is not installed.
    """
    with _dvc(f"{revision}: {path}") as api:
        data: bytes = api.read(path, rev=_revision(revision), mode="rb")
    return data


def read_params(revision: str) -> dict[str, Any]:
    """The params of a revision by dotted key.

    Raises:
        UserError: as `read_artifact`.
    """
    with _dvc(f"{revision}: params.yaml") as api:
        return _flatten(api.params_show("params.yaml", rev=_revision(revision)))


def push_runs(remote: str | None) -> int:
    """Push the run cache and what its runs made to a remote, None for the default one; return the number of files.

    Of runs that are in no commit `dvc push --run-cache` pushes the records alone (DVC 3.67.1).

    Raises:
        UserError: there is no such remote, it cannot keep a run cache, or not all could be pushed.
    """
    with _dvc("runs were not pushed"):
        from dvc.repo import Repo  # see `_dvc`

        with Repo() as repo:
            runs = repo.stage_cache.push(remote)
            made = repo.stage_cache.get_used_objs(runs).values()
            results = [repo.cloud.push(objects, remote=remote) for objects in made]
    if failed := sum(len(result.failed) for result in results):
        raise UserError(f"{failed} files were not pushed; try again")
    return sum(len(result.transferred) for result in results)


@contextmanager
def _dvc(what: str) -> Iterator[Any]:
    """Yield dvc.api, and turn its exceptions into a UserError that begins with `what`."""
    try:  # imported here: DVC is optional, and takes a second
        import dvc.api
        from dvc.exceptions import DvcException, PathMissingError
        from dvc.scm import RevError, SCMError
    except ModuleNotFoundError:
        raise UserError(f"{what}: DVC is not installed; `uv sync` in a clone of the repository installs it") from None
    try:
        yield dvc.api
    except (RevError, SCMError) as error:
        raise UserError(
            f"{what}: no folder and no revision has this name ({error}); `dvc exp list` and `git log` list revisions"
        ) from None
    except (DvcException, FileNotFoundError) as error:
        problem = "neither in DVC's cache nor in a remote" if isinstance(error, PathMissingError) else error
        raise UserError(
            f"{what}: {problem}\n"
            "If it ran elsewhere, `dvc fetch` or `dvc exp pull` brings it; if it never ran, run it: `dvc repro`."
        ) from None


def _revision(name: str) -> str | None:
    return None if name == WORKSPACE else name


def _flatten(tree: dict[str, Any], above: str = "") -> dict[str, Any]:
    """The leaves of a tree by dotted key."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _flatten(value, f"{above}{key}.") if isinstance(value, dict) else {f"{above}{key}": value}
    return flat
