import numpy as np
import pandas as pd
import pytest
from scipy.stats import beta as beta_distribution

from malaria.lab.counts import allow_for_labels, combine, count, decide, name_styles

RATES = (90.0, 10.0), (980.0, 20.0)


def photograph(called: int, cells: int, labels: dict[str, str] | None = None, kind: str = "single") -> pd.DataFrame:
    """A photograph with so many cells called parasitized."""
    table = pd.DataFrame({"image": [f"{n}.png" for n in range(cells)], "kind": kind})
    calls = pd.DataFrame({"prediction": ["Parasitized"] * called + ["Uninfected"] * (cells - called)})
    return decide(table, calls.assign(uncertain=[True] + [False] * (cells - 1), ood=""), labels or {})


def test_a_label_outdoes_the_call_and_what_is_set_aside_does_not_count() -> None:
    labels = {"0.png": "Uninfected", "5.png": "Parasitized", "6.png": "unsure", "7.png": "not a single cell"}
    cells = photograph(3, 10, labels)
    found = count("a", cells, RATES)
    assert (found.cells, found.parasitized, found.labelled, found.uncertain) == (8, 3, 2, 0)
    assert name_styles(cells)[:8] == ["uninfected"] + ["parasitized"] * 2 + ["uninfected"] * 2 + [
        "parasitized",
        "not counted",
        "not counted",
    ]


def test_a_cell_at_the_border_counts_once_it_is_labelled() -> None:
    cells = photograph(1, 4, {"2.png": "Parasitized"}, kind="border")
    assert count("a", cells, RATES).cells == 1
    assert name_styles(photograph(1, 4, kind="border")) == ["not counted"] * 4


def test_photographs_of_a_patient_are_counted_together_and_crops_have_no_parasitemia() -> None:
    counts = [count("a", photograph(2, 50), RATES), count("b", photograph(1, 70), RATES)]
    patient = combine("P", counts, RATES)
    assert (patient.photographs, patient.cells, patient.parasitized) == (2, 120, 3)
    assert patient.parasitemia
    assert counts[0].parasitemia
    assert patient.parasitemia.high < counts[0].parasitemia.high
    assert count("a", photograph(2, 50), RATES, crops=True).parasitemia is None


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_errors_and_their_spread_shrink_with_the_share_that_is_labelled(share: float) -> None:
    before, after = beta_distribution(10, 90), beta_distribution(*allow_for_labels((90.0, 10.0), share)[::-1])
    np.testing.assert_allclose(after.mean(), before.mean() * (1 - share))
    np.testing.assert_allclose(after.std(), before.std() * (1 - share))


def test_the_more_cells_are_labelled_the_narrower_the_interval() -> None:
    widths = []
    for labelled in (0, 1000, 1900):
        labels = {f"{n}.png": "Parasitized" if n < 100 else "Uninfected" for n in range(labelled)}
        found = count("a", photograph(100, 2000, labels), RATES).parasitemia
        assert found
        widths.append(found.high - found.low)
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 0.8 * widths[0]
