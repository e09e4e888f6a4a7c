"""Logits become probabilities that mean what they say."""

import numpy as np
import pytest

from malaria.evaluation.calibration import fit_temperature, sigmoid, to_logits


def test_sigmoid_bears_any_logit() -> None:
    assert sigmoid(np.array([-1e4, -1.0, 0.0, 1.0, 1e4])) == pytest.approx([0, 0.268941, 0.5, 0.731059, 1], abs=1e-6)


def test_logits_are_those_of_the_probabilities_and_finite() -> None:
    logits = np.array([-20.0, -1.0, 0.0, 3.0])
    assert to_logits(sigmoid(logits)) == pytest.approx(logits)
    assert np.isfinite(to_logits(np.array([0.0, 1.0]))).all()


@pytest.mark.parametrize("truth", [0.5, 1.0, 3.0])
def test_the_temperature_that_made_the_labels_is_found(truth: float) -> None:
    random = np.random.default_rng(0)
    logits = random.normal(0, 4, 50_000)
    labels = random.random(50_000) < sigmoid(logits / truth)
    assert fit_temperature(labels, logits) == pytest.approx(truth, rel=0.05)


@pytest.mark.parametrize("labels", [[0, 0, 0], [1, 1, 1], [0, 1, 1]])
def test_a_class_alone_or_no_mistake_at_all_has_a_finite_temperature(labels: list[int]) -> None:
    assert 0.04 < fit_temperature(np.array(labels), np.array([-2.0, 1.0, 3.0])) < 21
