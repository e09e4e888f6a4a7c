from pathlib import Path

import pytest

from tests.support.labs import draw_photographs, make_lab_model


@pytest.fixture(scope="session")
def model(drawn: list[tuple[str, bytes]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_lab_model(tmp_path_factory.mktemp("model"), drawn)


@pytest.fixture(scope="session")
def photographs() -> dict[str, bytes]:
    """Two drawn photographs by name."""
    return draw_photographs(2)
