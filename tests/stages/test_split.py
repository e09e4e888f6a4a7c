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
KEEP = Params.model_validate(changed({"preprocess.unsegmented": "keep"}))
CELLS = [(f"{label}_{n}.png", label, f"{n % 30:03}") for label in (0, 1) for n in range(90)]


def write(cells: list[tuple[object, ...]], unsegmented: list[str] | None = None, **more: list[str]) -> None:
    """What the stage reads; `more` are columns of the index."""
    pd.DataFrame(cells, columns=COLUMNS).assign(**more).to_csv("data/cells.csv", index=False)
    pd.DataFrame({"name": unsegmented or []}).to_csv("data/unsegmented.csv", index=False)


def run(params: Params = PARAMS) -> pd.DataFrame:
    main(params)
    return pd.read_csv("data/split.csv", dtype=str)


def test_the_split_is_the_index_and_a_column(workspace: Path) -> None:
    write(CELLS)
    split = run()
    assert split.columns.tolist() == [*COLUMNS, "split"]
    assert split[COLUMNS].equals(pd.read_csv("data/cells.csv", dtype=str))
    assert split.groupby("patient").split.nunique().eq(1).all()


def test_photos_and_a_split_of_the_index_are_kept(workspace: Path) -> None:
    splits = ["test" if patient < "004" else "val" if patient < "008" else "train" for _, _, patient in CELLS]
    write(CELLS, split=splits, photo=[f"{n % 60:02}" for n in range(180)], width=["9"] * 180)
    split = run()
    assert split.columns.tolist() == [*COLUMNS, "photo", "split"]
    assert split["split"].tolist() == splits
    assert split.photo[1] == "01"


def test_unsegmented_cells_are_dropped_in_their_row_and_change_nothing_for_the_others(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unsegmented = [name for name, _, patient in CELLS if patient < "010" and name != "0_0.png"]
    write([cell for cell in CELLS if cell[0] not in unsegmented])
    others = run()
    write(CELLS, unsegmented)
    split = run()
    assert str(len(unsegmented)) in capsys.readouterr().out
    assert split.name.tolist() == [name for name, _, _ in CELLS]
    assert split.name[split["split"] == "dropped"].tolist() == unsegmented
    assert split[split["split"] != "dropped"].reset_index(drop=True).equals(others)


def test_unsegmented_cells_are_kept_where_params_say_so(workspace: Path) -> None:
    write(CELLS)
    alone = run()
    write(CELLS, ["0_0.png", "1_0.png"])
    assert run(KEEP).equals(alone)


def test_a_dropped_cell_is_dropped_from_a_split_of_the_index_too(workspace: Path) -> None:
    splits = ["test" if patient < "004" else "train" for _, _, patient in CELLS]
    write(CELLS, ["0_0.png", "0_5.png"], split=splits)
    split = run().set_index("name")["split"]
    assert (split["0_0.png"], split["0_5.png"]) == ("dropped", "dropped")
    assert (split == "test").sum() == splits.count("test") - 1


@pytest.mark.parametrize("cells", [CELLS[:90], CELLS[90:], [("0.png", 0, "C1"), ("1.png", 1, "C1")], []])
def test_cells_that_cannot_be_split_are_refused_by_the_name_of_the_index(
    cells: list[tuple[object, ...]], workspace: Path
) -> None:
    write(cells)
    with pytest.raises(UserError, match=r"^data/cells\.csv: "):
        main(PARAMS)
    assert {path.name for path in Path("data").iterdir()} == {"cells.csv", "unsegmented.csv"}


def test_where_too_many_are_dropped_the_refusal_counts_them(workspace: Path) -> None:
    write(CELLS, [name for name, _, _ in CELLS[5:]])
    with pytest.raises(UserError, match=r"175 .*preprocess\.unsegmented"):
        main(PARAMS)
