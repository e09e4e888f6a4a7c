"""Parasitemia of called cells: the interval holds what it should, and doubts what the classifier cannot know."""

import time
from math import isnan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta as beta_distribution

from malaria.evaluation.calibration import Beta
from malaria.slide.parasitemia import Parasitemia, design_effect, estimate_parasitemia, per_microlitre
from tests.support.imports import closure, packages_imported

PERFECT = (1e9, 1.0)
GOOD = (92.0, 8.0), (970.0, 30.0)  # sensitivity of 92 %, specificity of 97 %
REAL = (7.7, 0.7), (31.5, 1.1)  # as a network's, between patients


def rates(least: float, strongest: float) -> st.SearchStrategy[Beta]:
    """Beta distributions by mean and strength (alpha + beta)."""
    means, strengths = st.floats(least, 0.99), st.floats(10, strongest)
    return st.builds(lambda mean, strength: (mean * strength, (1 - mean) * strength), means, strengths)


CLASSIFIERS = st.tuples(rates(0.8, 200), rates(0.9, 1000))
COUNTS = st.integers(1, 4000).flatmap(lambda cells: st.tuples(st.integers(0, cells), st.just(cells)))
TYPICAL = st.integers(20, 2000).flatmap(lambda cells: st.tuples(st.integers(0, cells // 2), st.just(cells)))


def estimate(called: int, cells: int, classifier: tuple[Beta, Beta]) -> Parasitemia:
    return estimate_parasitemia(np.array([called]), np.array([cells]), *classifier)


@settings(deadline=None, max_examples=25)
@given(COUNTS, CLASSIFIERS)
def test_the_estimate_is_within_the_interval_and_both_are_shares(
    counts: tuple[int, int], classifier: tuple[Beta, Beta]
) -> None:
    found = estimate(*counts, classifier)
    assert 0 <= found.low <= found.parasitemia <= found.high <= 1
    assert 0 <= found.any_parasite <= 1
    assert (found.called, found.cells) == counts
    assert found == estimate(*counts, classifier)


@settings(deadline=None, max_examples=25)
@given(TYPICAL, CLASSIFIERS)
def test_more_cells_narrow_the_interval(counts: tuple[int, int], classifier: tuple[Beta, Beta]) -> None:
    few, many = (estimate(counts[0] * times, counts[1] * times, classifier) for times in (1, 10))
    assert many.high - many.low < 1.05 * (few.high - few.low)


@settings(deadline=None, max_examples=25)
@given(TYPICAL, CLASSIFIERS)
def test_more_called_are_no_fewer_parasites(counts: tuple[int, int], classifier: tuple[Beta, Beta]) -> None:
    fewer, more = (estimate(counts[0] + added, counts[1], classifier) for added in (0, 2))
    for name in ("parasitemia", "low", "high", "any_parasite"):
        assert getattr(more, name) > getattr(fewer, name) - 0.005, name


@settings(deadline=None, max_examples=25)
@given(TYPICAL, CLASSIFIERS, st.integers(2, 10))
def test_even_photographs_are_as_one(counts: tuple[int, int], classifier: tuple[Beta, Beta], photographs: int) -> None:
    called, cells = (np.full(photographs, count) for count in counts)
    split = estimate_parasitemia(called, cells, *classifier)
    whole = estimate(called.sum(), cells.sum(), classifier)
    assert (split.parasitemia, split.low, split.high) == (whole.parasitemia, whole.low, whole.high)


@pytest.mark.parametrize(("called", "cells"), [(3, 200), (60, 200), (120, 4000), (2000, 4000)])
def test_with_a_perfect_classifier_it_is_binomial(called: int, cells: int) -> None:
    found = estimate(called, cells, (PERFECT, PERFECT))
    binomial = beta_distribution(called + 0.5, cells - called + 1)
    assert found.parasitemia == pytest.approx(binomial.median(), rel=0.01)
    assert binomial.cdf(found.high) - binomial.cdf(found.low) == pytest.approx(0.95, abs=0.01)
    assert found.high - found.low < 1.03 * np.diff(binomial.ppf([0.025, 0.975]))[0]
    assert found.any_parasite > 0.999


def test_what_the_specificity_explains_is_no_parasite() -> None:
    for classifier in (GOOD, REAL):
        for cells in (200, 4000):
            found = estimate(round(0.03 * cells), cells, classifier)
            assert found.low == 0
            assert found.parasitemia < 0.01
            assert found.any_parasite < 0.5
    assert estimate(80, 400, GOOD).low > 0.1
    assert estimate(80, 400, GOOD).any_parasite > 0.99


def test_a_smear_without_a_called_cell_may_still_hold_a_parasite() -> None:
    found = estimate(0, 1000, (PERFECT, PERFECT))
    assert (found.parasitemia, found.low) == (0, 0)
    assert 0.001 < found.high < 0.004
    assert 0 < found.any_parasite < 0.5


def test_missed_parasites_are_added() -> None:
    found = estimate(200, 2000, ((500.0, 500.0), PERFECT))
    assert found.parasitemia == pytest.approx(0.2, rel=0.05)
    assert found.low < 0.2 < found.high


def test_counts_that_contradict_the_classifier_still_point_to_parasites() -> None:
    """More are called than its sensitivity allows, even if all are infected."""
    found = estimate(600, 1000, ((40.0, 110.0), (4000.0, 5.0)))
    assert found.any_parasite > 0.99
    assert found.parasitemia > 0.5


def test_uneven_photographs_widen_the_interval_the_more_the_more_there_are() -> None:
    uneven, even = np.array([0, 40, 2, 38, 20] * 4), np.full(20, 20)
    cells = np.full(20, 200)
    wide, narrow = (estimate_parasitemia(called, cells, *GOOD) for called in (uneven, even))
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)
    assert design_effect(even, cells) == 1
    assert 1 < design_effect(uneven[:2], cells[:2]) < design_effect(uneven, cells)
    assert design_effect(np.array([7]), np.array([200])) == 1


def test_chance_alone_hardly_looks_uneven() -> None:
    random = np.random.default_rng(0)
    effects = [design_effect(random.binomial(200, 0.05, n), np.full(n, 200)) for n in (2, 5, 20) for _ in range(200)]
    assert np.mean(effects) < 1.15


def test_more_photographs_are_asked_for_where_they_help_alone() -> None:
    few = estimate(10, 200, (PERFECT, PERFECT)).more_fields
    assert few
    assert 1 <= few <= 10
    counts = np.full(5, 10), np.full(5, 200)
    enough = estimate_parasitemia(*counts, PERFECT, PERFECT)
    assert enough.more_fields
    more = [np.append(count, np.full(enough.more_fields, count[0])) for count in counts]
    then = estimate_parasitemia(*more, PERFECT, PERFECT)
    assert then.high - then.low == pytest.approx((enough.high - enough.low) / 2, rel=0.05)
    assert estimate(400, 4000, REAL).more_fields is None


def test_without_cells_or_error_rates_it_is_undefined() -> None:
    none = np.zeros(0, int)
    for found in (
        estimate(0, 0, GOOD),
        estimate_parasitemia(none, none, *GOOD),
        estimate_parasitemia(np.array([1]), np.array([2]), None, GOOD[1]),
        estimate_parasitemia(np.array([1]), np.array([2]), GOOD[0], None),
    ):
        assert all(isnan(it) for it in (found.parasitemia, found.low, found.high, found.any_parasite))
        assert found.more_fields is None
    assert (found.called, found.cells) == (1, 2)


def test_empty_photographs_change_nothing() -> None:
    with_empty = estimate_parasitemia(np.array([3, 0, 9]), np.array([100, 0, 200]), *GOOD)
    assert with_empty == estimate_parasitemia(np.array([3, 9]), np.array([100, 200]), *GOOD)


def test_parasites_per_microlitre_are_a_share_of_the_red_cells() -> None:
    assert per_microlitre(0.01) == 50_000
    assert per_microlitre(0.01, red_cells=4_000_000) == 40_000


def test_it_is_quick_and_waits_for_no_scipy_when_imported() -> None:
    estimate(10, 200, GOOD)
    began = time.process_time()
    for called in range(10):
        estimate(called, 200, GOOD)
    assert (time.process_time() - began) / 10 < 0.2
    modules = closure(["malaria/slide/parasitemia.py"], deep=False)
    assert not {"scipy", "sklearn", "torch"} & set().union(*(packages_imported(it, deep=False) for it in modules))
