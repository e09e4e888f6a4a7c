"""Without DVC, what needs it says so."""

import sys
from collections.abc import Callable

import pytest

from malaria.core.errors import UserError
from malaria.core.repository import push_runs, read_artifact, read_params


@pytest.mark.parametrize(
    "call", [lambda: read_artifact("main", "data/x.csv"), lambda: read_params("main"), lambda: push_runs(None)]
)
def test_a_missing_dvc_is_told_and_how_to_install_it(
    call: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "dvc", None)
    monkeypatch.delitem(sys.modules, "dvc.api", raising=False)
    with pytest.raises(UserError, match=r"DVC.*uv sync"):
        call()
