"""Predictions are evaluated at every choice and both ends of every range of the params."""

from pathlib import Path

import pandas as pd
import pytest

from malaria.evaluation.examples import SHOWN_AUGMENTED, pick_parasitized
from malaria.params import Evaluate
from stages.evaluate import choose_on_val, evaluate
from tests.support.models import config
from tests.support.param_fields import ends_of
from tests.support.tables import random_predictions

FACTS = config("small_resnet").model_dump() | {
    "trained_on": "cells",
    "tta": False,
    "temperature": 1.0,
    "reference_quantiles": {},
    "saliency_peak": 1.0,
    "parameters": 1,
    "macs": 1,
}
ENDS = ends_of("evaluate")


@pytest.mark.parametrize("threshold", ENDS["threshold"])
@pytest.mark.parametrize("end", [0, 1])
def test_every_operating_point_is_evaluated_at_both_ends_of_the_ranges(
    threshold: str, end: int, workspace: Path
) -> None:
    predictions = random_predictions(n=100).assign(ood_score=lambda cells: cells.logit.abs())
    label_error, abstain, ood = (ENDS[key][end] for key in ("label_error", "abstain", "ood"))
    params = Evaluate(threshold=threshold, tta=False, label_error=label_error, abstain=abstain, ood=ood)
    card = choose_on_val(predictions[predictions.split == "val"], FACTS, params)
    assert card.error_rates
    assert all(card.error_rates.at(card.threshold))
    evaluate(predictions, card, label_error)
    metrics = pd.read_csv("plots/metrics.csv").set_index("metric")
    for rate in ("uncertain_rate", "ood_rate"):
        assert metrics.val[rate] == pytest.approx(end, abs=0.02)


def test_a_few_parasitized_cells_of_train_are_shown_augmented_as_far_as_there_are_any() -> None:
    labels = [1] * 3 + [0] * 20
    split = pd.DataFrame({"name": [f"{n}.png" for n in range(23)], "label": labels, "split": "train"})
    shown = pick_parasitized(split, "train").head(SHOWN_AUGMENTED)
    assert sorted(shown.name) == ["0.png", "1.png", "2.png"]
    assert len(pick_parasitized(split.assign(label=1), "train").head(SHOWN_AUGMENTED)) == SHOWN_AUGMENTED
