import pandas as pd
import pytest

from malaria.lab.counts import combine, count, decide, name_styles

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


def test_parasites_that_a_person_saw_are_there() -> None:
    labels = {f"{n}.png": "Parasitized" if n < 6 else "Uninfected" for n in range(11)}
    before, after = (count("a", photograph(10, 170, of), RATES).parasitemia for of in ({}, labels))
    assert before
    assert after
    assert before.low == 0
    assert (after.cells, after.called, after.any_parasite) == (170, 6, 1)
    assert 0 < after.low < 6 / 170 <= after.parasitemia < after.high
    everything = {f"{n}.png": "Uninfected" for n in range(170)}
    found = count("a", photograph(10, 170, everything), RATES).parasitemia
    assert found
    assert (found.low, found.parasitemia) == (0, 0)
    assert found.high == pytest.approx(0.0147, abs=1e-3)  # Jeffreys' bound of 0 of 170


def test_labels_narrow_the_interval() -> None:
    widths = []
    for labelled in (0, 1000, 1900):
        labels = {f"{n}.png": "Parasitized" if n < 100 else "Uninfected" for n in range(labelled)}
        found = count("a", photograph(100, 2000, labels), RATES).parasitemia
        assert found
        widths.append(found.high - found.low)
    assert max(widths[1:]) < 0.8 * widths[0]
