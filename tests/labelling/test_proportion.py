"""A share's interval is Wilson's, and contains the true share about as often as it says."""

from math import isnan

import numpy as np
import pytest
from scipy.stats import binomtest

from malaria.labelling.proportion import half_width, measure_proportion


@pytest.mark.parametrize(("count", "n"), [(0, 5), (5, 5), (7, 10), (99, 100), (1, 3000)])
def test_the_interval_is_wilsons(count: int, n: int) -> None:
    share = measure_proportion(count, n)
    expected = binomtest(count, n).proportion_ci(method="wilson")
    assert (share.count, share.n, share.value) == (count, n, count / n)
    assert (share.low, share.high) == pytest.approx((expected.low, expected.high), abs=1e-6)
    assert 0 <= share.low <= share.value <= share.high <= 1
    assert half_width(share.value, n) == pytest.approx((expected.high - expected.low) / 2, abs=1e-6)


def test_of_no_cells_it_is_nan() -> None:
    share = measure_proportion(0, 0)
    assert share.n == 0
    assert all(isnan(value) for value in (share.value, share.low, share.high))


@pytest.mark.parametrize(("truth", "n"), [(0.5, 20), (0.9, 40), (0.95, 200)])
def test_it_contains_the_true_share_about_as_often_as_it_says(truth: float, n: int) -> None:
    counts = np.random.default_rng(0).binomial(n, truth, 2000)
    found = [measure_proportion(int(count), n) for count in counts]
    assert np.mean([share.low <= truth <= share.high for share in found]) == pytest.approx(0.95, abs=0.03)
