"""The accuracy so far has counts, intervals, and what more labels would do to them."""

from math import isnan

import numpy as np
import pytest

from malaria.labelling.progress import Progress, measure_progress
from malaria.labelling.proportion import measure_proportion


def progress(right: int, n: int) -> Progress:
    return measure_progress(np.ones(n, int), np.arange(n) < right)


def test_accuracy_sensitivity_and_specificity_are_of_the_cells_of_their_class() -> None:
    found = measure_progress(np.array([1, 1, 1, 0, 0, 0, 0]), np.array([1, 1, 0, 0, 0, 0, 1]))
    assert found == Progress(measure_proportion(5, 7), measure_proportion(2, 3), measure_proportion(3, 4))


def test_without_cells_of_a_class_its_metric_is_nan() -> None:
    found = progress(3, 4)
    assert (found.accuracy.count, found.sensitivity.count, found.specificity.n) == (3, 3, 0)
    assert isnan(found.specificity.value)


def test_without_labels_nothing_is_known_and_not_enough() -> None:
    found = progress(0, 0)
    assert isnan(found.accuracy.value)
    assert isnan(found.gain_of(25))
    assert not found.enough


def test_the_gain_is_what_the_interval_narrows_at_the_same_accuracy() -> None:
    before, after = progress(40, 50).accuracy, progress(60, 75).accuracy
    narrower = ((before.high - before.low) - (after.high - after.low)) / 2
    assert progress(40, 50).gain_of(25) == pytest.approx(100 * narrower)
    assert progress(40, 50).gain_of(0) == 0


@pytest.mark.parametrize(("right", "n", "enough"), [(5, 5, False), (45, 50, False), (40, 80, False), (180, 200, True)])
def test_it_is_enough_when_more_labels_would_hardly_narrow_the_interval(right: int, n: int, enough: bool) -> None:
    assert progress(right, n).enough is enough
    assert (progress(right, n).gain_of(25) < 1) is enough
