from pathlib import Path

import numpy as np
import pytest

from malaria.lab.reading import read_file
from tests.support.images import join_cells
from tests.support.param_fields import preprocess_params


def test_a_file_of_two_cells_that_touch_is_refused(tmp_path: Path, drawn: list[tuple[str, bytes]]) -> None:
    join_cells(drawn[0][1], drawn[1][1]).save(tmp_path / "two.png")
    (tmp_path / "one.png").write_bytes(drawn[0][1])
    assert isinstance(read_file(tmp_path / "one.png", preprocess_params()), np.ndarray)
    with pytest.raises(ValueError):  # noqa: PT011 (of any words)
        read_file(tmp_path / "two.png", preprocess_params())
