"""A variant beside the pipeline's run, which the tests of this folder share."""

from pathlib import Path

import pytest

from tests.support.scratch import Repository, make_once


@pytest.fixture(scope="session")
def varied(ran: Repository) -> Repository:
    """The experiment `longer` has run, its results are in the workspace: to be read and copied, not to be changed."""

    def make(path: Path) -> None:
        ran.copy(path).run("dvc exp run -n longer -S train.epochs=10")

    return make_once(ran.path.with_name("varied"), make)
