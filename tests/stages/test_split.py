"""The split stage adds a column to the index, or says why the cells cannot be split."""

from pathlib import Path

import pandas as pd
import pytest

from malaria.core.errors import UserError
from malaria.data.index import COLUMNS
from malaria.params import Params
from stages.split import main
from tests.support.param_fields import changed

PARAMS = Params.model_validate(changed({}))
CELLS = [(f"{label}_{n}.png", label, f"{n % 30:03}") for label in (0, 1) for n in range(90)]


def test_the_split_is_the_index_and_a_column(workspace: Path) -> None:
    pd.DataFrame(CELLS, columns=COLUMNS).to_csv("data/cells.csv", index=False)
    main(PARAMS)
    split = pd.read_csv("data/split.csv", dtype=str)
    assert split.columns.tolist() == [*COLUMNS, "split"]
    assert split[COLUMNS].equals(pd.read_csv("data/cells.csv", dtype=str))
    assert split.groupby("patient").split.nunique().eq(1).all()


@pytest.mark.parametrize("cells", [CELLS[:90], CELLS[90:], [("0.png", 0, "C1"), ("1.png", 1, "C1")], []])
def test_cells_that_cannot_be_split_are_refused_by_the_name_of_the_index(cells: list[object], workspace: Path) -> None:
    pd.DataFrame(cells, columns=COLUMNS).to_csv("data/cells.csv", index=False)
    with pytest.raises(UserError, match=r"^data/cells\.csv: "):
        main(PARAMS)
    assert [path.name for path in Path("data").iterdir()] == ["cells.csv"]
