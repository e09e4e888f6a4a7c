"""Calibrated probabilities, and when a prediction is uncertain."""

import numpy as np
import pytest

from malaria.evaluation.calibration import certainty, sigmoid, to_logits
from malaria.evaluation.thresholds import logit_quantiles
from tests.support.models import config, make_card
from tests.support.tables import random_predictions


def test_logits_and_probabilities_of_any_size_are_finite() -> None:
    assert sigmoid(np.array([-1e4, -1.0, 0.0, 1.0, 1e4])) == pytest.approx([0, 0.268941, 0.5, 0.731059, 1], abs=1e-6)
    logits = np.array([-20.0, -1.0, 0.0, 3.0])
    assert to_logits(sigmoid(logits)) == pytest.approx(logits)
    for dtype in (np.float32, np.float64):
        low, high = to_logits(np.array([0, 1], dtype))
        assert -np.inf < low < -20 < 20 < high < np.inf


@pytest.mark.parametrize("abstain", [0, 0.05, 0.2])
@pytest.mark.parametrize("threshold", [0.5, 0.02, 0.1, 0.9])
def test_at_any_threshold_the_share_of_val_that_is_uncertain_is_abstain(threshold: float, abstain: float) -> None:
    val = random_predictions(1, n=4000)
    card = make_card(config("simple_cnn"), abstain=abstain, val_logit_quantiles=logit_quantiles(val))
    distance = certainty(val.probability.to_numpy(), threshold)
    assert (distance < card.margin(threshold)).mean() == pytest.approx(abstain, abs=0.01)
