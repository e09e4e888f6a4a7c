import pytest

from malaria.lab.counts import Count
from malaria.lab.hand_over import tabulate_counts
from malaria.slide.parasitemia import Parasitemia


def test_parasitemia_is_in_percent_and_empty_for_crops() -> None:
    found = Parasitemia(200, 20, parasitemia=0.1, low=0.06, high=0.15, any_parasite=0.99, more_fields=None)
    of = {"cells": 200, "parasitized": 20, "labelled": 0, "uncertain": 0, "ood": 0, "positive": 0}
    table = tabulate_counts([Count("a", 1, parasitemia=found, **of), Count("crops", 0, parasitemia=None, **of)])
    assert table.loc[0, ["parasitemia", "low", "high", "any"]].tolist() == pytest.approx([10, 6, 15, 0.99])
    assert table.loc[1, ["parasitemia", "low", "high", "any"]].isna().all()
